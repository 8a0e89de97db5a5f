"""The events API Gateway hands to Lambda functions, built from plain facts.

Shapes follow events recorded on AWS since 2022: absent members are absent, never null.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
Pairs = tuple[tuple[str, str], ...]

ACCOUNT_ID = "123456789012"
"""Of every event, ARN and queue here: the one AWS's own examples have."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UPGRADE_HEADERS = (("Connection", "upgrade"), ("Upgrade", "websocket"), ("content-length", "0"))
_HOP_BY_HOP = frozenset(name.lower() for name, _ in _UPGRADE_HEADERS)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of one API: what every event says about where it happened."""

    name: str = "api"
    api_id: str = "local00000"
    region: str = "us-east-1"
    account_id: str = ACCOUNT_ID
    domain_name: str = "127.0.0.1:8000"
    variables: Mapping[str, str] = field(default_factory=dict)

    def method_arn(self, route_key: str) -> str:
        """Return the ARN an authorizer is asked about: no HTTP method, unlike REST APIs."""
        return (
            f"arn:aws:execute-api:{self.region}:{self.account_id}:"
            f"{self.api_id}/{self.name}/{route_key}"
        )


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client sent to open a connection; names keep the client's casing."""

    headers: Pairs = ()
    query: Pairs = ()
    source_ip: str = "127.0.0.1"

    def header(self, name: str) -> str | None:
        """Return a header's last value, the name compared without regard to case."""
        wanted = name.lower()
        return next((v for k, v in reversed(self.headers) if k.lower() == wanted), None)


@dataclass(slots=True)
class Connection:
    """What outlives the handshake, and so is said in every later event of the connection."""

    connection_id: str
    connected_at: int
    """Milliseconds since the epoch; the same in every event."""
    source_ip: str = "127.0.0.1"
    user_agent: str | None = None
    authorizer: Mapping[str, str | None] | None = None
    """The authorizer's context and ``principalId``, values as strings; None without authorizer."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a route: its id, and when it arrived in milliseconds since the epoch."""

    request_id: str
    time: int


def authorizer_event(
    stage: Stage, connection: Connection, handshake: Handshake, request: Request
) -> Event:
    """Return what the REQUEST authorizer gets.

    Unlike the connect event it carries the three upgrade headers, and empty maps where the client
    sent no query string.
    """
    headers = [pair for pair in handshake.headers if pair[0].lower() not in _HOP_BY_HOP]
    return {
        "type": "REQUEST",
        "methodArn": stage.method_arn("$connect"),
        **header_maps([*headers, *_UPGRADE_HEADERS]),
        **query_maps(handshake.query),
        "stageVariables": dict(stage.variables),
        "requestContext": _context(stage, connection, request, "$connect", "CONNECT"),
    }


def connect_event(
    stage: Stage,
    connection: Connection,
    handshake: Handshake,
    request: Request,
    integration_latency: int = 0,
) -> Event:
    """Return the ``$connect`` proxy event.

    ``integration_latency`` is how long the authorizer took in milliseconds; AWS says it here only.
    """
    headers = [pair for pair in handshake.headers if pair[0].lower() not in _HOP_BY_HOP]
    context = _context(stage, connection, request, "$connect", "CONNECT")
    if "authorizer" in context:
        context["authorizer"]["integrationLatency"] = integration_latency
    return {
        **header_maps(headers),
        **(query_maps(handshake.query) if handshake.query else {}),
        **_stage_variables(stage),
        "requestContext": context,
        "isBase64Encoded": False,
    }


def message_event(
    stage: Stage,
    connection: Connection,
    request: Request,
    *,
    route_key: str,
    message_id: str,
    body: str,
) -> Event:
    """Return the proxy event of one message: no headers, no query, the frame's text as body."""
    context = _context(stage, connection, request, route_key, "MESSAGE")
    context["messageId"] = message_id
    return {
        **_stage_variables(stage),
        "requestContext": context,
        "body": body,
        "isBase64Encoded": False,
    }


def disconnect_event(
    stage: Stage, connection: Connection, request: Request, *, status_code: int, reason: str
) -> Event:
    """Return the ``$disconnect`` proxy event, with the four headers AWS invents for it."""
    context = _context(stage, connection, request, "$disconnect", "DISCONNECT")
    context |= {"disconnectStatusCode": status_code, "disconnectReason": reason}
    invented = [(name, "") for name in ("x-api-key", "X-Forwarded-For", "x-restapi")]
    return {
        **header_maps([("Host", stage.domain_name), *invented]),
        **_stage_variables(stage),
        "requestContext": context,
        "isBase64Encoded": False,
    }


def _context(
    stage: Stage, connection: Connection, request: Request, route_key: str, event_type: str
) -> Event:
    identity = {"sourceIp": connection.source_ip}
    if connection.user_agent is not None:
        identity["userAgent"] = connection.user_agent
    context: Event = {
        "routeKey": route_key,
        "eventType": event_type,
        "extendedRequestId": request.request_id,
        "requestTime": clf_time(request.time),
        "messageDirection": "IN",
        "stage": stage.name,
        "connectedAt": connection.connected_at,
        "requestTimeEpoch": request.time,
        "identity": identity,
        "requestId": request.request_id,
        "domainName": stage.domain_name,
        "connectionId": connection.connection_id,
        "apiId": stage.api_id,
    }
    if connection.authorizer is not None:
        context["authorizer"] = dict(connection.authorizer)
    return context


def header_maps(pairs: Iterable[tuple[str, str]]) -> Event:
    """Return headers once with the last value and once with all; the first spelling counts."""
    spelled: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in sorted(pairs, key=lambda pair: pair[0].lower()):
        values.setdefault(spelled.setdefault(name.lower(), name), []).append(value)
    return {
        "headers": {name: several[-1] for name, several in values.items()},
        "multiValueHeaders": values,
    }


def query_maps(pairs: Pairs) -> Event:
    """Return query parameters once with the last value and once with all, case kept."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {
        "queryStringParameters": {name: several[-1] for name, several in values.items()},
        "multiValueQueryStringParameters": values,
    }


def _stage_variables(stage: Stage) -> Event:
    return {"stageVariables": dict(stage.variables)} if stage.variables else {}


def clf_time(milliseconds: int) -> str:
    """Return a time as ``requestTime`` writes it: ``19/Jan/2023:21:13:26 +0000``."""
    at = time.gmtime(milliseconds // 1000)
    day = f"{at.tm_mday:02d}/{_MONTHS[at.tm_mon - 1]}/{at.tm_year}"
    return f"{day}:{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} +0000"
