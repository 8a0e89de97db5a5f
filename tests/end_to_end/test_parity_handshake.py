"""Rows of docs/parity.md on opening a connection that no other module holds."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

import pytest
from chalice.app import AuthRequest, AuthResponse, Chalice
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

from localgateway.definition import IntegrationResponse, Route
from localgateway.limits import Limits
from tests.end_to_end.conftest import Serve, accept
from tests.gateway_process import ROOT, GatewayProcess
from tests.gateway_under_test import GatewayUnderTest, allow

SECRET = "what a handler knows"
ID = "[A-Za-z0-9_-]{15}="


def fail(_event: Any, _context: Any) -> Any:
    raise ValueError(SECRET)


def deny(event: Any, _context: Any) -> Any:
    answer = allow(event)
    answer["policyDocument"]["Statement"][0]["Effect"] = "Deny"
    return answer


def answer_with(**response: Any) -> Any:
    return lambda _event, _context: response


def exchange(gateway: GatewayUnderTest, *headers: str, target: str = "/api") -> tuple[str, str]:
    """Send a handshake; return the head and what follows it, as far as it comes at once."""
    with gateway.raw(target, *headers) as client:
        data = client.recv(65_536)
        client.settimeout(0.2)
        try:
            while more := client.recv(65_536):
                data += more
        except TimeoutError:
            pass  # an open WebSocket: nothing was sent behind the head
    head, _, rest = data.decode("latin-1").partition("\r\n\r\n")
    return head, rest


def headers_of(head: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.split("\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in pairs}


def test_the_authorizer_is_asked_before_connect_and_both_before_the_answer(serve: Serve) -> None:
    gateway = serve(authorizer=allow, connect=accept)
    gateway.connect()
    assert [name for name, _ in gateway.calls] == ["authorizer", "connect"]


def test_the_answer_to_a_handshake_is_the_rfcs_and_no_more(serve: Serve) -> None:
    head, _ = exchange(serve(connect=accept))
    assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
    headers = headers_of(head)
    assert headers.pop("date")
    assert headers == {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-accept": "ICX+Yqv66kxgM0FcWaLWlFLwTAI=",
    }


@pytest.mark.parametrize("bits", [9, 12, 15])
def test_a_window_the_client_asks_for_is_kept_to(serve: Serve, bits: int) -> None:
    def echo(event: Any, _context: Any) -> Any:
        return {"statusCode": 200, "body": event["body"]}

    gateway = serve(routes={"$default": Route("echo", two_way=True)}, echo=echo)
    offer = ClientPerMessageDeflateFactory(server_max_window_bits=bits)
    text = secrets.token_hex(3000)
    with connect(gateway.url, compression=None, extensions=[offer]) as client:
        assert client.protocol.extensions, "not negotiated"
        client.send(text * 2)
        assert client.recv() == text * 2


SHORT = Limits(integration_timeout=0.1, close_timeout=1.0)


def late(event: Any, _context: Any) -> Any:
    time.sleep(3)  # nobody waits for it
    return {"statusCode": 200} if "methodArn" not in event else allow(event)


@pytest.mark.parametrize(
    ("functions", "status", "message"),
    [
        pytest.param({"authorizer": fail}, 500, "Internal server error", id="500"),
        pytest.param({"authorizer": deny}, 403, "Forbidden", id="403"),
        pytest.param({"connect": fail}, 502, "Internal server error", id="502"),
        pytest.param(
            {
                "connect": answer_with(
                    statusCode=401, body=SECRET, headers={"X-Why": SECRET, "Set-Cookie": "a=b"}
                )
            },
            401,
            "Unauthorized",
            id="a status of the connect handler, whose body and headers are kept back",
        ),
    ],
)
def test_a_refusal_is_a_response_that_says_no_more_than_its_status(
    serve: Serve, functions: Mapping[str, Any], status: int, message: str
) -> None:
    check_refusal(exchange(serve(**functions)), status, message)


def test_a_connect_handler_over_the_time_limit_is_504(serve: Serve) -> None:
    answer = exchange(serve(limits=SHORT, connect=late))
    check_refusal(answer, 504, "Endpoint request timed out")


def check_refusal(answer: tuple[str, str], status: int, message: str) -> None:
    head, body = answer
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert headers_of(head).keys() == {"content-type", "content-length", "connection"}
    assert headers_of(head)["content-type"] == "application/json"
    assert json.loads(body) == {"message": message}
    assert SECRET not in head


def test_a_missing_identity_source_and_a_used_up_quota_are_refused_alike(serve: Serve) -> None:
    # So slow that the quota stays used up while the test runs.
    limits = Limits(connects_per_second=0.001, close_timeout=1.0)
    sources = ("route.request.header.token",)
    gateway = serve(limits=limits, identity_sources=sources, authorizer=allow)
    assert json.loads(exchange(gateway)[1]) == {"message": "Unauthorized"}
    head, body = exchange(gateway)
    assert head.startswith("HTTP/1.1 429 ")
    assert json.loads(body) == {"message": "Too Many Requests"}


def test_of_connects_response_the_subprotocol_alone_reaches_the_client(serve: Serve) -> None:
    headers = {"Sec-WebSocket-Protocol": "chat", "Set-Cookie": "a=b", "X-Mine": "c"}
    gateway = serve(connect=answer_with(statusCode=200, headers=headers, body="welcome"))
    head, rest = exchange(gateway, "Sec-WebSocket-Protocol: chat")
    assert headers_of(head)["sec-websocket-protocol"] == "chat"
    assert not {"set-cookie", "x-mine"} & headers_of(head).keys()
    assert rest == ""


def test_connect_with_a_route_response_sends_nothing_either(serve: Serve) -> None:
    gateway = serve(
        routes={"$connect": Route("welcome", two_way=True)},
        welcome=answer_with(statusCode=200, body="welcome"),
    )
    head, rest = exchange(gateway)
    assert head.startswith("HTTP/1.1 101 ")
    assert rest == ""


@pytest.mark.parametrize("status", [100, 101, 0, -5, 600, 99_999, True])
def test_a_status_that_refuses_nothing_is_a_malformed_response(serve: Serve, status: Any) -> None:
    head, body = exchange(serve(connect=answer_with(statusCode=status)))
    assert head.startswith("HTTP/1.1 502 ")
    assert json.loads(body) == {"message": "Internal server error"}


def test_a_url_of_4096_characters_is_taken_and_one_more_is_414(serve: Serve) -> None:
    gateway = serve(connect=accept)
    target = "/api?token=".ljust(4096, "x")
    assert exchange(gateway, target=target)[0].startswith("HTTP/1.1 101 ")
    assert exchange(gateway, target=f"{target}x")[0].startswith("HTTP/1.1 414 ")
    assert len(gateway.events("connect")) == 1


@pytest.mark.parametrize("name", ["a b", "$default", "a/b", "é", "", "a" * 129])
def test_a_stage_api_gateway_would_refuse_is_refused_at_start(name: str) -> None:
    project = ROOT / "tests" / "projects" / "echo"
    with (
        pytest.raises(AssertionError, match="api-stage"),
        GatewayProcess("--no-database", "--api-stage", name, project=project),
    ):
        pass


def test_ids_are_of_awss_form_and_new_for_each_event(serve: Serve) -> None:
    gateway = serve(authorizer=allow, connect=accept, message=accept, disconnect=accept)
    client = gateway.connect()
    client.send("x")
    gateway.wait_for("message")
    client.close()
    gateway.wait_for("disconnect")
    contexts = [event["requestContext"] for _, event in gateway.calls]
    assert len({context["connectionId"] for context in contexts}) == 1
    assert len({context["requestId"] for context in contexts}) == 4
    for context in contexts:
        assert context["extendedRequestId"] == context["requestId"]
        assert re.fullmatch(ID, context["requestId"])
        assert re.fullmatch(ID, context["connectionId"])


def test_awss_front_end_adds_its_headers_to_both_events(serve: Serve) -> None:
    gateway = serve(authorizer=allow, connect=accept)
    header = {"X-Forwarded-For": "203.0.113.9", "x-forwarded-proto": "gopher"}
    gateway.connect(header=header)
    for function in ("authorizer", "connect"):
        headers = gateway.events(function)[0]["headers"]
        assert headers["X-Forwarded-For"] == "203.0.113.9, 127.0.0.1"
        assert headers["X-Forwarded-Port"] == "443"
        assert headers["X-Forwarded-Proto"] == "https"
        assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", headers["X-Amzn-Trace-Id"])
        assert "x-forwarded-proto" not in headers


def test_a_request_is_timed_when_it_arrives_not_when_the_authorizer_has_answered(
    serve: Serve,
) -> None:
    def authorizer(event: Any, _context: Any) -> Any:
        time.sleep(1.0)
        return allow(event)

    gateway = serve(authorizer=authorizer, connect=accept)
    gateway.connect()
    context = gateway.events("connect")[0]["requestContext"]
    assert context["authorizer"]["integrationLatency"] >= 1000
    assert 0 <= context["requestTimeEpoch"] - context["connectedAt"] < 1000


def test_an_authorizer_over_the_time_limit_is_500(serve: Serve) -> None:
    gateway = serve(limits=SHORT, authorizer=late, connect=accept)
    assert gateway.refusal() == 500
    assert gateway.events("connect") == []


def test_the_authorizer_is_asked_once_a_handshake_and_for_nothing_else(serve: Serve) -> None:
    verdicts: list[Any] = [allow]

    def authorizer(event: Any, context: Any) -> Any:
        return verdicts[-1](event, context)

    gateway = serve(
        authorizer=authorizer,
        connect=accept,
        message=accept,
        disconnect=accept,
    )
    client = gateway.connect(header={"token": "same"})
    gateway.connect(header={"token": "same"}).close()
    assert len(gateway.events("authorizer")) == 2, "an answer was cached"
    verdicts.append(deny)
    client.send("x")
    gateway.wait_for("message")
    client.close()
    gateway.wait_for("disconnect", 2)
    assert len(gateway.events("authorizer")) == 2
    assert gateway.refusal(header={"token": "same"}) == 403


def test_a_policy_decides_on_connect_and_on_no_other_route(serve: Serve) -> None:
    def authorizer(event: Any, _context: Any) -> Any:
        answer = allow(event)
        denial = {
            "Action": "execute-api:Invoke",
            "Effect": "Deny",
            "Resource": event["methodArn"].replace("$connect", "hello"),
        }
        answer["policyDocument"]["Statement"].append(denial)
        return answer

    gateway = serve(authorizer=authorizer, hello=accept, routes={"hello": Route("hello")})
    client = gateway.connect()
    client.send('{"action": "hello"}')
    gateway.wait_for("hello")


def test_a_usage_identifier_key_lets_in_and_is_not_passed_on(serve: Serve) -> None:
    gateway = serve(
        authorizer=lambda e, c: allow(e) | {"usageIdentifierKey": "key"}, connect=accept
    )
    gateway.connect()
    context = gateway.events("connect")[0]["requestContext"]
    assert context["authorizer"].keys() == {"principalId", "integrationLatency"}


@pytest.mark.parametrize("route", ["*", "/$connect", "$connect"])
def test_chalices_own_authorizer_response_lets_nobody_in(serve: Serve, route: str) -> None:
    def authorizer(event: Any, _context: Any) -> Any:
        request = AuthRequest("TOKEN", "x", event["methodArn"])
        answer = AuthResponse(routes=[route], principal_id="someone").to_dict(request)
        return dict(answer)

    assert serve(authorizer=authorizer, connect=accept).refusal() == 403


def test_chalices_own_authorizer_finds_no_token_in_the_event(serve: Serve) -> None:
    app = Chalice("rest")

    @app.authorizer()
    def by_token(request: Any) -> Any:
        return AuthResponse(routes=["*"], principal_id=request.token)

    gateway = serve(authorizer=by_token, connect=accept)
    assert gateway.refusal() == 500


@pytest.mark.parametrize(("status", "answered"), [(200, 101), (403, 403)])
def test_a_mocked_connect_route_lets_in_or_refuses(
    serve: Serve, status: int, answered: int
) -> None:
    template = json.dumps({"statusCode": status})
    route = Route(integration_type="MOCK", request_templates={"application/json": template})
    assert serve(routes={"$connect": route}).refusal() == answered


def test_a_connect_template_reads_the_handshakes_parameters(serve: Serve) -> None:
    template = (
        '{"header": "$input.params(\'token\')", "query": "$input.params(\'room\')",'
        ' "all": "$input.params().querystring.room $input.params().header.token",'
        ' "id": "$context.connectionId", "none": "$input.params(\'other\')"}'
    )
    route = Route("greet", "AWS", {"application/json": template})
    gateway = serve(routes={"$connect": route}, greet=accept)
    assert gateway.refusal("?room=blue", header={"token": "hello"}) == 101
    (event,) = gateway.events("greet")
    assert re.fullmatch(ID, event.pop("id"))
    assert event == {"header": "hello", "query": "blue", "all": "blue hello", "none": ""}


@pytest.mark.parametrize(
    "responses", [{}, {"$default": IntegrationResponse()}], ids=["without", "with"]
)
def test_a_connect_function_that_raises_lets_nobody_in_whatever_the_integration_response(
    serve: Serve, responses: Mapping[str, IntegrationResponse]
) -> None:
    route = Route("greet", "AWS", {"application/json": "{}"}, integration_responses=responses)
    assert serve(routes={"$connect": route}, greet=fail).refusal() == 502
