"""One place to connect to: its addresses, TLS, and connections that are kept.

A call that waits for its answer is made here; exchanges.py makes many at once.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from chalicelib.errors import ServiceUnavailable
from chalicelib.http1 import MAX_BODY_BYTES, Response, ResponseParser

if TYPE_CHECKING:
    import ssl

MAX_IDLE = 64
MAX_IDLE_SECONDS = 50.0
_ADDRESS_SECONDS = 30.0
_ADDRESSES_TRIED = 2
_RECEIVED_AT_ONCE = 64 * 1024

Address = tuple[int, Any]
"""A family, and where in it."""


class Origin:
    """``http(s)://host[:port]``, for any number of threads."""

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float = 2.0,
        read_timeout: float = 5.0,
        max_body: int = MAX_BODY_BYTES,
        tls: ssl.SSLContext | None = None,
        look_up: Callable[..., Sequence[Any]] = socket.getaddrinfo,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Times are in seconds; ``read_timeout`` is for the whole of an answer."""
        self._lock = threading.Lock()
        self._idle: deque[tuple[float, socket.socket]] = deque()
        parts = urlsplit(url)
        self.host = parts.netloc
        self.connect_timeout = connect_timeout
        self.read_timeout = read_timeout
        self.again: tuple[type[OSError], ...] = (BlockingIOError,)
        """What non-blocking connections raise where they would wait."""
        self._name = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._max_body = max_body
        self._look_up = look_up
        self._clock = clock
        self._addresses: Sequence[Address] = ()
        self._looked_up = 0.0
        self.is_tls = parts.scheme == "https"
        """Whether a connection is ``secure``-d before it is used."""
        self._tls = tls

    def exchange(self, request: bytes) -> Response:
        """Send a request and return the answer, whatever its status.

        Raises ServiceUnavailable where there is none, or not in time.
        """
        kept = self.take()
        if kept is not None:
            try:
                return self._exchange(kept, request)
            except _Unanswered:
                # Closed while it was idle, which shows only now; its neighbours are no younger.
                self.close()
        return self._exchange(self._connect(), request)

    def take(self) -> socket.socket | None:
        """Return a connection that was kept, the youngest; its timeout may be any."""
        with self._lock:
            if not self._idle:
                return None
            since, sock = self._idle.pop()
        if self._clock() - since < MAX_IDLE_SECONDS:
            return sock
        sock.close()
        self.close()
        return None

    def keep(self, sock: socket.socket) -> None:
        """Keep a connection that can be used again."""
        with self._lock:
            self._idle.append((self._clock(), sock))
            oldest = self._idle.popleft()[1] if len(self._idle) > MAX_IDLE else None
        if oldest is not None:
            oldest.close()

    def close(self) -> None:
        """Close what is kept."""
        with self._lock:
            idle = list(self._idle)
            self._idle.clear()
        for _, sock in idle:
            sock.close()

    def __del__(self) -> None:
        self.close()

    def addresses(self, timeout: float) -> Sequence[Address]:
        """Return where to connect to, the best first; raises ServiceUnavailable."""
        addresses = self._addresses
        if not addresses or self._clock() - self._looked_up > _ADDRESS_SECONDS:
            addresses = self._resolve(timeout)
            self._addresses, self._looked_up = addresses, self._clock()
        return addresses

    def avoid(self, address: Address) -> None:
        """Take another address from now on, and ask for them again once all have failed."""
        with self._lock:
            if self._addresses and self._addresses[0] == address:
                self._addresses = self._addresses[1:]

    def begin(self, address: Address) -> socket.socket:
        """Return a non-blocking socket that is connecting; OSError where it cannot."""
        family, where = address
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(BlockingIOError):
                sock.connect(where)
        except OSError:
            sock.close()
            raise
        return sock

    def secure(self, sock: socket.socket) -> ssl.SSLSocket:
        """Return a connected socket with TLS on it, still to do its handshake."""
        if self._tls is None:
            self._tls = _tls_context()
        self.again = _tls_again()
        return self._tls.wrap_socket(
            sock, server_hostname=self._name, do_handshake_on_connect=False
        )

    def _connect(self) -> socket.socket:
        problem = None
        try:
            for address in self.addresses(self.connect_timeout)[:_ADDRESSES_TRIED]:
                try:
                    return self._connect_to(address)
                except OSError as error:
                    problem = error
                    self.avoid(address)
            raise ServiceUnavailable(f"cannot connect to {self.host}: {problem}") from problem
        finally:
            del problem  # it knows this frame, and so nothing that is kept would be freed at once

    def _connect_to(self, address: Address) -> socket.socket:
        family, where = address
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.connect_timeout)
            sock.connect(where)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.is_tls:
                sock = secured = self.secure(sock)
                secured.do_handshake()
        except OSError:
            sock.close()
            raise
        return sock

    def _exchange(self, sock: socket.socket, request: bytes) -> Response:
        parser = ResponseParser(self._max_body)
        try:
            if sock.gettimeout() != self.read_timeout:
                sock.settimeout(self.read_timeout)
            sock.sendall(request)
            response = self._receive(sock, parser)
        except (OSError, ServiceUnavailable) as error:
            sock.close()
            unanswered = not parser.started and not isinstance(error, TimeoutError)
            kind = _Unanswered if unanswered else ServiceUnavailable
            raise kind(f"no answer from {self.host}: {error!r}") from error
        if parser.keep_alive:
            self.keep(sock)
        else:
            sock.close()
        return response

    def _receive(self, sock: socket.socket, parser: ResponseParser) -> Response:
        end = self._clock() + self.read_timeout
        while True:
            data = sock.recv(_RECEIVED_AT_ONCE)
            response = parser.feed(data) if data else parser.eof()
            if response is not None:
                return response
            if not data:
                raise ConnectionResetError("closed before the answer was whole")
            left = end - self._clock()
            if left <= 0:
                raise TimeoutError("the answer took too long")
            sock.settimeout(left)

    def _resolve(self, timeout: float) -> Sequence[Address]:
        """Ask in a thread of its own, for a resolver that hangs cannot be told to stop."""
        answers: SimpleQueue[Sequence[Any] | Exception] = SimpleQueue()

        def look_up() -> None:
            try:
                answers.put(self._look_up(self._name, self._port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError) as error:
                answers.put(error)

        threading.Thread(target=look_up, name="look-up", daemon=True).start()
        try:
            answer = answers.get(timeout=timeout)
        except Empty:
            answer = TimeoutError("the name was not resolved in time")
        if not answer:
            answer = OSError("the name has no address")
        if isinstance(answer, Exception):
            raise ServiceUnavailable(f"cannot connect to {self.host}: {answer}") from answer
        return [(family, where) for family, _, _, _, where in answer]


class _Unanswered(ServiceUnavailable):
    """The peer closed the connection before it answered."""


@cache
def _tls_context() -> ssl.SSLContext:
    """One for all: making one reads every root certificate of the system."""
    import ssl  # noqa: PLC0415  10 ms, of no use to what speaks to this machine only

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


@cache
def _tls_again() -> tuple[type[OSError], ...]:
    import ssl  # noqa: PLC0415

    return BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError
