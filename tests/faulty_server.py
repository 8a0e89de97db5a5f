"""An HTTP server on 127.0.0.1 that does to each request what the last part of its path says."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote

CERTIFICATE = Path(__file__).parent / "certificates" / "localhost.pem"
"""Its own authority, for the name localhost only; says nothing to anybody but these tests."""


def answer(status: int, more: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\n{more}Content-Length: 2\r\n\r\n{{}}".encode()


OK = answer(200)


class FaultyServer:
    """``/…/<fault>.<anything>``; ``seen`` counts the requests for each last part of a path."""

    def __init__(self, *, tls: bool = False) -> None:
        self.seen: Counter[str] = Counter()
        self.acted: Counter[str] = Counter()
        """How often what a request asked for was done, whatever was answered."""
        self.tokens: list[bytes] = []
        """The session tokens of the requests, in their order."""
        self.accepted = 0
        self.received: Counter[str] = Counter()
        """The bytes of bodies, for each last part of a path."""
        self._loop = asyncio.new_event_loop()
        self._open: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
        self.port = self._listener.getsockname()[1]
        # The certificate's name; on some machines it is that of an IPv6 address first of all.
        self.origin = f"https://localhost:{self.port}" if tls else f"http://127.0.0.1:{self.port}"
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, sock=self._listener, ssl=context)
        )
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def __enter__(self) -> FaultyServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def look_up(self, *_: Any, **__: Any) -> list[Any]:
        """Stand in for getaddrinfo: whatever the name, it is here."""
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", self.port))]

    @property
    def bodies(self) -> int:
        """The bytes of all bodies."""
        return self.received.total()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the server counts: a client may be done with it before it is counted."""
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, "never counted"
            time.sleep(0.005)

    async def _stop(self) -> None:
        # Not closed yet: asyncio would drop, and not close, what it has accepted a moment ago.
        self._loop.remove_reader(self._listener)
        while len(asyncio.all_tasks()) > 1:  # with those that have not begun yet
            for task, writer in self._open.items():
                _abort(writer)
                task.cancel()
            await asyncio.sleep(0.01)
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        self.accepted += 1
        with suppress(OSError, EOFError, asyncio.CancelledError):
            while await self._exchange(reader, writer):
                pass
            writer.close()
            await writer.wait_closed()
        _abort(writer)
        del self._open[task]

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        name = unquote(head.split(b" ")[1].decode()).rpartition("/")[2]
        self.seen[name] += 1
        if b"x-amz-security-token: " in head:
            token = head.partition(b"x-amz-security-token: ")[2]
            self.tokens.append(token.partition(b"\r")[0])
        fault, _, _ = name.partition(".")
        if fault != "early":
            lengths = [line for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
            length = int(lengths[0].partition(b":")[2]) if lengths else 0
            body = await reader.readexactly(length)
            self.received[name] += len(body)
        if fault.rstrip("0123456789") in ACTED:
            self.acted[name] += 1
        if fault in FIXED:
            writer.write(FIXED[fault])
            return fault not in CLOSING
        times = int(fault[-1]) if fault[-1].isdigit() else 1_000_000
        if self.seen[name] > times and fault not in ("silent", "split", "early"):
            self.acted[name] += fault.rstrip("0123456789") not in ACTED
            writer.write(OK)
            return True
        return await FAULTS[fault.rstrip("0123456789")](writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    with suppress(AttributeError):  # a TLS transport that is closed already, in Python 3.11.2
        writer.transport.abort()


async def down(writer: asyncio.StreamWriter) -> bool:
    writer.write(answer(503))
    return True


async def busy(writer: asyncio.StreamWriter) -> bool:
    writer.write(answer(429))
    return True


async def reset(writer: asyncio.StreamWriter) -> bool:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
    return False


async def half(writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf")
    return False


async def silent(writer: asyncio.StreamWriter) -> bool:
    await asyncio.sleep(30)
    return False


async def early(writer: asyncio.StreamWriter) -> bool:
    # Or the system may take in all of a large request by itself.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    writer.write(answer(413))
    return await silent(writer)


async def split(writer: asyncio.StreamWriter) -> bool:
    for place in range(len(OK)):
        writer.write(OK[place : place + 1])
        await asyncio.sleep(0)
    return True


FIXED: Mapping[str, bytes] = {
    "ok": OK,
    "gone": answer(410),
    "slow": answer(429),
    "denied": answer(403),
    "last": answer(200, "Connection: close\r\n"),
    "leaving": answer(503, "Connection: close\r\n"),
    "rude": OK,
    "old": b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "surplus": OK + answer(410),
    "large": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000,
    "junk": b"SSH-2.0-OpenSSH\r\n\r\n",
    "long": b"HTTP/1.1 200 OK\r\n" + b"x-long: " * 10_000,
}
ACTED = frozenset(
    {"ok", "last", "rude", "old", "interim", "chunked", "surplus", "large", "split", "lost", "half"}
)
"""Faults whose requests are acted upon each time."""
CLOSING = frozenset({"last", "leaving", "rude", "old"})
FAULTS: Mapping[str, Callable[[asyncio.StreamWriter], Coroutine[Any, Any, bool]]] = {
    "down": down,
    "busy": busy,
    "reset": reset,
    "lost": reset,
    "half": half,
    "silent": silent,
    "early": early,
    "split": split,
}
"""With a digit at the end only so many times; then all is well."""
