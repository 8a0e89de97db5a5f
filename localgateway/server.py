"""One port: WebSockets, the management API and HTTP routes."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Coroutine
from typing import Any

from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import CloseCode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from localgateway import lambda_api
from localgateway.errors import HandshakeRefused
from localgateway.events import Connection, Handshake
from localgateway.gateway import Gateway
from localgateway.http_messages import HttpRequest, HttpResponse, json_response
from localgateway.http_protocol import HttpProtocol
from localgateway.http_routes import HttpRoutes
from localgateway.lambda_api import LambdaApi
from localgateway.log import logger
from localgateway.management_api import ManagementApi
from localgateway.websocket_peer import WebSocketPeer
from localgateway.workers import Workers

_handshakes = logging.getLogger("localgateway.handshake")
_handshakes.setLevel(logging.WARNING)

BACKLOG = 2048
_SWEEP_SECONDS = 1.0
# Window and memory level are websockets' own defaults: 34 KiB a connection that negotiates it.
_DEFLATE = ServerPerMessageDeflateFactory(
    server_max_window_bits=12, client_max_window_bits=12, compress_settings={"memLevel": 5}
)


class Server:
    """Serves one gateway, and the HTTP routes of its app where there are any."""

    def __init__(
        self,
        gateway: Gateway,
        http_routes: HttpRoutes | None = None,
        functions_api: LambdaApi | None = None,
    ) -> None:
        self.limits = gateway.limits
        self.transports: set[asyncio.Transport] = set()
        self.http_protocols: set[HttpProtocol] = set()
        """Connections that are no WebSockets, or not yet."""
        self._gateway = gateway
        self._management_api = ManagementApi(gateway)
        self._http_routes = http_routes
        self._functions_api = functions_api
        self._http_workers = Workers()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._stopping = False
        self._ended: deque[tuple[Connection, int, str]] = deque()
        """Connections whose end the app has not been told yet."""

    async def start(self, listener: socket.socket) -> None:
        """Accept connections on a bound socket."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: HttpProtocol(self), sock=listener, backlog=BACKLOG
        )
        self._sweeper = loop.create_task(self._sweep())

    async def stop(self, seconds: float = 3.0) -> None:
        """Close every connection with 1001, let the app hear of it, and stop listening.

        The port is open until what runs has ended, within ``seconds``: handlers still post to it.
        """
        self._stopping = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for peer in list(self._gateway.peers.values()):
            peer.close(CloseCode.GOING_AWAY, "Going away")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self._tasks and loop.time() < deadline:  # what ends may start more: $disconnect
            await asyncio.wait(self._tasks, timeout=deadline - loop.time())
        self._gateway.close()  # before the port: what still runs could only fail without it
        if self._server is not None:
            self._server.close()
        for transport in list(self.transports):
            transport.abort()
        await asyncio.sleep(0)  # asyncio closes aborted transports in its next turn
        self._http_workers.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` beside everything else; an error in it is logged, never lost."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def tell_of_end(self, connection: Connection, code: int, reason: str) -> None:
        """Have the app told that a connection has ended."""
        self._ended.append((connection, code, reason))
        if len(self._ended) == 1:
            self.spawn(self._tell_of_ends())

    def respond_at_once(self, request: HttpRequest) -> HttpResponse | None:
        """Answer a call of the management API; None for any other request."""
        return self._management_api.respond(request)

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer a request that is no upgrade."""
        response = self.respond_at_once(request)
        if response is not None:
            return response
        if self._functions_api is not None and lambda_api.matches(request.path):
            return await self._functions_api.respond(request, self.spawn)
        has_route = self._http_routes is not None and self._http_routes.has(request.path)
        if self._is_endpoint(request.path) and not has_route:
            return json_response(426, {"message": "Upgrade Required"}, ("Upgrade", "websocket"))
        routes = self._http_routes
        if routes is None:
            return json_response(403, {"message": "Missing Authentication Token"})
        try:
            async with asyncio.timeout(self.limits.integration_timeout):
                answer: HttpResponse = await self._http_workers.run(lambda: routes.respond(request))
                return answer
        except TimeoutError:
            return routes.timed_out()

    def too_large(self) -> HttpResponse:
        """Answer a request whose body is too long to be read."""
        routes = self._http_routes
        if routes is None:
            return json_response(413, {"message": "Request Too Long"})
        return routes.too_large()

    async def upgrade(
        self, request: HttpRequest, transport: asyncio.Transport, rest: bytes
    ) -> None:
        """Answer an upgrade request once the app has decided; ``rest`` came after it."""
        protocol = ServerProtocol(extensions=[_DEFLATE], logger=_handshakes)
        response = protocol.accept(
            Request(request.target, Headers(request.headers), request.method)
        )
        if response.status_code != 101:
            return _refuse(
                transport, json_response(response.status_code, {"message": "Bad Request"})
            )
        if _announces_body(request):
            # Its body would be read as frames.
            return _refuse(transport, json_response(400, {"message": "Bad Request"}))
        if self._stopping:
            return _refuse(transport, json_response(503, {"message": "Service Unavailable"}))
        if not self._is_endpoint(request.path):
            return _refuse(transport, json_response(403, {"message": "Forbidden"}))
        handshake = Handshake(request.headers, request.query, request.source_ip)
        try:
            admission = await self._gateway.open(handshake)
        except HandshakeRefused as refusal:
            return _refuse(transport, json_response(refusal.status, {"message": refusal.message}))
        except Exception:
            # A fault of the gateway: say so to the client too, and let the log have it.
            _refuse(transport, json_response(500, {"message": "Internal server error"}))
            raise
        if admission.subprotocol is not None:
            response.headers["Sec-WebSocket-Protocol"] = admission.subprotocol
        peer = WebSocketPeer(admission.connection, self._gateway, protocol.extensions, self)
        self._gateway.admit(peer)
        peer.take_over(transport, response.serialize(), rest)
        if self._stopping:
            peer.close(CloseCode.GOING_AWAY, "Going away")

    async def _tell_of_ends(self) -> None:
        """Invoke ``$disconnect`` as fast as functions run.

        When a thousand clients leave at once, their events and tasks would take more memory than
        the connections did.
        """
        while self._ended:  # while it holds any there is no second one of us
            await self._gateway.functions_are_ready()
            self.spawn(self._gateway.disconnect(*self._ended.popleft()))

    async def _sweep(self) -> None:
        """Close what is overdue, looking once a second: a timer each would cost more memory."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for peer in self._gateway.overdue():
                peer.close(CloseCode.GOING_AWAY, "Going away")
            now = loop.time()
            for protocol in [p for p in self.http_protocols if p.deadline <= now]:
                if protocol.transport is not None:
                    protocol.transport.abort()

    def _is_endpoint(self, path: str) -> bool:
        return path.removesuffix("/") == f"/{self._gateway.stage.name}"

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("the gateway itself failed", exc_info=task.exception())


def _announces_body(request: HttpRequest) -> bool:
    length = request.header("Content-Length") or "0"
    return length.strip() != "0" or request.header("Transfer-Encoding") is not None


def _refuse(transport: asyncio.Transport, response: HttpResponse) -> None:
    # The body is a guess: no refusal of AWS's has been seen whole.
    transport.write(response.serialize(keep_alive=False))
    transport.close()
