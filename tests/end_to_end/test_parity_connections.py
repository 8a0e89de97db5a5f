"""Rows of docs/parity.md on open and closed connections that no other module holds."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import boto3
import pytest
import websocket
from botocore.config import Config

from localgateway.definition import Route
from localgateway.limits import Limits
from tests.end_to_end.conftest import Serve, accept
from tests.gateway_under_test import GatewayUnderTest, allow, eventually


@pytest.fixture
def gateway(serve: Serve) -> GatewayUnderTest:
    return serve(connect=accept, message=accept, disconnect=accept)


def id_of(event: Mapping[str, Any]) -> str:
    return str(event["requestContext"]["connectionId"])


def path_to(gateway: GatewayUnderTest) -> str:
    return f"/api/@connections/{quote(id_of(gateway.events('connect')[-1]))}"


def call(
    gateway: GatewayUnderTest, method: str, path: str, body: bytes = b""
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Call the management API with a signature nobody could verify."""
    signature = "AWS4-HMAC-SHA256 Credential=nobody/20260101/xx/execute-api/aws4_request"
    connection = http.client.HTTPConnection(gateway.address, timeout=30)
    connection.request(method, path, body, {"Authorization": signature})
    response = connection.getresponse()
    answer = response.status, response.headers, response.read()
    connection.close()
    return answer


def post(url: str, connection_id: str) -> int:
    """Post as a handler does; return the status."""
    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=url,
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}),
    )
    try:
        answer = client.post_to_connection(ConnectionId=connection_id, Data=b"hello")
        return int(answer["ResponseMetadata"]["HTTPStatusCode"])
    except client.exceptions.GoneException:
        return 410
    finally:
        client.close()


def end(client: websocket.WebSocket) -> tuple[int, str]:
    """Read the gateway's close frame; return its code and reason."""
    opcode, data = client.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    return struct.unpack("!H", data[:2])[0], data[2:].decode()


# The management API


def test_what_the_management_api_answers_on_the_wire(gateway: GatewayUnderTest) -> None:
    client = gateway.connect(header={"User-Agent": "tests/1"})
    path = path_to(gateway)
    status, _, body = call(gateway, "POST", path, b"hello")
    assert (status, body) == (200, b"")
    assert client.recv_data() == (websocket.ABNF.OPCODE_TEXT, b"hello")
    status, headers, body = call(gateway, "GET", path)
    answer = json.loads(body)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert answer.keys() == {"connectedAt", "identity", "lastActiveAt"}
    assert answer["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "tests/1"}
    assert isinstance(answer["connectedAt"], str)
    status, _, body = call(gateway, "DELETE", path)
    assert (status, body) == (204, b"")
    assert end(client) == (1000, "Connection Closed Normally")
    for method in ("POST", "GET", "DELETE"):
        assert call(gateway, method, path)[0] == 410


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD", "OPTIONS"])
def test_another_method_is_forbidden(gateway: GatewayUnderTest, method: str) -> None:
    gateway.connect()
    assert call(gateway, method, path_to(gateway), b"hello")[0] == 403


def test_a_refused_payload_names_its_error_in_header_and_body(gateway: GatewayUnderTest) -> None:
    gateway.connect()
    status, headers, body = call(gateway, "POST", path_to(gateway), b"x" * 131_073)
    assert (status, headers["x-amzn-ErrorType"]) == (413, "PayloadTooLargeException")
    assert json.loads(body).keys() == {"message"}


def test_posts_and_messages_share_one_quota(serve: Serve) -> None:
    # So slow that nothing is added while the test runs.
    limits = Limits(requests_per_second=0.001, request_burst=3, close_timeout=1.0)
    gateway = serve(connect=accept, message=accept, limits=limits)
    client = gateway.connect()
    client.send("x")
    gateway.wait_for("message")
    path = path_to(gateway)
    assert [call(gateway, "POST", path, b"x")[0] for _ in range(3)] == [200, 200, 429]
    assert call(gateway, "GET", path)[1]["x-amzn-ErrorType"] == "LimitExceededException"


def test_a_post_of_the_authorizer_is_gone(serve: Serve) -> None:
    statuses: list[int] = []

    def authorizer(event: Any, _context: Any) -> Any:
        statuses.append(post(running.management_url, id_of(event)))
        return allow(event)

    running = serve(authorizer=authorizer)
    running.connect()
    assert statuses == [410]


def test_a_message_handler_may_post_to_its_own_connection(serve: Serve) -> None:
    def message(event: Any, _context: Any) -> None:
        post(running.management_url, id_of(event))

    running = serve(message=message)
    client = running.connect()
    client.send("x")
    assert client.recv() == "hello"


def test_posts_that_do_not_wait_for_each_other_all_arrive(gateway: GatewayUnderTest) -> None:
    client = gateway.connect()
    path = path_to(gateway)
    texts = {str(number) for number in range(20)}
    threads = [
        threading.Thread(target=call, args=(gateway, "POST", path, text.encode())) for text in texts
    ]
    for thread in threads:
        thread.start()
    assert {client.recv() for _ in texts} == texts
    for thread in threads:
        thread.join()


def test_a_client_that_has_left_without_reading_is_gone(gateway: GatewayUnderTest) -> None:
    client = gateway.connect()
    path = path_to(gateway)
    data = b"x" * 131_072
    while (status := call(gateway, "POST", path, data)[0]) == 200:
        pass  # until what the client has not read fills every buffer
    assert status == 429
    assert client.sock is not None
    client.sock.shutdown(socket.SHUT_WR)
    eventually(lambda: call(gateway, "POST", path, data)[0] == 410)


# Activity


def test_the_gateway_says_nothing_by_itself(gateway: GatewayUnderTest) -> None:
    client = gateway.connect()
    gateway.clock_offset = 550_000
    client.settimeout(1.3)
    with pytest.raises(websocket.WebSocketTimeoutException):
        client.recv_data(control_frame=True)


def test_an_idle_client_is_told_that_the_gateway_goes_away(gateway: GatewayUnderTest) -> None:
    client = gateway.connect()
    gateway.clock_offset = 601_000
    assert end(client) == (1001, "Going away")


def test_an_answer_is_a_message_that_keeps_a_connection_open(serve: Serve) -> None:
    may_answer = threading.Event()

    def ask(_event: Any, _context: Any) -> Any:
        assert may_answer.wait(30)
        return {"statusCode": 200, "body": "answer"}

    gateway = serve(connect=accept, ask=ask, routes={"ask": Route("ask", two_way=True)})
    idle, client = gateway.connect(), gateway.connect()
    client.send('{"action": "ask"}')
    gateway.wait_for("ask")
    gateway.clock_offset = 100_000
    may_answer.set()
    assert client.recv() == "answer"
    gateway.clock_offset = 650_000
    assert end(idle) == (1001, "Going away")
    assert call(gateway, "GET", path_to(gateway))[0] == 200, "it was closed with the other"


# $disconnect


def test_disconnect_comes_after_the_close_and_posts_to_nobody(serve: Serve) -> None:
    statuses: list[int] = []

    def disconnect(event: Any, _context: Any) -> None:
        statuses.append(post(running.management_url, id_of(event)))

    running = serve(disconnect=disconnect)
    running.connect().close()
    eventually(lambda: statuses == [410])


def fail(_event: Any, _context: Any) -> Any:
    raise ValueError("boom")


@pytest.mark.parametrize(
    "disconnect", [fail, lambda e, c: None, lambda e, c: {"statusCode": 500, "body": "no"}]
)
def test_what_disconnect_answers_changes_nothing(serve: Serve, disconnect: Any) -> None:
    gateway = serve(message=accept, disconnect=disconnect)
    for _ in range(2):
        gateway.connect().close()
    gateway.wait_for("disconnect", 2)
    time.sleep(0.1)
    assert len(gateway.events("disconnect")) == 2, "it was tried again"
    gateway.connect().send("x")
    gateway.wait_for("message")


def test_disconnect_does_not_wait_for_messages_that_are_handled_still(serve: Serve) -> None:
    may_end = threading.Event()
    gateway = serve(message=lambda e, c: may_end.wait(30) and None, disconnect=accept)
    client = gateway.connect()
    client.send("x")
    gateway.wait_for("message")
    client.close()
    gateway.wait_for("disconnect")
    may_end.set()
