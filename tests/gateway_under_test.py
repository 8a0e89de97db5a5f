"""A real gateway on a free port, with plain functions in place of an app's Lambda functions."""

from __future__ import annotations

import asyncio
import copy
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import websocket

from localgateway.definition import ApiDefinition
from localgateway.events import Event, Stage
from localgateway.functions import Functions
from localgateway.gateway import Gateway
from localgateway.http_routes import HttpRoutes
from localgateway.limits import Limits
from localgateway.queue_handlers import QueueHandlers
from localgateway.queues import EventSource, QueueDefinition
from localgateway.server import Server
from localgateway.sqs import Sqs
from localgateway.workers import MAX_THREADS

Answer = TypeVar("Answer")
Handler = Callable[[Event, Any], Any]

NET = 60.0
"""Seconds until what should have come at once counts as never; how soon it comes is not asked."""


def allow(event: Event, _context: Any = None, **context: Any) -> Event:
    """Answer as an authorizer that lets everybody in."""
    return {
        "principalId": "someone",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow",
                    "Resource": event["methodArn"],
                }
            ],
        },
        "context": context,
    }


class GatewayUnderTest:
    """Runs until ``stop``; remembers every invocation as (function, event)."""

    def __init__(
        self,
        definition: ApiDefinition,
        functions: Mapping[str, Handler],
        limits: Limits | None = None,
        *,
        http_routes: HttpRoutes | None = None,
        disconnects: int = 1,
        concurrency: int = MAX_THREADS,
        make_server: Callable[..., Server] = Server,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` tells seconds since the epoch."""
        self.clock = clock
        self.clock_offset = 0
        """Milliseconds the gateway's clock is ahead; a test may move it."""
        self.calls: list[tuple[str, Event]] = []
        self._clients: list[Any] = []
        self._queues: QueueHandlers | None = None
        self.limits = limits or Limits(close_timeout=1.0)
        self._functions = Functions(
            {name: self._recorded(name, function) for name, function in functions.items()},
            timeout=self.limits.integration_timeout,
            concurrency=concurrency,
        )
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.stage = Stage("api", api_id="abcdef1234", domain_name=self.address)
        self.gateway = Gateway(
            definition,
            self.stage,
            self._functions,
            clock=lambda: int(self.clock() * 1000) + self.clock_offset,
            entropy=secrets.token_bytes,
            limits=self.limits,
            disconnects=disconnects,
        )
        self.server = make_server(self.gateway, http_routes)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.server.start(self._listener), self.loop).result(NET)

    @property
    def url(self) -> str:
        return f"ws://{self.address}/api"

    @property
    def management_url(self) -> str:
        return f"http://{self.address}/api"

    def stop_clock(self) -> None:
        """From now on time passes only as ``clock_offset`` says, however long a test takes."""
        now = self.clock()
        self.clock = lambda: now

    def connect(self, query: str = "", **options: Any) -> Any:
        """Open a connection; raises ``WebSocketBadStatusException`` when refused."""
        client = websocket.create_connection(f"{self.url}{query}", timeout=NET, **options)
        self._clients.append(client)
        return client

    def refusal(self, query: str = "", **options: Any) -> int:
        """Return the status with which a handshake is refused; 101 when it is not."""
        try:
            self.connect(query, **options).close()
        except websocket.WebSocketBadStatusException as error:
            return int(error.status_code)
        except websocket.WebSocketException as error:  # a redirect without a location
            return int(str(error).rpartition("status ")[2])
        return 101

    def raw(self, target: str = "/api", *headers: str) -> socket.socket:
        """Send an upgrade request as bytes and return the socket, nothing read yet."""
        host, port = self.address.split(":")
        client = socket.create_connection((host, int(port)), timeout=NET)
        lines = (
            f"GET {target} HTTP/1.1",
            f"Host: {self.address}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            *headers,
        )
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        return client

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Return an answer from between two turns of the loop, when nothing is half done."""

        async def answer() -> Answer:
            return question()

        return asyncio.run_coroutine_threadsafe(answer(), self.loop).result(NET)

    def events(self, function: str) -> list[Event]:
        return [event for name, event in self.calls if name == function]

    def wait_for(self, function: str, count: int = 1) -> Event:
        """Return the latest event of a function once it was invoked ``count`` times."""
        eventually(lambda: len(self.events(function)) >= count)
        return self.events(function)[-1]

    def work_queues(
        self,
        engine_url: str,
        queues: Sequence[Mapping[str, Any]],
        sources: Sequence[EventSource],
        deliveries: int = 1,
        function_timeouts: Mapping[str, int] | None = None,
    ) -> None:
        """Create queues on an engine, and let functions work them."""
        starting = QueueHandlers.start(
            Sqs(engine_url, self.stage.region),
            [QueueDefinition.read(properties, self.stage) for properties in queues],
            sources,
            self._functions,
            self.server.spawn,
            region=self.stage.region,
            concurrency=self.limits.queue_concurrency,
            deliveries=deliveries,
            function_timeouts=function_timeouts,
        )
        self._queues = asyncio.run_coroutine_threadsafe(starting, self.loop).result(NET)

    def stop(self) -> None:
        if self.loop.is_closed():
            return
        for client in self._clients:
            client.shutdown()
        if self._queues is not None:
            asyncio.run_coroutine_threadsafe(self._queues.stop(), self.loop).result(NET)
        asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop).result(NET)
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(NET)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(NET)
        self.loop.close()

    async def _end(self) -> None:
        """End as ``asyncio.run`` does: what still runs is cancelled."""
        if self._queues is not None:
            await self._queues.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _recorded(self, name: str, function: Handler) -> Handler:
        def recorded(event: Event, context: Any) -> Any:
            self.calls.append((name, copy.deepcopy(event)))
            return function(event, context)

        return recorded


def eventually(condition: Callable[[], bool], seconds: float = NET) -> None:
    """Wait until a condition holds; fail when it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)
