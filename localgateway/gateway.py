"""A connection's life, sans I/O: authorize, connect, route messages, disconnect.

Sockets are ``Peer``s and functions are invoked through ``Functions``; this module only decides
what happens in which order.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from localgateway import authorization, events
from localgateway.definition import ApiDefinition
from localgateway.errors import (
    FunctionError,
    FunctionTimedOut,
    HandshakeRefused,
    IntegrationFailed,
)
from localgateway.events import Connection, Handshake, Request, Stage
from localgateway.functions import Functions
from localgateway.http_messages import reason_phrase
from localgateway.ids import Entropy, new_id, new_trace_id
from localgateway.integrations import integrate
from localgateway.limits import Limits
from localgateway.log import Occurrence, logger, occurred
from localgateway.rate import TokenBucket
from localgateway.route_selection import select_route

# RFC 9110, 5.6.2: what a subprotocol's name may be made of.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class Peer(Protocol):
    """The socket of an open connection."""

    connection: Connection
    last_active_at: int

    def send(self, data: bytes) -> bool:
        """Send one text message; False where the client leaves too much unread."""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A handshake that succeeded: answer 101, with the subprotocol the connect handler chose."""

    connection: Connection
    subprotocol: str | None


class Gateway:
    """One stage of one WebSocket API."""

    def __init__(
        self,
        definition: ApiDefinition,
        stage: Stage,
        functions: Functions,
        *,
        clock: Callable[[], int],
        entropy: Entropy,
        limits: Limits | None = None,
        disconnects: int = 1,
    ) -> None:
        """``clock`` tells milliseconds since the epoch.

        ``disconnects`` is how often ``$disconnect`` is invoked for each connection: AWS makes a
        best effort, so an app must live with none and with two.
        """
        self.definition = definition
        self.limits = limits or Limits()
        self.stage = replace(stage, variables=definition.stage_variables)
        self.clock = clock
        self.peers: dict[str, Peer] = {}
        self._functions = functions
        self._entropy = entropy
        self._disconnects = disconnects
        now = clock()
        self._connects = _bucket(self.limits.connects_per_second, None, now)
        self._requests = _bucket(self.limits.requests_per_second, self.limits.request_burst, now)

    async def open(self, handshake: Handshake) -> Admission:
        """Authorize and connect; raises ``HandshakeRefused`` with the status to answer."""
        started = time.perf_counter()
        connection = Connection(
            new_id(self._entropy),
            self.clock(),
            handshake.source_ip,
            handshake.header("User-Agent"),
        )
        handshake = self._forwarded(handshake, connection.connected_at)
        try:
            if not self._connects(connection.connected_at):
                raise HandshakeRefused(429, "Too Many Requests")
            latency = await self._authorize(connection, handshake)
            response = await self._connect(connection, handshake, latency)
            subprotocol = _subprotocol(response)
        except HandshakeRefused as refusal:
            _log(started, connection, "$connect", refusal.status)
            raise
        _log(started, connection, "$connect", 101)
        return Admission(connection, subprotocol)

    def admit(self, peer: Peer) -> None:
        """Register an open socket: from now on it can be posted to."""
        self.peers[peer.connection.connection_id] = peer

    async def receive(self, peer: Peer, frame: str) -> None:
        """Route one message to its integration; the client hears only of failures."""
        started = time.perf_counter()
        request = self._request()
        definition = self.definition
        route_key = select_route(definition.route_selection_expression, frame, definition.routes)
        outcome = "ok"
        try:
            if route_key is None:
                raise IntegrationFailed("Forbidden")
            await self._integrate(peer, request, route_key, frame)
        except IntegrationFailed as failure:
            outcome = str(failure)
            peer.send(error_frame(outcome, peer.connection.connection_id, request.request_id))
        _log(started, peer.connection, route_key or "-", outcome)

    def take_request(self) -> bool:
        """Count one message or call against the account's quota; False when it is used up."""
        return self._requests(self.clock())

    def overdue(self) -> list[Peer]:
        """Return the connections that have been idle, or open, for longer than they may."""
        now = self.clock()
        quiet_since = now - self.limits.idle_timeout * 1000
        opened_by = now - self.limits.max_duration * 1000
        return [
            peer
            for peer in self.peers.values()
            if peer.last_active_at <= quiet_since or peer.connection.connected_at <= opened_by
        ]

    def forget(self, peer: Peer) -> bool:
        """Unregister a socket: posts to it are 410 from now on. True the first time only."""
        return self.peers.pop(peer.connection.connection_id, None) is not None

    async def functions_are_ready(self) -> None:
        """Return when few invocations wait for a thread."""
        await self._functions.ready()

    def close(self) -> None:
        """Invoke functions no more; those that run are not waited for."""
        self._functions.close()

    async def disconnect(self, connection: Connection, status_code: int, reason: str) -> None:
        """Tell the app that a connection has ended; best effort, as on AWS."""
        started = time.perf_counter()
        route = self.definition.routes.get("$disconnect")
        if route is not None:
            event = events.disconnect_event(
                self.stage, connection, self._request(), status_code=status_code, reason=reason
            )
            for _ in range(self._disconnects):
                with suppress(IntegrationFailed):  # nobody is left to answer; the log says why
                    await integrate(route, event, self._functions)
        _log(started, connection, "$disconnect", status_code)

    async def _authorize(self, connection: Connection, handshake: Handshake) -> int:
        authorizer = self.definition.authorizer
        if authorizer is None:
            return 0
        # Both events of a handshake are timed when it arrived, however long the authorizer takes.
        request = Request(new_id(self._entropy), connection.connected_at)
        event = events.authorizer_event(self.stage, connection, handshake, request)
        if authorization.missing_identity_source(authorizer.identity_sources, handshake, event):
            raise HandshakeRefused(401, "Unauthorized")
        started = self.clock()
        try:
            answer = await self._functions.invoke(authorizer.function, event)
        except FunctionError as error:
            if error.message == "Unauthorized":
                raise HandshakeRefused(401, "Unauthorized") from error
            raise HandshakeRefused(500, "Internal server error") from error
        connection.authorizer = _verdict(answer, event["methodArn"], connection.source_ip)
        return self.clock() - started

    async def _connect(
        self, connection: Connection, handshake: Handshake, latency: int
    ) -> Mapping[str, Any]:
        route = self.definition.routes.get("$connect")
        if route is None:
            return {}
        request = Request(new_id(self._entropy), connection.connected_at)
        event = events.connect_event(
            self.stage, connection, handshake, request, integration_latency=latency
        )
        try:
            response = await integrate(route, event, self._functions)
        except IntegrationFailed as failure:
            timed_out = isinstance(failure.__cause__, FunctionTimedOut)
            raise HandshakeRefused(504 if timed_out else 502, str(failure)) from failure
        status = response.get("statusCode") if isinstance(response, dict) else None
        # What AWS makes of a status that refuses nothing (101, say) is not known.
        if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status < 600:
            raise HandshakeRefused(502, "Internal server error")
        if status >= 300:
            raise HandshakeRefused(status, reason_phrase(status))
        return dict(response)

    async def _integrate(self, peer: Peer, request: Request, route_key: str, frame: str) -> None:
        route = self.definition.routes[route_key]
        event = events.message_event(
            self.stage,
            peer.connection,
            request,
            route_key=route_key,
            message_id=new_id(self._entropy),
            body=frame,
        )
        answer = await integrate(route, event, self._functions)
        if route.two_way:
            # An absent body has been seen to arrive as an empty message.
            body = answer.get("body") if isinstance(answer, dict) else None
            if body is not None and not isinstance(body, str):
                raise IntegrationFailed("Internal server error")
            try:
                peer.send((body or "").encode())
            except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can say
                raise IntegrationFailed("Internal server error") from error

    def _request(self) -> Request:
        return Request(new_id(self._entropy), self.clock())

    def _forwarded(self, handshake: Handshake, now: int) -> Handshake:
        """Add the headers AWS's front end adds; a client's own hops come before ours."""
        hops = handshake.header("X-Forwarded-For")
        source = handshake.source_ip
        added = {
            "X-Amzn-Trace-Id": new_trace_id(now, self._entropy),
            "X-Forwarded-For": f"{hops}, {source}" if hops else source,
            "X-Forwarded-Port": "443",
            "X-Forwarded-Proto": "https",
        }
        replaced = {name.lower() for name in added}
        kept = [pair for pair in handshake.headers if pair[0].lower() not in replaced]
        return replace(handshake, headers=(*kept, *added.items()))


def error_frame(message: str, connection_id: str, request_id: str) -> bytes:
    """Return an error frame, its spaces where AWS has them."""
    return (
        f'{{"message": "{message}", "connectionId":"{connection_id}", "requestId":"{request_id}"}}'
    ).encode()


def _bucket(rate: float | None, burst: int | None, now: int) -> Callable[[int], bool]:
    if rate is None:
        return lambda _now: True
    return TokenBucket(rate, max(1.0, rate) if burst is None else burst, now).take


def _verdict(answer: Any, method_arn: str, source_ip: str) -> authorization.AuthorizerContext:
    try:
        return authorization.evaluate(answer, method_arn, source_ip)
    except HandshakeRefused as refusal:
        if refusal.__cause__ is not None:
            logger.error("authorizer: %s", refusal.__cause__)
        raise


def _subprotocol(response: Mapping[str, Any]) -> str | None:
    headers = response.get("headers")
    if not isinstance(headers, dict):
        return None
    lowered = {str(name).lower(): value for name, value in headers.items()}
    value = lowered.get("sec-websocket-protocol")
    if value is None:
        return None
    if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
        raise HandshakeRefused(502, "Internal server error")
    return value


def _log(started: float, connection: Connection, route_key: str, status: object) -> None:
    milliseconds = (time.perf_counter() - started) * 1000
    occurred(Occurrence(connection.connection_id, route_key, str(status), milliseconds))
