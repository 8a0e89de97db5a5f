"""HTTP/1.1 on an asyncio transport: requests in, responses out, and the way to an upgrade."""

from __future__ import annotations

import asyncio
import math
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

import httptools

from localgateway.http_messages import HttpRequest, HttpResponse, json_response, origin_form
from localgateway.limits import Limits
from localgateway.log import logger

_BAD_REQUEST = json_response(400, {"message": "Bad Request"})
_TOO_LARGE_HEADERS = json_response(431, {"message": "Request headers are too large"})
_INTERNAL_SERVER_ERROR = json_response(500, {"message": "Internal server error"})
_KEEP_ALIVE_SECONDS = 75.0
# A parser and its protocol refer to each other: with this one in its place both are freed at once,
# not when the collector comes by, which may be never in a gateway with thousands of idle clients.
_SPENT = httptools.HttpRequestParser(None)


class Host(Protocol):
    """What answers the requests."""

    limits: Limits
    transports: set[asyncio.Transport]
    http_protocols: set[HttpProtocol]

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` beside everything else."""

    def respond_at_once(self, request: HttpRequest) -> HttpResponse | None:
        """Answer a request that takes no waiting; None for any other."""

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer a request that is no upgrade."""

    def too_large(self) -> HttpResponse:
        """Answer a request whose body is too long to be read."""

    async def upgrade(
        self, request: HttpRequest, transport: asyncio.Transport, rest: bytes
    ) -> None:
        """Answer an upgrade request; ``rest`` came after it."""


class HttpProtocol(asyncio.Protocol):
    """One TCP connection until it is closed or becomes a WebSocket."""

    def __init__(self, server: Host) -> None:
        self._server = server
        self._limits = server.limits
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[HttpRequest, bool]] = deque()
        self._handshake: HttpRequest | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._answering = False
        self._upgrading = False
        self._afterwards: Callable[[], None] | None = None
        """What to do once all requests before it are answered: an upgrade, or say something."""
        self._source_ip = ""
        self._refused = False
        self._head_size = 0
        self.transport: asyncio.Transport | None = None
        self.deadline = math.inf
        """When the server drops this connection, by the loop's clock."""
        self._reset()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the client a limited time to send a whole request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        # asyncio does this only for sockets whose protocol number it was told; without it the
        # second of two small frames waits 40 ms for the client's delayed acknowledgement.
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._source_ip = (transport.get_extra_info("peername") or ("",))[0]
        self._server.transports.add(transport)
        self._server.http_protocols.add(self)
        self._expect_request(self._limits.handshake_timeout)

    def data_received(self, data: bytes) -> None:
        """Parse; what follows an upgrade request is left for the WebSocket."""
        if self._refused:
            return  # read on, so that no reset overtakes the answer; the deadline ends it
        if not self._headers_complete:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(_BAD_REQUEST)
        if not self._headers_complete and self._head_size > self._limits.header_size:
            self._refuse(_TOO_LARGE_HEADERS)

    def pause_writing(self) -> None:
        """Answer no more, and read no more, until the client has read what it was sent."""
        self._writable.clear()
        self._expect_request(self._limits.handshake_timeout)
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on: the client has caught up."""
        self._writable.set()
        waiting = self._answering or self._refused or self._upgrading
        if self.transport is not None and not waiting:
            self.transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the client; what its last request started runs on."""
        self._waiting.clear()
        self._writable.set()
        self._server.http_protocols.discard(self)
        if self.transport is not None:
            self._server.transports.discard(self.transport)
        self.transport = None
        self._parser = _SPENT

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Start a request."""
        self._reset()

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header, its name as the client wrote it; what comes after a body is none."""
        if self._headers_complete:
            self._trailer_size += len(name) + len(value) + 4
            if self._trailer_size > self._limits.header_size:
                self._refuse(_TOO_LARGE_HEADERS)
            return
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Refuse what is too large before reading on."""
        self._headers_complete = True
        head = len(self._target) + sum(len(k) + len(v) + 4 for k, v in self._headers)
        if len(self._target) > self._limits.url_length:
            self._refuse(json_response(414, {"message": "Request URI too long"}))
        elif head > self._limits.header_size:
            self._refuse(_TOO_LARGE_HEADERS)
        elif self._announced() > self._limits.request_body_size:
            self._refuse(self._server.too_large())
        elif self._expects_continue():
            if self._answering:
                self._afterwards = self._continue
            else:
                self._continue()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, up to the limit."""
        if len(self._body) + len(body) > self._limits.request_body_size:
            self._refuse(self._server.too_large())
        elif not self._refused:
            self._body += body

    def on_message_complete(self) -> None:
        """Answer requests one after the other; a second one waits for the first's response."""
        self._head_size = 0
        if self._refused:
            return
        self._afterwards = None  # its body has come without
        method = self._parser.get_method().decode("latin-1")
        request = HttpRequest(
            method,
            origin_form(self._target.decode("latin-1")),
            tuple(self._headers),
            bytes(self._body),
            self._source_ip,
        )
        self.deadline = math.inf
        # RFC 9110, 7.8: a client of HTTP/1.0 cannot ask for an upgrade.
        is_1_1 = self._parser.get_http_version() == "1.1"
        if is_1_1 and self._parser.should_upgrade() and _wants_websocket(request):
            self._handshake = request
            return
        keep_alive = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        if not self._answering and self._writable.is_set():
            # A post to a connection takes no waiting: half of all requests in a busy gateway.
            response = self._server.respond_at_once(request)
            if response is not None:
                self._send(request, response, keep_alive=keep_alive)
                return
        self._waiting.append((request, keep_alive))
        if not self._answering:
            self._answering = True
            self._server.spawn(self._answer())

    # The rest is private.

    def _reset(self) -> None:
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()
        self._trailer_size = 0
        self._headers_complete = False

    async def _answer(self) -> None:
        while self._waiting and self.transport is not None:
            request, keep_alive = self._waiting.popleft()
            self.transport.pause_reading()
            await self._writable.wait()
            self._send(request, await self._respond(request), keep_alive=keep_alive)
        self._answering = False
        if self.transport is not None and self._writable.is_set():
            self.transport.resume_reading()
        if self._afterwards is not None:
            afterwards, self._afterwards = self._afterwards, None
            afterwards()

    def _expects_continue(self) -> bool:
        is_1_1 = self._parser.get_http_version() == "1.1"
        return is_1_1 and any(name.lower() == "expect" for name, _ in self._headers)

    def _continue(self) -> None:
        if self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _announced(self) -> int:
        """Return the body's size as the request says it; 0 where it says none."""
        sizes = [value for name, value in self._headers if name.lower() == "content-length"]
        return int(sizes[0]) if sizes and sizes[0].isdecimal() else 0

    async def _respond(self, request: HttpRequest) -> HttpResponse:
        try:
            return await self._server.respond(request)
        except Exception:  # a fault of the gateway: the client hears of it, the log has it
            logger.exception("the gateway itself failed")
            return _INTERNAL_SERVER_ERROR

    def _send(self, request: HttpRequest, response: HttpResponse, *, keep_alive: bool) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        with_body = request.method != "HEAD"
        try:
            data = response.serialize(keep_alive=keep_alive, with_body=with_body)
        except ValueError as error:
            logger.error("%s %s: %s", request.method, request.path, error)
            data = _INTERNAL_SERVER_ERROR.serialize(keep_alive=keep_alive, with_body=with_body)
        # Before the write, which may find the client slow and set another deadline.
        self._expect_request(_KEEP_ALIVE_SECONDS if keep_alive else self._limits.handshake_timeout)
        self.transport.write(data)
        if not keep_alive:
            self.transport.close()

    def _upgrade(self, rest: bytes) -> None:
        if self._handshake is None or self.transport is None:
            return  # an upgrade to something else: the answer to its request is the last
        if self._answering:
            self._afterwards = lambda: self._upgrade(rest)
            return
        self.transport.pause_reading()
        self._upgrading = True
        self._server.spawn(self._decide(self._handshake, self.transport, rest))

    async def _decide(
        self, handshake: HttpRequest, transport: asyncio.Transport, rest: bytes
    ) -> None:
        try:
            await self._server.upgrade(handshake, transport, rest)
        finally:
            # Of no account once this is a WebSocket; a refused client must take its answer in time.
            self._expect_request(self._limits.close_timeout)
            self._parser = _SPENT

    def _refuse(self, response: HttpResponse) -> None:
        if self._refused:
            return
        self._refused = True
        if self._answering:
            self._afterwards = lambda: self._send_refusal(response)
        else:
            self._send_refusal(response)

    def _send_refusal(self, response: HttpResponse) -> None:
        self._expect_request(self._limits.close_timeout)
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(response.serialize(keep_alive=False))
            with suppress(OSError):  # the client may have gone
                self.transport.write_eof()

    def _expect_request(self, seconds: float) -> None:
        # A number, not a timer: there would be two for each request, and a heap full of them.
        self.deadline = asyncio.get_running_loop().time() + seconds


def _wants_websocket(request: HttpRequest) -> bool:
    return "websocket" in (request.header("Upgrade") or "").lower()
