"""What tests are made of: each function takes only what the test is about."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib import api
from chalicelib.authorizers import AuthorizerRequest
from chalicelib.connections import Connection
from chalicelib.messages import IncomingMessage, Sender
from chalicelib.settings import Settings
from localgateway import events, templates

NOW = 1_795_000_000.0
CONNECTION_ID = "L0SM9cOFvHcCIhw="
STAGE = events.Stage(
    name="api", api_id="abcdef1234", domain_name="abcdef1234.execute-api.us-east-1.amazonaws.com"
)
METHOD_ARN = STAGE.method_arn("$connect")
REQUEST = events.Request("DNcTFFNEoAMFz7A=", int(NOW * 1000))

Pairs = Sequence[tuple[str, str]]


def make_settings(**changes: Any) -> Settings:
    """Settings of the local stage, as its config.json has them."""
    values = {"stage": "local", "table_name": "portcullis-local", "shared_token": "hello"}
    return Settings(**{**values, "region": "us-east-1", **changes})


def make_connection(
    connection_id: str = CONNECTION_ID, principal_id: str = "alice", **changes: Any
) -> Connection:
    """Return a connection a minute old with an hour to live."""
    values = {
        "connected_at": int(NOW - 60) * 1000,
        "expires_at": int(NOW) + 3600,
        "source_ip": "192.0.2.7",
        "api_id": STAGE.api_id,
        "stage": STAGE.name,
        "context": {"token": "shared_token", "demonstration": "true"},
    }
    return Connection(connection_id, principal_id, **{**values, **changes})


def make_sender(**changes: Any) -> Sender:
    """Return alice, on the connection that events below come from."""
    values = {
        "connection_id": CONNECTION_ID,
        "principal_id": "alice",
        "api_id": STAGE.api_id,
        "stage": STAGE.name,
        "connected_at": int(NOW * 1000),
        "expires_at": int(NOW) + 7200,
        "source_ip": "192.0.2.7",
    }
    return Sender(**{**values, **changes})


def make_incoming(body: object, route_key: str = "$default", **sender: Any) -> IncomingMessage:
    """Return a message; a body that is no text is sent as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    return IncomingMessage(make_sender(**sender), route_key, text)


def authorizer_event(
    headers: Pairs = (), query: Pairs = (), stage_variables: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the REQUEST event of a handshake."""
    stage = events.Stage(STAGE.name, STAGE.api_id, variables=stage_variables or {})
    handshake = events.Handshake(tuple(headers), tuple(query))
    return events.authorizer_event(stage, _connection(None), handshake, REQUEST)


def authorizer_request(**handshake: Any) -> AuthorizerRequest:
    """Return what authenticators see of a handshake."""
    return AuthorizerRequest.from_event(authorizer_event(**handshake), NOW)


def connect_event(
    authorizer: Mapping[str, str | None] | None, headers: Pairs = ()
) -> dict[str, Any]:
    """Return the ``$connect`` event; None is an API without an authorizer."""
    handshake = events.Handshake(tuple(headers))
    return events.connect_event(STAGE, _connection(authorizer), handshake, REQUEST)


def message_event(
    body: str,
    route_key: str = "$default",
    principal_id: str | None = "alice",
    connection_id: str = CONNECTION_ID,
    context: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the proxy event of a frame; ``context`` is what the authorizer said besides."""
    authorizer = None if principal_id is None else {**_authorizer(principal_id), **(context or {})}
    connection = _connection(authorizer, connection_id)
    return events.message_event(
        STAGE, connection, REQUEST, route_key=route_key, message_id="DNcTFcXXoAMCIhw=", body=body
    )


def mapped_message_event(
    body: str, principal_id: str = "alice", context: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what the mapping template of ``sendmessage`` makes of a frame."""
    event = message_event(body, "sendmessage", principal_id, context=context)
    template = api.definition(make_settings())["routes"]["sendmessage"]["request_templates"]
    rendered = templates.render(
        template["application/json"],
        body=body,
        context=event["requestContext"],
        stage_variables={},
    )
    mapped: dict[str, Any] = json.loads(rendered)
    return mapped


def disconnect_event(
    principal_id: str | None = "alice", connection_id: str = CONNECTION_ID
) -> dict[str, Any]:
    """Return the ``$disconnect`` event of a client that closed."""
    authorizer = None if principal_id is None else _authorizer(principal_id)
    connection = _connection(authorizer, connection_id)
    return events.disconnect_event(STAGE, connection, REQUEST, status_code=1000, reason="")


def _authorizer(principal_id: str) -> dict[str, str | None]:
    expires_at = str(int(NOW) + 7200)
    context = {"token": "shared_token", "expiresAt": expires_at, "demonstration": "true"}
    return {**context, "principalId": principal_id}


def _connection(
    authorizer: Mapping[str, str | None] | None, connection_id: str = CONNECTION_ID
) -> events.Connection:
    return events.Connection(connection_id, int(NOW * 1000), "192.0.2.7", authorizer=authorizer)
