"""The handshake: who gets in, and what the others are told."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from localgateway.limits import Limits
from tests.end_to_end.conftest import Serve, accept
from tests.end_to_end.wire import RawClient
from tests.gateway_under_test import GatewayUnderTest, allow, eventually

TOKEN = {"token": "hello"}


def policy(effect: str, resource: Any) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}],
    }


def raises(error: Exception) -> Any:
    def function(_event: Any, _context: Any) -> Any:
        raise error

    return function


def test_an_allowed_client_is_connected(protected: GatewayUnderTest) -> None:
    client = protected.connect(header=TOKEN)
    assert client.connected
    client.close()


@pytest.mark.parametrize("header", [{}, {"token": ""}, {"other": "hello"}])
def test_a_missing_or_empty_identity_source_is_401_without_calling_the_authorizer(
    protected: GatewayUnderTest, header: dict[str, str]
) -> None:
    assert protected.refusal(header=header) == 401
    assert protected.calls == []


def test_every_identity_source_must_be_there(serve: Serve) -> None:
    gateway = serve(
        identity_sources=(
            "route.request.header.HeaderAuth1",
            "route.request.querystring.QueryString1",
            "stageVariables.StageVar1",
        ),
        stage_variables={"StageVar1": "stageValue1"},
        authorizer=allow,
    )
    header = {"headerauth1": "headerValue1"}  # a header's name is compared without regard to case
    assert gateway.refusal("?QueryString1=queryValue1", header=header) == 101
    assert gateway.refusal("?QueryString1=queryValue1") == 401
    assert gateway.refusal(header=header) == 401
    assert gateway.refusal("?QueryString1=", header=header) == 401
    assert gateway.refusal("?querystring1=queryValue1", header=header) == 401


def test_an_absent_stage_variable_is_401(serve: Serve) -> None:
    gateway = serve(identity_sources=("stageVariables.StageVar1",), authorizer=allow)
    assert gateway.refusal() == 401


@pytest.mark.parametrize(
    ("authorizer", "status"),
    [
        pytest.param(raises(Exception("Unauthorized")), 401, id="raises exactly Unauthorized"),
        pytest.param(raises(Exception("unauthorized")), 500, id="raises it in lower case"),
        pytest.param(raises(Exception("Unauthorized: no")), 500, id="raises it with more"),
        pytest.param(raises(KeyError("authorizationToken")), 500, id="raises anything else"),
        pytest.param(lambda e, c: None, 500, id="answers nothing"),
        pytest.param(lambda e, c: "Unauthorized", 500, id="answers a string"),
        pytest.param(lambda e, c: {"statusCode": 401}, 500, id="answers a response"),
        pytest.param(lambda e, c: {"isAuthorized": True}, 500, id="answers as for HTTP APIs"),
        pytest.param(lambda e, c: allow(e) | {"principalId": None}, 500, id="names no principal"),
        pytest.param(lambda e, c: {"principalId": "someone"}, 500, id="has no policy"),
        pytest.param(lambda e, c: allow(e, roles=["admin"]), 500, id="has a list in its context"),
        pytest.param(
            lambda e, c: allow(e, user={"name": "x"}), 500, id="has an object in its context"
        ),
        pytest.param(lambda e, c: allow(e, big="x" * 8192), 500, id="is over 8 KB"),
        pytest.param(
            lambda e, c: allow(e) | {"context": {"not": {"json", "a set"}}}, 500, id="is no JSON"
        ),
        pytest.param(
            lambda e, c: allow(e) | {"policyDocument": policy("Deny", e["methodArn"])},
            403,
            id="denies",
        ),
        pytest.param(
            lambda e, c: (
                allow(e)
                | {"policyDocument": policy("Allow", e["methodArn"].replace("$connect", "*/*"))}
            ),
            403,
            id="allows with the REST idiom stage/*/*",
        ),
    ],
)
def test_what_an_authorizer_answers_decides_the_status(
    serve: Serve, authorizer: Any, status: int
) -> None:
    gateway = serve(authorizer=authorizer, connect=accept, disconnect=accept)
    assert gateway.refusal(header=TOKEN) == status
    assert gateway.events("connect") == []
    time.sleep(0.05)
    assert gateway.events("disconnect") == [], "nobody was connected, so nobody leaves"


@pytest.mark.parametrize("resource", ["*", "arn:aws:execute-api:*:*:*", "API/*", "API/api/*"])
def test_a_policy_may_use_wildcards(serve: Serve, resource: str) -> None:
    def authorizer(event: Any, _context: Any) -> Any:
        arn = resource.replace("API", event["methodArn"].split("/")[0])
        return allow(event) | {"policyDocument": policy("Allow", arn)}

    assert serve(authorizer=authorizer).refusal() == 101


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ({"statusCode": 200}, 101),
        ({"statusCode": 201}, 101),
        ({"statusCode": 301}, 301),
        ({"statusCode": 400}, 400),
        ({"statusCode": 401, "body": "no"}, 401),
        ({"statusCode": 501}, 501),
        (None, 502),
        ("text", 502),
        ({}, 502),
        ({"statusCode": "two hundred"}, 502),
    ],
)
def test_the_connect_handlers_status_is_copied(serve: Serve, response: Any, status: int) -> None:
    gateway = serve(authorizer=allow, connect=lambda event, context: response)
    assert gateway.refusal() == status


def test_a_connect_handler_that_raises_is_502(serve: Serve) -> None:
    assert serve(connect=raises(ValueError("boom"))).refusal() == 502


def test_a_connect_handler_over_the_time_limit_is_504(serve: Serve) -> None:
    gateway = serve(
        connect=lambda event, context: time.sleep(0.5),
        limits=Limits(integration_timeout=0.1, close_timeout=1.0),
    )
    assert gateway.refusal() == 504


def test_without_a_connect_route_and_authorizer_everybody_is_connected(serve: Serve) -> None:
    assert serve(message=accept).refusal() == 101


def test_the_upgrade_is_answered_only_after_connect_has_returned(serve: Serve) -> None:
    finished: list[float] = []

    def connect(_event: Any, _context: Any) -> dict[str, int]:
        time.sleep(0.2)
        finished.append(time.monotonic())
        return {"statusCode": 200}

    client = serve(connect=connect).connect()
    assert finished, "101 came before the handler had returned"
    client.close()


def test_the_authorizers_event_has_what_the_connect_event_has_not(
    protected: GatewayUnderTest,
) -> None:
    client = protected.connect(header={**TOKEN, "HeaderAuth1": "headerValue1"})
    client.close()
    (asked,) = protected.events("authorizer")
    (connected,) = protected.events("connect")
    assert asked["type"] == "REQUEST"
    assert asked["methodArn"] == protected.stage.method_arn("$connect")
    assert asked["queryStringParameters"] == {} == asked["multiValueQueryStringParameters"]
    assert "queryStringParameters" not in connected
    assert asked["stageVariables"] == {}
    assert "stageVariables" not in connected
    upgrade = {"Connection": "upgrade", "Upgrade": "websocket", "content-length": "0"}
    assert upgrade.items() <= asked["headers"].items()
    assert asked["headers"].keys() - connected["headers"].keys() == upgrade.keys()
    assert connected["headers"]["HeaderAuth1"] == "headerValue1", "the client's casing is kept"
    assert asked["requestContext"]["connectionId"] == connected["requestContext"]["connectionId"]
    assert asked["requestContext"]["requestId"] != connected["requestContext"]["requestId"]


def test_a_query_string_reaches_both_events_decoded(protected: GatewayUnderTest) -> None:
    protected.connect("?a=1&a=2&name=J%C3%B6rg+M", header=TOKEN).close()
    for function in ("authorizer", "connect"):
        (event,) = protected.events(function)
        assert event["queryStringParameters"] == {"a": "2", "name": "Jörg M"}
        assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "name": ["Jörg M"]}


def test_the_authorizers_context_reaches_every_later_event_as_strings(serve: Serve) -> None:
    gateway = serve(
        authorizer=lambda e, c: allow(e, label="team", number=7, ratio=0.5, yes=True, no=None),
        connect=accept,
        message=accept,
        disconnect=accept,
    )
    client = gateway.connect()
    client.send("hello")
    message = gateway.wait_for("message")
    client.close()
    disconnect = gateway.wait_for("disconnect")
    (connect,) = gateway.events("connect")
    said = {
        "label": "team",
        "number": "7",
        "ratio": "0.5",
        "yes": "true",
        "no": None,
        "principalId": "someone",
    }
    latency = connect["requestContext"]["authorizer"].pop("integrationLatency")
    assert isinstance(latency, int), "said once, at $connect, as a number"
    for event in (connect, message, disconnect):
        assert event["requestContext"]["authorizer"] == said


def test_without_authorizer_no_event_has_its_key(serve: Serve) -> None:
    gateway = serve(connect=accept, message=accept)
    client = gateway.connect()
    client.send("x")
    assert "authorizer" not in gateway.wait_for("message")["requestContext"]
    assert "authorizer" not in gateway.wait_for("connect")["requestContext"]
    client.close()


def test_the_subprotocol_is_the_one_the_connect_handler_answers(serve: Serve) -> None:
    gateway = serve(
        connect=lambda e, c: {"statusCode": 200, "headers": {"sec-websocket-protocol": "chat"}}
    )
    client = gateway.connect(subprotocols=["other", "chat"])
    assert client.getsubprotocol() == "chat"
    (event,) = gateway.events("connect")
    assert event["headers"]["Sec-WebSocket-Protocol"] == "other,chat"
    client.close()


def test_no_subprotocol_is_answered_when_the_handler_names_none(
    protected: GatewayUnderTest,
) -> None:
    with RawClient(protected, "token: hello", "Sec-WebSocket-Protocol: chat") as client:
        named = "Sec-WebSocket-Protocol" in client.headers
        assert not named, "clients fail the connection themselves where it is none of theirs"


def test_another_path_than_the_stage_is_403(protected: GatewayUnderTest) -> None:
    for suffix in ("x", "/more", "/../api2"):
        assert protected.refusal(suffix, header=TOKEN) == 403
    assert protected.refusal("/", header=TOKEN) == 101, "a trailing slash is the stage still"
    assert protected.events("authorizer") != []


def test_slow_handshakes_do_not_wait_for_each_other(serve: Serve) -> None:
    together = threading.Barrier(10)

    def connect(_event: Any, _context: Any) -> dict[str, int]:
        together.wait(30)  # broken where one waits for the end of another
        return {"statusCode": 200}

    gateway = serve(connect=connect)
    with ThreadPoolExecutor(10) as pool:
        clients = list(pool.map(lambda _: gateway.connect(), range(10)))
    for client in clients:
        client.close()


def test_a_client_that_leaves_during_the_handshake_is_disconnected(serve: Serve) -> None:
    def connect(_event: Any, _context: Any) -> dict[str, int]:
        time.sleep(0.2)
        return {"statusCode": 200}

    gateway = serve(connect=connect, disconnect=accept)
    with gateway.raw():
        eventually(lambda: bool(gateway.events("connect")))
    event = gateway.wait_for("disconnect")
    assert event["requestContext"]["disconnectStatusCode"] == 1006
    assert gateway.gateway.peers == {}
