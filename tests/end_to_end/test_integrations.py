"""Integrations: proxy and not, mocked, one-way and two-way."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import websocket

from localgateway.definition import IntegrationResponse, Route, checked
from localgateway.errors import StartError
from localgateway.limits import Limits
from tests.end_to_end.conftest import Serve, accept
from tests.gateway_under_test import GatewayUnderTest

ERROR = '{"message": "Internal server error", "connectionId":"'


def answer(gateway: GatewayUnderTest, frame: str) -> str:
    """Send one frame and return the one that comes back."""
    client = gateway.connect()
    client.send(frame)
    received = client.recv()
    client.close()
    assert isinstance(received, str)
    return received


def silent(gateway: GatewayUnderTest, frame: str) -> bool:
    client = gateway.connect()
    client.send(frame)
    client.settimeout(0.2)
    try:
        client.recv()
    except websocket.WebSocketTimeoutException:
        return True
    finally:
        client.close()
    return False


@pytest.mark.parametrize(
    ("returned", "frame"),
    [
        pytest.param({"statusCode": 200, "body": "né ☃"}, "né ☃", id="its body"),
        pytest.param({"statusCode": 500, "body": "no"}, "no", id="whatever the status"),
        pytest.param({"statusCode": 200}, "", id="no body is an empty message"),
        pytest.param(None, "", id="nothing is an empty message"),
    ],
)
def test_a_two_way_proxy_route_sends_what_the_function_returns(
    serve: Serve, returned: Any, frame: str
) -> None:
    routes = {"ask": Route("ask", two_way=True)}
    gateway = serve(ask=lambda e, c: returned, routes=routes)
    assert answer(gateway, '{"action": "ask"}') == frame


def test_a_two_way_route_that_fails_sends_the_error_frame_alone(serve: Serve) -> None:
    def fail(_event: Any, _context: Any) -> Any:
        raise ValueError("a secret")

    gateway = serve(ask=fail, routes={"ask": Route("ask", two_way=True)})
    received = answer(gateway, '{"action": "ask"}')
    assert received.startswith(ERROR)
    assert "secret" not in received


MOCK = Route(
    integration_type="MOCK",
    request_templates={"$default": '{"statusCode": 200}'},
    two_way=True,
    integration_responses={
        "$default": IntegrationResponse({"$default": '{"pong": "$context.connectionId"}'})
    },
)


def test_a_mock_integration_answers_without_a_function(serve: Serve) -> None:
    gateway = serve(connect=accept, routes={"ping": MOCK})
    received = json.loads(answer(gateway, '{"action": "ping"}'))
    connect = gateway.events("connect")[0]["requestContext"]
    assert received == {"pong": connect["connectionId"]}


def test_a_one_way_mock_is_silent(serve: Serve) -> None:
    route = Route(integration_type="MOCK", request_templates={"$default": '{"statusCode": 200}'})
    assert silent(serve(routes={"ping": route}), '{"action": "ping"}')


def test_a_mock_whose_template_gives_no_status_is_an_error(serve: Serve) -> None:
    route = Route(integration_type="MOCK", request_templates={"$default": "{}"})
    assert answer(serve(routes={"ping": route}), '{"action": "ping"}').startswith(ERROR)


@pytest.mark.parametrize(
    ("status", "text"), [(200, "fine"), (404, "client error"), (503, "something else")]
)
def test_an_integration_response_is_chosen_by_a_mocks_status(
    serve: Serve, status: int, text: str
) -> None:
    responses = {
        r"/2\d\d/": IntegrationResponse({"$default": "fine"}),
        r"/4\d\d/": IntegrationResponse({"$default": "client error"}),
        "$default": IntegrationResponse({"$default": "something else"}),
    }
    template = '{"statusCode": $input.path("$.status")}'
    route = Route(
        integration_type="MOCK",
        request_templates={"$default": template},
        two_way=True,
        integration_responses=responses,
    )
    frame = json.dumps({"action": "ping", "status": status})
    assert answer(serve(routes={"ping": route}), frame) == text


@pytest.mark.parametrize("key", ["/(/", "2..", "/", ""])
def test_a_response_key_that_is_no_regex_is_refused_at_start(key: str) -> None:
    route = Route("ask", "AWS", two_way=True, integration_responses={key: IntegrationResponse()})
    with pytest.raises(StartError, match="response key"):
        checked("ask", route)


def test_an_integration_response_is_chosen_by_a_functions_error(serve: Serve) -> None:
    def fail(_event: Any, _context: Any) -> Any:
        raise ValueError("NotFound: no such room")

    template = "$input.path('$.errorMessage')"
    route = Route(
        "ask",
        "AWS",
        two_way=True,
        integration_responses={
            "/NotFound.*/": IntegrationResponse({"$default": template}),
            "$default": IntegrationResponse({"$default": "fine"}),
        },
    )
    assert answer(serve(ask=fail, routes={"ask": route}), '{"action": "ask"}') == (
        "NotFound: no such room"
    )


def test_a_response_template_reads_what_a_function_returned(serve: Serve) -> None:
    template = "$input.path('$.rooms[1].name') of $input.json('$.rooms')"
    route = Route(
        "ask",
        "AWS",
        two_way=True,
        integration_responses={"$default": IntegrationResponse({"$default": template})},
    )
    rooms = [{"name": "red"}, {"name": "blue"}]
    gateway = serve(ask=lambda e, c: {"rooms": rooms}, routes={"ask": route})
    compact = '[{"name":"red"},{"name":"blue"}]'
    assert answer(gateway, '{"action": "ask"}') == f"blue of {compact}"


def test_a_template_is_selected_by_its_expression(serve: Serve) -> None:
    route = Route(
        "ask",
        "AWS",
        {"short": '{"kind": "short"}', "long": '{"kind": "long"}', "$default": '{"kind": "?"}'},
        template_selection_expression="${request.body.form}",
    )
    gateway = serve(ask=accept, routes={"ask": route})
    client = gateway.connect()
    for number, (form, kind) in enumerate([("short", "short"), ("long", "long"), ("x", "?")], 1):
        client.send(json.dumps({"action": "ask", "form": form}))
        assert gateway.wait_for("ask", number) == {"kind": kind}
    client.close()


@pytest.mark.parametrize(
    ("behavior", "templates", "passes"),
    [
        ("WHEN_NO_MATCH", {}, True),
        ("WHEN_NO_MATCH", {"other": "{}"}, True),
        ("WHEN_NO_TEMPLATES", {}, True),
        ("WHEN_NO_TEMPLATES", {"other": "{}"}, False),
        ("NEVER", {}, False),
        ("NEVER", {"other": "{}"}, False),
    ],
)
def test_what_matches_no_template_passes_through_or_is_refused(
    serve: Serve, behavior: str, templates: dict[str, str], passes: bool
) -> None:
    route = Route("ask", "AWS", templates, passthrough_behavior=behavior)
    gateway = serve(ask=accept, routes={"ask": route})
    client = gateway.connect()
    client.send('{"action": "ask", "n": 1}')
    if passes:
        assert gateway.wait_for("ask") == {"action": "ask", "n": 1}
    else:
        assert client.recv().startswith('{"message": "Unsupported Media Type", "connectionId":"')
        assert gateway.events("ask") == []
    client.close()


def test_a_two_way_route_over_the_time_limit_is_a_timeout_frame(serve: Serve) -> None:
    limits = Limits(integration_timeout=0.1, close_timeout=1.0)
    routes = {"ask": Route("ask", "AWS", two_way=True, integration_responses={})}
    gateway = serve(ask=lambda e, c: time.sleep(0.3), routes=routes, limits=limits)
    assert answer(gateway, '{"action": "ask"}').startswith(
        '{"message": "Endpoint request timed out"'
    )
