"""One WebSocket connection, by websocket-client; the place where its exceptions become ours."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import websocket
from websocket import ABNF

from wsclient import words
from wsclient.errors import CannotConnect, ClientError, Closed, Refused, WrongInput
from wsclient.stages import LOCAL_URL
from wsclient.target import Target, is_loopback

FRAME_SIZE = 32 * 1024
"""API Gateway closes with 1009 beyond it; a longer message goes in several frames."""
_REST_OF_A_FRAME = 1.0
_CLOSE_SECONDS = 2

_HUNG_UP = (
    websocket.WebSocketConnectionClosedException,
    ConnectionResetError,
    BrokenPipeError,
)
_FAILURES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (ssl.SSLError,),
        "it does not speak TLS, or no version that is safe. Is it {scheme}:// instead?",
    ),
    ((websocket.WebSocketAddressException, socket.gaierror), "there is no such host."),
    ((websocket.WebSocketTimeoutException, TimeoutError), "it did not answer in time."),
    ((websocket.WebSocketProxyException,), "the proxy does not let it through."),
    ((ConnectionRefusedError,), "nothing listens there."),
    (_HUNG_UP, "it hung up during the handshake. Is it {scheme}s:// instead?"),
)


class _Socket(websocket.WebSocket):
    """Does not lose the server's close frame where it can no longer be answered."""

    def send_close(self, status: int = websocket.STATUS_NORMAL, reason: str | bytes = b"") -> None:
        """Answer a close frame, if anybody still listens."""
        with suppress(OSError, websocket.WebSocketException):
            super().send_close(status, reason)


class Connection:
    """Open until ``close``; not for several threads at once."""

    def __init__(self, client: _Socket) -> None:
        self._client: Any = client  # not annotated throughout

    @classmethod
    def open(
        cls, target: Target, *, timeout: float, context: ssl.SSLContext | None = None
    ) -> Connection:
        """Shake hands; raises Refused or CannotConnect."""
        client: Any = _Socket(sslopt={"context": context} if context else None)
        try:
            client.connect(
                target.handshake_url,
                timeout=timeout,
                header=[f"{name}: {value}" for name, value in target.headers],
                subprotocols=list(target.subprotocols),
                suppress_origin=True,  # that of a page; there is none
                redirect_limit=0,
                **_proxy(target.handshake_url),
            )
        except (OSError, websocket.WebSocketException, ValueError) as error:
            raise _refusal(client, error, target) from None
        client.settimeout(timeout)
        return cls(client)

    def send(self, text: str) -> None:
        """Send one message; raises Closed."""
        data = text.encode()
        parts = [data[at : at + FRAME_SIZE] for at in range(0, len(data), FRAME_SIZE)] or [b""]
        try:
            for number, part in enumerate(parts):
                opcode = ABNF.OPCODE_CONT if number else ABNF.OPCODE_TEXT
                is_last = number == len(parts) - 1
                self._client.send_frame(ABNF.create_frame(part, opcode, int(is_last)))
        except (OSError, websocket.WebSocketException):
            raise self._why_lost() from None

    def receive(self, seconds: float | None, wake: int | None = None) -> str | None:
        """Return the next message; raises Closed.

        None after so many seconds, when the descriptor ``wake`` can be read, or for what is no
        message; call again.
        """
        if not self._is_readable(seconds, wake):
            return None
        try:
            opcode, data = self._read()
        except Closed:
            self._client.shutdown()
            raise
        is_message = opcode in (ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY)
        return data.decode(errors="replace") if is_message else None

    def close(self) -> None:
        """Close as the protocol wants it, or drop the connection after two seconds.

        Not by the library's ``close``, in which Ctrl-C is lost: it passes over any exception.
        """
        try:
            if self._client.connected:
                with suppress(OSError, websocket.WebSocketException):
                    self._say_goodbye()
        finally:
            self._client.shutdown()

    def _say_goodbye(self) -> None:
        """Send a close frame, and pass over what comes before its answer."""
        end = time.monotonic() + _CLOSE_SECONDS
        self._client.settimeout(_CLOSE_SECONDS)
        self._client.send_close()
        while self._client.recv_frame().opcode != ABNF.OPCODE_CLOSE:
            if time.monotonic() >= end:
                return

    def _read(self) -> tuple[int, bytes]:
        """Return a message or control frame; no opcode for half a frame, which is kept."""
        timeout = self._client.gettimeout()
        self._client.settimeout(_REST_OF_A_FRAME)
        try:
            opcode, frame = self._client.recv_data_frame(control_frame=True)
        except websocket.WebSocketTimeoutException:
            return -1, b""
        except (OSError, websocket.WebSocketConnectionClosedException):
            raise _closed(1006, "") from None
        except websocket.WebSocketException:
            raise Closed("what the server sends is not the WebSocket protocol.", 1002) from None
        finally:
            self._client.settimeout(timeout)
        if opcode == ABNF.OPCODE_CLOSE:
            raise _closed(*_close_code(frame.data))
        return opcode, frame.data

    def _is_readable(self, seconds: float | None, wake: int | None) -> bool:
        connected = self._client.sock
        if connected is None:
            raise _closed(1006, "")
        # TLS may hold what the system no longer shows.
        if isinstance(connected, ssl.SSLSocket) and connected.pending():
            return True
        watched: list[socket.socket | int] = [connected]
        if wake is not None:
            watched.append(wake)
        return connected in select.select(watched, [], [], seconds)[0]

    def _why_lost(self) -> Closed:
        """Return the reason that the server has given before it hung up."""
        try:
            while self.receive(_REST_OF_A_FRAME) is not None:
                pass  # messages nobody waits for any more
        except Closed as closed:
            return closed
        self._client.shutdown()
        return _closed(1006, "")


def _proxy(url: str) -> dict[str, Any]:
    """Return no proxy for what is on this machine: it would see tokens in the clear.

    The library heeds exceptions only beside a proxy. Nothing: as the environment says.
    """
    if not is_loopback(urlsplit(url).hostname or ""):
        return {}
    return {"http_proxy_host": "none", "http_proxy_port": 1, "http_no_proxy": ["*"]}


def _closed(code: int, reason: str) -> Closed:
    return Closed(words.closing(code, reason), code, reason)


def _close_code(data: bytes) -> tuple[int, str]:
    if len(data) < 2:
        return 1005, ""
    (code,) = struct.unpack("!H", data[:2])
    return code, data[2:].decode(errors="replace")


def _refusal(client: _Socket, error: Exception, target: Target) -> ClientError:
    status = getattr(error, "status_code", None)
    answered = client.handshake_response
    if status is None and answered is not None and 300 <= answered.status < 400:
        status = answered.status
    if status is not None:
        text = words.refusal(int(status))
        return Refused(text) if status in {401, 403} else CannotConnect(text)
    hint = ""
    if isinstance(error, ConnectionRefusedError) and target.shown == LOCAL_URL:
        hint = " `make run` serves it."
    return CannotConnect(f"cannot connect to {target.shown}: {failure(error)}{hint}")


def failure(error: object, scheme: str = "ws") -> str:
    """Say what went wrong below WebSocket or HTTP (``scheme``, in the clear).

    Never in the library's words, which quote what came.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}). See --ca-file."
    for kinds, text in _FAILURES:
        if isinstance(error, kinds):
            return text.format(scheme=scheme)
    if str(error).startswith("Tunnel connection failed"):  # urllib's
        return "the proxy does not let it through."
    if isinstance(error, OSError):
        return f"{words.printable(error.strerror or type(error).__name__)}."
    return f"what answers is no {'WebSocket' if scheme == 'ws' else 'HTTP'} server."


def trust(ca_file: Path | None) -> ssl.SSLContext | None:
    """Return how certificates are checked; None: by the system's authorities."""
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError:  # ssl.SSLError is one
        raise WrongInput(f"--ca-file {ca_file} holds no certificate that can be read") from None
