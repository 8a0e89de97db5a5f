"""Messages: which route each takes, and what its sender hears."""

from __future__ import annotations

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from localgateway.definition import Route
from localgateway.limits import Limits
from tests.end_to_end.conftest import Serve, accept
from tests.gateway_under_test import GatewayUnderTest, allow, eventually

ID = "[A-Za-z0-9_-]{15}="


def raise_boom(_event: Any, _context: Any) -> Any:
    raise ValueError("boom")


@pytest.fixture
def routed(serve: Serve) -> GatewayUnderTest:
    """Routes: hello, 1, true, ``[a, b]`` and $default."""
    keys = ("hello", "1", "true", "[a, b]")
    return serve(
        connect=accept,
        message=accept,
        custom=accept,
        disconnect=accept,
        routes={key: Route("custom") for key in keys},
    )


@pytest.mark.parametrize(
    ("frame", "function", "route_key"),
    [
        ('{"action": "hello"}', "custom", "hello"),
        ('{"action": 1}', "custom", "1"),
        ('{"action": true}', "custom", "true"),
        ('{"action": ["a", "b"]}', "custom", "[a, b]"),
        ('{"action": "Hello"}', "message", "$default"),
        ('{"action": "unknown"}', "message", "$default"),
        ('{"action": null}', "message", "$default"),
        ('{"other": "hello"}', "message", "$default"),
        ('["action", "hello"]', "message", "$default"),
        ("3", "message", "$default"),
        ("hello", "message", "$default"),
        ("", "message", "$default"),
        ("[" * 5000, "message", "$default"),
        ('{"action": "$connect"}', "message", "$default"),
        ('{"action": "$disconnect"}', "message", "$default"),
        ('{"action": "$default"}', "message", "$default"),
    ],
)
def test_a_message_takes_the_route_its_action_names(
    routed: GatewayUnderTest, frame: str, function: str, route_key: str
) -> None:
    client = routed.connect()
    client.send(frame)
    event = routed.wait_for(function)
    assert event["requestContext"]["routeKey"] == route_key
    assert event["body"] == frame
    assert [name for name, _ in routed.calls] == ["connect", function]
    client.close()


def test_no_route_is_a_forbidden_frame_and_the_connection_stays_open(serve: Serve) -> None:
    gateway = serve(connect=accept, hello=accept, routes={"hello": Route("hello")})
    client = gateway.connect()
    for frame in ("hi", '{"action": "bye"}', '{"action": "$connect"}'):
        client.send(frame)
        answer = client.recv()
        pattern = rf'{{"message": "Forbidden", "connectionId":"({ID})", "requestId":"({ID})"}}'
        match = re.fullmatch(pattern, answer)
        assert match is not None, answer
        connect = gateway.events("connect")[0]["requestContext"]
        assert match[1] == connect["connectionId"]
    client.send('{"action": "hello"}')
    gateway.wait_for("hello")
    client.close()


def test_a_message_event_is_of_aws_shape(protected: GatewayUnderTest) -> None:
    client = protected.connect(header={"token": "x", "User-Agent": "tests/1"})
    client.send('{"action": "x"}')
    event = protected.wait_for("message")
    context = event["requestContext"]
    connect = protected.events("connect")[0]["requestContext"]
    assert event.keys() == {"requestContext", "body", "isBase64Encoded"}
    assert event["isBase64Encoded"] is False
    assert context["eventType"] == "MESSAGE"
    assert context["messageDirection"] == "IN"
    assert re.fullmatch(ID, context["messageId"])
    assert context["extendedRequestId"] == context["requestId"] != connect["requestId"]
    assert context["connectedAt"] == connect["connectedAt"]
    assert context["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "tests/1"}
    client.close()


def test_what_a_handler_answers_is_not_sent(serve: Serve) -> None:
    gateway = serve(message=lambda e, c: {"statusCode": 501, "body": "nobody reads this"})
    client = gateway.connect()
    client.send("x")
    gateway.wait_for("message")
    client.settimeout(0.2)
    with pytest.raises(Exception, match="timed out"):
        client.recv()
    client.close()


def test_a_handler_that_raises_is_an_internal_server_error_frame(serve: Serve) -> None:
    gateway = serve(message=raise_boom)
    client = gateway.connect()
    client.send("x")
    pattern = rf'{{"message": "Internal server error", "connectionId":"{ID}", "requestId":"{ID}"}}'
    answer = client.recv()
    assert re.fullmatch(pattern, answer), answer
    client.send("still open")
    assert "Internal server error" in client.recv()
    client.close()


def test_a_handler_over_the_time_limit_is_a_timeout_frame_and_runs_on(serve: Serve) -> None:
    answered, finished = threading.Event(), threading.Event()
    remaining: list[tuple[int, float]] = []

    def slow(_event: Any, context: Any) -> None:
        remaining.append((context.get_remaining_time_in_millis(), time.monotonic()))
        answered.wait(30)
        finished.set()

    gateway = serve(message=slow, limits=Limits(integration_timeout=0.1))
    client = gateway.connect()
    sent_at = time.monotonic()
    while not remaining:  # one that got no thread in time does not run any more
        client.send("x")
        received = client.recv()
        assert received.startswith('{"message": "Endpoint request timed out", "connectionId":"')
    assert not finished.is_set()
    answered.set()
    assert finished.wait(30)
    milliseconds, seen_at = remaining[0]
    assert 99 - (seen_at - sent_at) * 1000 < milliseconds <= 100
    client.close()


def test_messages_of_one_connection_do_not_wait_for_each_other(serve: Serve) -> None:
    together, met = threading.Barrier(8), threading.Event()

    def message(_event: Any, _context: Any) -> None:
        together.wait(30)  # broken where one waits for the end of another
        met.set()

    gateway = serve(message=message)
    client = gateway.connect()
    for _ in range(8):
        client.send("x")
    assert met.wait(40)
    client.close()


def test_a_flood_of_messages_is_read_no_faster_than_it_is_handled(serve: Serve) -> None:
    release = threading.Event()
    gateway = serve(
        message=lambda e, c: release.wait(30) and None, limits=Limits(messages_in_flight=4)
    )
    client = gateway.connect()

    def flood() -> None:  # waits where the system has no room for what nobody reads
        for number in range(50):
            client.send(f"{number} " + "x" * 8000)

    with ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(flood)
        gateway.wait_for("message", 4)
        time.sleep(0.3)
        assert len(gateway.events("message")) == 4, "more was read than is handled"
        release.set()
        flooding.result(30)
    gateway.wait_for("message", 50)
    client.close()


TEMPLATE = r"""{
  "requestContext": {
    "routeKey": "$context.routeKey",
    "auth": "$util.escapeJavaScript($context.authorizer.principalId).replaceAll("\\'","'")",
    "connectedAt": "$context.connectedAt",
    "unset": "$context.isBase64Encoded",
    "variable": "$stageVariables.color"
  },
  "body": "BODY"
}"""
PITFALL = TEMPLATE.replace("BODY", "$util.escapeJavaScript($input.body)")
REPAIRED = TEMPLATE.replace(
    "BODY", r"""$util.escapeJavaScript($input.body).replaceAll("\\'","'")"""
)


def mapped(serve: Serve, template: str, principal_id: str = "someone") -> GatewayUnderTest:
    return serve(
        authorizer=lambda e, c: allow(e) | {"principalId": principal_id},
        custom=accept,
        stage_variables={"color": "blue"},
        routes={"say": Route("custom", "AWS", {"application/json": template})},
    )


@pytest.mark.parametrize(
    "text", ["it's", 'a "quote"', "back\\slash", "\\'", "new\nline", "né ☃ 🎉"]
)
def test_a_mapping_template_hands_over_any_text(serve: Serve, text: str) -> None:
    gateway = mapped(serve, REPAIRED, principal_id=text)
    client = gateway.connect()
    frame = json.dumps({"action": "say", "message": text}, ensure_ascii=False)
    client.send(frame)
    event = gateway.wait_for("custom")
    connected_at = event["requestContext"].pop("connectedAt")
    assert re.fullmatch(r"\d{13}", connected_at), "everything in quotes arrives as a string"
    assert event == {
        "requestContext": {"routeKey": "say", "auth": text, "unset": "", "variable": "blue"},
        "body": frame,
    }
    client.close()


def test_escape_java_script_alone_breaks_on_an_apostrophe(serve: Serve) -> None:
    gateway = mapped(serve, PITFALL)
    client = gateway.connect()
    client.send(json.dumps({"action": "say", "message": "it's"}))
    assert client.recv().startswith('{"message": "Internal server error"')
    assert gateway.events("custom") == []
    client.send(json.dumps({"action": "say", "message": "it is"}))
    gateway.wait_for("custom")
    client.close()


def test_a_non_proxy_integration_without_template_gets_the_message_itself(serve: Serve) -> None:
    gateway = serve(custom=accept, routes={"say": Route("custom", "AWS")})
    client = gateway.connect()
    client.send('{"action": "say", "n": 1}')
    assert gateway.wait_for("custom") == {"action": "say", "n": 1}
    client.close()


def test_a_template_that_fails_is_an_internal_server_error_frame(serve: Serve) -> None:
    gateway = mapped(serve, "$util.base64Decode($input.body)")
    client = gateway.connect()
    client.send('{"action": "say"}')
    assert client.recv().startswith('{"message": "Internal server error"')
    eventually(lambda: gateway.events("custom") == [])
    client.close()
