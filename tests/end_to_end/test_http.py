"""HTTP on the gateway's port: the app's routes, and what a client may not send."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chalice.app import AuthResponse, Chalice, Response
from chalice.config import Config

from localgateway.definition import ApiDefinition, Route
from localgateway.http_routes import HttpRoutes
from localgateway.limits import Limits
from tests.end_to_end.wire import dial
from tests.gateway_under_test import GatewayUnderTest

LIMITS = Limits(request_body_size=10_000, close_timeout=30.0)


def make_app() -> Chalice:  # noqa: C901 - a list of routes
    app = Chalice("routes")

    def current() -> Any:
        return app.current_request

    @app.authorizer()
    def token_authorizer(request: Any) -> Any:
        if request.token == "fault":
            raise KeyError("a secret of ours")
        if request.token == "bad":
            raise Exception("Unauthorized")
        routes: list[Any] = ["/private"] if request.token == "good" else []
        return AuthResponse(routes=routes, principal_id="someone")

    @app.route("/query")
    def query() -> Any:
        return {"query": current().query_params}

    @app.route("/echo", methods=["POST"], content_types=["text/plain"])
    def echo() -> Any:
        return Response(current().raw_body.decode(), {"Content-Type": "text/plain"}, 201)

    @app.route("/private", authorizer=token_authorizer)
    def private() -> Any:
        return {"who": current().context["authorizer"]["principalId"]}

    together = threading.Barrier(6)

    @app.route("/together")
    def meet() -> Any:
        return {"met": 0 <= together.wait(30) < 6}

    @app.route("/slow/{number}")
    def slow(number: str) -> Any:
        time.sleep(0.2)
        return {"number": current().uri_params["number"]}

    @app.route("/binary")
    def binary() -> Any:
        return Response(b"\x00\xff", {"Content-Type": "application/octet-stream"})

    @app.route("/cookies")
    def cookies() -> Any:
        return Response("", {"Set-Cookie": ["a=1", "b=2"]})

    @app.route("/empty")
    def empty() -> Any:
        return Response(None, {"Transfer-Encoding": "chunked"}, 204)

    @app.route("/exits")
    def exits() -> Any:
        raise SystemExit(3)

    @app.route("/fails")
    def fails() -> Any:
        raise ValueError("boom")

    return app


@pytest.fixture
def gateway(request: pytest.FixtureRequest) -> Iterator[GatewayUnderTest]:
    """Other limits than ours are a test's parameter."""
    definition = ApiDefinition(routes={"$default": Route("message")})
    routes = HttpRoutes(make_app(), Config(chalice_stage="local"))
    functions = {"message": lambda event, context: None}
    limits = getattr(request, "param", LIMITS)
    running = GatewayUnderTest(definition, functions, limits, http_routes=routes)
    yield running
    running.stop()


def request(
    gateway: GatewayUnderTest, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(gateway.address, timeout=30)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def raw(gateway: GatewayUnderTest, data: bytes) -> bytes:
    """Send bytes, and read until the gateway closes."""
    with dial(gateway, 30) as client:
        client.sendall(data)
        return rest(client)


def rest(client: socket.socket) -> bytes:
    """Return all that comes until the gateway closes; a reset is no way to close."""
    answer = b""
    while chunk := client.recv(65_536):
        answer += chunk
    return answer


def until(client: socket.socket, text: bytes) -> bytes:
    """Read until a text has come, in however many pieces; fails where the gateway closes."""
    answer = b""
    while text not in answer:
        received = client.recv(65_536)
        assert received, answer
        answer += received
    return answer


def test_a_route_answers_with_its_query(gateway: GatewayUnderTest) -> None:
    status, headers, body = request(gateway, "GET", "/query?a=1&b=two%20words")
    assert (status, json.loads(body)) == (200, {"query": {"a": "1", "b": "two words"}})
    assert headers["Content-Type"] == "application/json"


def test_a_body_and_its_content_type_go_both_ways(gateway: GatewayUnderTest) -> None:
    text = "né ☃".encode()
    status, headers, body = request(
        gateway, "POST", "/echo", text, **{"Content-Type": "text/plain"}
    )
    assert (status, headers["Content-Type"], body) == (201, "text/plain", text)


def test_a_chunked_body_is_read(gateway: GatewayUnderTest) -> None:
    chunks: Iterator[bytes] = iter([b"one ", b"two"])
    status, _, body = request(gateway, "POST", "/echo", chunks, **{"Content-Type": "text/plain"})
    assert (status, body) == (201, b"one two")


def test_binary_bodies_and_repeated_headers_are_kept(gateway: GatewayUnderTest) -> None:
    accept = "application/octet-stream"
    assert request(gateway, "GET", "/binary", Accept=accept)[2] == b"\x00\xff"
    assert request(gateway, "GET", "/cookies")[1].get_all("Set-Cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Authorization": "good"}, 200, id="allowed"),
        pytest.param({"Authorization": "other"}, 403, id="not allowed here"),
        pytest.param({}, 401, id="no token"),
        pytest.param({"Authorization": "bad"}, 401, id="raises Unauthorized"),
        pytest.param({"Authorization": "fault"}, 500, id="raises anything else"),
    ],
)
def test_a_token_authorizer_decides(
    gateway: GatewayUnderTest, headers: dict[str, str], status: int
) -> None:
    answer = request(gateway, "GET", "/private", **headers)
    assert answer[0] == status
    assert b"secret" not in answer[2]


def test_an_answer_without_a_body_has_none_on_the_wire(gateway: GatewayUnderTest) -> None:
    first = b"GET /empty HTTP/1.1\r\nHost: x\r\n\r\n"
    second = b"GET /query HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = raw(gateway, first + second)
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert b"\r\n\r\nHTTP/1.1 200 OK" in answer
    assert b"chunked" not in answer, "how an answer ends is the gateway's to say"


def test_a_view_that_ends_the_process_ends_only_its_answer(gateway: GatewayUnderTest) -> None:
    for _ in range(10):
        assert request(gateway, "GET", "/exits")[0] == 500
    assert request(gateway, "GET", "/query")[0] == 200


def test_a_view_that_raises_is_500_without_its_words(gateway: GatewayUnderTest) -> None:
    status, _, body = request(gateway, "GET", "/fails")
    assert status == 500
    assert b"boom" not in body


def test_an_unknown_path_and_a_wrong_method_are_chalices_to_answer(
    gateway: GatewayUnderTest,
) -> None:
    assert request(gateway, "GET", "/nothing")[0] == 403
    assert request(gateway, "DELETE", "/query")[0] == 405


def test_requests_do_not_wait_for_each_other(gateway: GatewayUnderTest) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: request(gateway, "GET", "/together"), range(6)))
    assert [body for _, _, body in answers] == [b'{"met":true}'] * 6


def test_one_tcp_connection_serves_many_requests(gateway: GatewayUnderTest) -> None:
    connection = http.client.HTTPConnection(gateway.address, timeout=30)
    for number in range(3):
        connection.request("GET", f"/query?n={number}")
        assert json.loads(connection.getresponse().read()) == {"query": {"n": str(number)}}
    connection.close()


def test_pipelined_requests_are_answered_in_order(gateway: GatewayUnderTest) -> None:
    first = b"GET /slow/1 HTTP/1.1\r\nHost: x\r\n\r\n"
    second = b"GET /query?n=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = raw(gateway, first + second)
    assert answer.index(b'"number":"1"') < answer.index(b'"n":"2"')
    assert answer.count(b"HTTP/1.1 200 OK") == 2


def test_a_client_is_told_to_send_a_body_after_the_answers_before_it(
    gateway: GatewayUnderTest,
) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
    expecting = head + b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
    with dial(gateway, 30) as client:
        client.sendall(b"GET /slow/1 HTTP/1.1\r\nHost: x\r\n\r\n" + expecting)
        answer = until(client, b"100 Continue")
        client.sendall(b"hello")
        answer += rest(client)
    parts = [answer.index(part) for part in (b'"number":"1"', b"100 Continue", b" 201 ", b"hello")]
    assert parts == sorted(parts)


def test_a_client_that_does_not_wait_to_be_told_is_told_nothing_later(
    gateway: GatewayUnderTest,
) -> None:
    slow = b"GET /slow/1 HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
    posted = head + b"Expect: 100-continue\r\n\r\nhello"
    last = b"GET /query HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with dial(gateway, 30) as client:
        client.sendall(slow + posted)
        answer = until(client, b"hello")
        client.sendall(last)
        answer += rest(client)
    assert answer.count(b"HTTP/1.1 ") == 3
    assert b"100 Continue" not in answer


def test_a_client_of_http_1_0_is_never_told_to_send_a_body(gateway: GatewayUnderTest) -> None:
    head = b"POST /echo HTTP/1.0\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
    answer = raw(gateway, head + b"Expect: 100-continue\r\n\r\nhello")
    assert answer.startswith(b"HTTP/1.1 201 ")


def test_a_target_may_be_a_whole_url(gateway: GatewayUnderTest) -> None:
    assert request(gateway, "GET", f"http://{gateway.address}/query?n=1")[0] == 200
    with gateway.raw(f"http://{gateway.address}/api") as client:
        assert until(client, b"\r\n").startswith(b"HTTP/1.1 101 ")


def test_a_head_request_has_no_body(gateway: GatewayUnderTest) -> None:
    status, _, body = request(gateway, "HEAD", "/query")
    assert (status, body) == (405, b"")


def test_the_websocket_url_without_an_upgrade_is_426(gateway: GatewayUnderTest) -> None:
    assert request(gateway, "GET", "/api")[0] == 426


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"garbage\r\n\r\n", 400, id="no HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", 400, id="a TLS hello"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, id="a space before the colon"),
        pytest.param(b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n", 400, id="a NUL in a header"),
        pytest.param(
            b"POST /echo HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            id="two lengths",
        ),
        pytest.param(b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 414, id="a URL over 4,096"),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + b"".join(b"H%d: %s\r\n" % (n, b"x" * 90) for n in range(120)),
            431,
            id="headers over 10 KB that go on",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nBig: " + b"x" * 11_000 + b"\r\n\r\n", 431, id="one large header"
        ),
        pytest.param(
            b"POST /echo HTTP/1.1\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000,
            413,
            id="a body over the limit",
        ),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused_and_closed(
    gateway: GatewayUnderTest, data: bytes, status: int
) -> None:
    assert raw(gateway, data).startswith(b"HTTP/1.1 %d " % status)
    assert request(gateway, "GET", "/query")[0] == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8"), 400),
        ((b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", b"X: y"), 400),
        ((b"AAAAAAAAAAAAAAAAAAAAAA==", b"short"), 400),
        ((b"GET", b"POST"), 405),
        ((b"HTTP/1.1", b"HTTP/1.0"), 426),
        ((b"Host: x", b"Host: x\r\nContent-Length: 5"), 400),
        ((b"Connection: Upgrade", b"Connection: keep-alive, close"), 426),
        ((b"Upgrade: websocket", b"Upgrade: h2c\r\nConnection: close"), 426),
    ],
)
def test_a_handshake_that_breaks_the_rfc_is_refused(
    gateway: GatewayUnderTest, change: tuple[bytes, bytes], status: int
) -> None:
    handshake = (
        b"GET /api HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert raw(gateway, handshake.replace(*change)).startswith(b"HTTP/1.1 %d " % status)
    client = gateway.connect()
    client.close()


@pytest.mark.parametrize("gateway", [Limits(handshake_timeout=0.5)], indirect=True)
def test_a_client_that_never_finishes_its_request_is_dropped(gateway: GatewayUnderTest) -> None:
    with dial(gateway, 29) as client:  # without a limit of our own it would be 30 seconds
        client.sendall(b"GET /api HTTP/1.1\r\nHost: x\r\n")
        assert client.recv(1) == b""


def test_frames_sent_along_with_the_handshake_are_read(gateway: GatewayUnderTest) -> None:
    handshake = (
        b"GET /api HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with dial(gateway, 30) as client:
        client.sendall(handshake + b"\x81\x85\x00\x00\x00\x00hello")
        assert gateway.wait_for("message")["body"] == "hello"
