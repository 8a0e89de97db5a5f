"""Rows of docs/parity.md on messages and integrations that no other module holds."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import websocket

from localgateway.definition import ApiDefinition, IntegrationResponse, Route
from tests.end_to_end.conftest import Serve, accept
from tests.gateway_under_test import GatewayUnderTest, allow

ERROR = '{"message": "Internal server error", "connectionId":"'
ECHO_BODY = "$util.escapeJavaScript($input.body)"


@pytest.fixture
def services() -> Iterator[GatewayUnderTest]:
    """An API that routes by two keys and the text between them."""
    definition = ApiDefinition(
        routes={"chat/join": Route("join"), "$default": Route("message")},
        route_selection_expression="${request.body.service}/${request.body.action.name}",
    )
    functions = {"join": accept, "message": accept}
    running = GatewayUnderTest(definition, functions)
    yield running
    running.stop()


def silent(client: websocket.WebSocket) -> bool:
    client.settimeout(0.2)
    try:
        client.recv()
    except websocket.WebSocketTimeoutException:
        return True
    return False


def test_an_api_may_route_by_another_expression(services: GatewayUnderTest) -> None:
    client = services.connect()
    client.send('{"service": "chat", "action": {"name": "join"}}')
    assert services.wait_for("join")["requestContext"]["routeKey"] == "chat/join"
    client.send('{"service": "chat", "action": "join"}')
    assert services.wait_for("message")["requestContext"]["routeKey"] == "$default"


CONTEXT = (
    "apiId",
    "authorizer.label",
    "authorizer.principalId",
    "connectedAt",
    "connectionId",
    "domainName",
    "eventType",
    "extendedRequestId",
    "identity.sourceIp",
    "identity.userAgent",
    "messageDirection",
    "messageId",
    "requestId",
    "requestTime",
    "requestTimeEpoch",
    "routeKey",
    "stage",
)


def at(event: Mapping[str, Any], path: str) -> str:
    value: Any = event
    for name in path.split("."):
        value = value[name]
    return str(value)


def test_every_documented_variable_of_the_context_is_that_of_the_event(serve: Serve) -> None:
    template = json.dumps({name: f"$context.{name}" for name in CONTEXT})
    gateway = serve(
        authorizer=lambda e, c: allow(e, label="team"),
        connect=accept,
        routes={"say": Route("say", "AWS", {"application/json": template})},
        say=accept,
    )
    client = gateway.connect(header={"User-Agent": "tests/1"})
    client.send('{"action": "say"}')
    mapped = gateway.wait_for("say")
    connected = gateway.events("connect")[0]["requestContext"]
    of_the_message = {
        "eventType",
        "extendedRequestId",
        "messageId",
        "requestId",
        "requestTime",
        "requestTimeEpoch",
        "routeKey",
    }
    for name in set(CONTEXT) - of_the_message:
        assert mapped[name] == at(connected, name), name
    assert (mapped["eventType"], mapped["routeKey"]) == ("MESSAGE", "say")
    assert mapped["requestId"] == mapped["extendedRequestId"]
    assert re.fullmatch("[A-Za-z0-9_-]{15}=", mapped["messageId"])
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", mapped["requestTime"])
    assert int(mapped["requestTimeEpoch"]) >= int(mapped["connectedAt"])


@pytest.mark.parametrize(
    "name", ["status", "error.messageString", "error.validationErrorString", "isBase64Encoded"]
)
def test_what_a_message_has_no_value_for_renders_empty(serve: Serve, name: str) -> None:
    template = json.dumps({"value": f"$context.{name}"})
    routes = {"say": Route("say", "AWS", {"application/json": template})}
    gateway = serve(routes=routes, say=accept)
    gateway.connect().send('{"action": "say"}')
    assert gateway.wait_for("say") == {"value": ""}


def test_text_on_a_non_proxy_default_route_needs_a_template(serve: Serve) -> None:
    bare = serve(routes={"$default": Route("say", "AWS")}, say=accept)
    client = bare.connect()
    client.send("hello")
    assert client.recv().startswith(ERROR), "the message would be the event, and is no JSON"
    assert bare.events("say") == []
    template = json.dumps({"text": ECHO_BODY})
    routes = {"$default": Route("say", "AWS", {"application/json": template})}
    mapped = serve(routes=routes, say=accept)
    mapped.connect().send("hello")
    assert mapped.wait_for("say") == {"text": "hello"}


RESPONSES = {"$default": IntegrationResponse({"$default": "an answer"})}


def test_a_one_way_route_is_silent_whatever_its_integration_response(serve: Serve) -> None:
    route = Route("say", "AWS", integration_responses=RESPONSES)
    gateway = serve(routes={"say": route}, say=accept)
    client = gateway.connect()
    client.send('{"action": "say"}')
    gateway.wait_for("say")
    assert silent(client)


def test_a_two_way_route_without_an_integration_response_sends_an_empty_message(
    serve: Serve,
) -> None:
    gateway = serve(routes={"say": Route("say", "AWS", two_way=True)}, say=accept)
    client = gateway.connect()
    client.send('{"action": "say"}')
    assert client.recv() == ""


@pytest.mark.parametrize("body", [{"a": 1}, ["a"], 5, True], ids=repr)
def test_a_two_way_answer_whose_body_is_no_text_is_an_error_frame(serve: Serve, body: Any) -> None:
    gateway = serve(
        routes={"ask": Route("ask", two_way=True)},
        ask=lambda e, c: {"statusCode": 200, "body": body},
    )
    client = gateway.connect()
    client.send('{"action": "ask"}')
    assert client.recv().startswith(ERROR)


@pytest.mark.parametrize("answer", [None, "text", {}, {"statusCode": 500}, []], ids=repr)
def test_a_one_way_route_is_silent_whatever_its_function_answers(serve: Serve, answer: Any) -> None:
    gateway = serve(message=lambda e, c: answer)
    client = gateway.connect()
    client.send("x")
    gateway.wait_for("message")
    assert silent(client)


def test_an_answer_that_is_ready_sooner_arrives_sooner(serve: Serve) -> None:
    first_may_go = threading.Event()

    def ask(event: Any, _context: Any) -> Any:
        body = json.loads(event["body"])["n"]
        if body == "first":
            assert first_may_go.wait(30)
        return {"statusCode": 200, "body": body}

    gateway = serve(routes={"ask": Route("ask", two_way=True)}, ask=ask)
    client = gateway.connect()
    for number in ("first", "second"):
        client.send(json.dumps({"action": "ask", "n": number}))
    assert client.recv() == "second"
    first_may_go.set()
    assert client.recv() == "first"
