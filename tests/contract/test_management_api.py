"""``@connections`` as botocore reads it, over the wire."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localgateway.definition import ApiDefinition, Route
from localgateway.limits import Limits
from tests.gateway_under_test import GatewayUnderTest, eventually

UNKNOWN = "AAAAAAAAAAAAAAA="


@pytest.fixture
def gateway() -> Iterator[GatewayUnderTest]:
    names = {"$connect": "connect", "$disconnect": "disconnect", "$default": "message"}
    definition = ApiDefinition(routes={key: Route(name) for key, name in names.items()})
    functions = {name: lambda event, context: {"statusCode": 200} for name in names.values()}
    limits = Limits(client_buffer=64 * 1024, close_timeout=1.0)
    running = GatewayUnderTest(definition, functions, limits)
    yield running
    running.stop()


def management_api(url: str) -> Any:
    return boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def api(gateway: GatewayUnderTest) -> Any:
    return management_api(gateway.management_url)


def connection_id(gateway: GatewayUnderTest) -> str:
    return str(gateway.events("connect")[-1]["requestContext"]["connectionId"])


def test_a_post_arrives_as_one_text_message(gateway: GatewayUnderTest, api: Any) -> None:
    client = gateway.connect()
    answer = api.post_to_connection(ConnectionId=connection_id(gateway), Data="né ☃".encode())
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert client.recv() == "né ☃"
    client.close()


def test_posts_that_wait_for_each_other_arrive_in_order(
    gateway: GatewayUnderTest, api: Any
) -> None:
    client = gateway.connect()
    for number in range(20):
        api.post_to_connection(ConnectionId=connection_id(gateway), Data=str(number).encode())
    assert [client.recv() for _ in range(20)] == [str(number) for number in range(20)]
    client.close()


def test_a_large_post_arrives_whole_in_frames_of_at_most_32_kib(
    gateway: GatewayUnderTest, api: Any
) -> None:
    client = gateway.connect()
    data = bytes(range(65, 91)) * 4000
    api.post_to_connection(ConnectionId=connection_id(gateway), Data=data)
    sizes = []
    received = b""
    while len(received) < len(data):
        frame = client.recv_frame()
        sizes.append(len(frame.data))
        received += frame.data
    assert received == data
    assert max(sizes) == 32 * 1024
    client.close()


def test_128_kib_is_delivered_and_one_byte_more_is_413(gateway: GatewayUnderTest, api: Any) -> None:
    client = gateway.connect()
    api.post_to_connection(ConnectionId=connection_id(gateway), Data=b"x" * 131_072)
    assert len(client.recv()) == 131_072
    with pytest.raises(api.exceptions.PayloadTooLargeException) as caught:
        api.post_to_connection(ConnectionId=connection_id(gateway), Data=b"x" * 131_073)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    client.close()


def test_a_connection_that_never_existed_is_gone(api: Any) -> None:
    for call in (api.get_connection, api.delete_connection):
        with pytest.raises(api.exceptions.GoneException):
            call(ConnectionId=UNKNOWN)
    with pytest.raises(api.exceptions.GoneException) as caught:
        api.post_to_connection(ConnectionId=UNKNOWN, Data=b"x")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 410


def test_a_gone_answer_is_empty_with_the_error_in_its_header(gateway: GatewayUnderTest) -> None:
    status, headers, body = call(gateway, "POST", f"/api/@connections/{quote(UNKNOWN)}")
    assert (status, body) == (410, b"")
    assert headers["x-amzn-ErrorType"] == "GoneException"


def test_a_connection_that_was_closed_is_gone(gateway: GatewayUnderTest, api: Any) -> None:
    gateway.connect().close()
    gateway.wait_for("disconnect")
    with pytest.raises(api.exceptions.GoneException):
        api.post_to_connection(ConnectionId=connection_id(gateway), Data=b"x")


@pytest.mark.parametrize("malformed", ["cjy8i76bx002884le6n17d49b", "x", "AAAAAAAAAAAAAAAA"])
def test_a_malformed_id_is_a_bad_request(api: Any, malformed: str) -> None:
    with pytest.raises(ClientError) as caught:
        api.post_to_connection(ConnectionId=malformed, Data=b"x")
    assert caught.value.response["Error"]["Code"] == "BadRequestException"
    assert caught.value.response["Error"]["Message"] == f"Invalid connectionId: {malformed}"


def test_get_tells_when_and_from_where(gateway: GatewayUnderTest, api: Any) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)  # what is told is rounded
    client = gateway.connect(header={"User-Agent": "tests/1"})
    answer = api.get_connection(ConnectionId=connection_id(gateway))
    assert answer["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "tests/1"}
    assert before < answer["ConnectedAt"] <= answer["LastActiveAt"] <= datetime.now(UTC)
    client.send("x")
    gateway.wait_for("message")
    later = api.get_connection(ConnectionId=connection_id(gateway))
    assert later["LastActiveAt"] >= answer["LastActiveAt"]
    assert later["ConnectedAt"] == answer["ConnectedAt"]
    client.close()


def test_delete_closes_with_1000_and_disconnect_is_told(
    gateway: GatewayUnderTest, api: Any
) -> None:
    client = gateway.connect()
    answer = api.delete_connection(ConnectionId=connection_id(gateway))
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    opcode, data = client.recv_data()
    assert (opcode, data[:2]) == (8, b"\x03\xe8")
    context = gateway.wait_for("disconnect")["requestContext"]
    assert context["disconnectStatusCode"] == 1000
    assert context["disconnectReason"] == "Connection Closed Normally"
    with pytest.raises(api.exceptions.GoneException):
        api.get_connection(ConnectionId=connection_id(gateway))


def test_a_post_before_101_is_gone(gateway: GatewayUnderTest) -> None:
    outcomes: list[Any] = []

    def connect(event: Any, _context: Any) -> dict[str, int]:
        try:
            client.post_to_connection(
                ConnectionId=event["requestContext"]["connectionId"], Data=b"welcome"
            )
        except client.exceptions.GoneException as error:
            outcomes.append(error)
        return {"statusCode": 200}

    definition = ApiDefinition(routes={"$connect": Route("connect")})
    running = GatewayUnderTest(definition, {"connect": connect})
    client = management_api(running.management_url)  # which takes long, and a handshake may not
    try:
        running.connect().close()
        assert len(outcomes) == 1
    finally:
        running.stop()


@pytest.mark.parametrize("path", ["/@connections/ID", "/prod/@connections/ID"])
def test_a_missing_or_wrong_stage_is_forbidden(gateway: GatewayUnderTest, path: str) -> None:
    client = gateway.connect()
    path = path.replace("ID", quote(connection_id(gateway)))
    status, _, body = call(gateway, "POST", path)
    assert (status, body) == (403, b'{"message": "Forbidden"}')
    client.close()


def test_an_encoded_at_sign_and_equals_sign_are_decoded(gateway: GatewayUnderTest) -> None:
    client = gateway.connect()
    path = f"/api/%40connections/{connection_id(gateway).replace('=', '%3D')}"
    assert call(gateway, "POST", path, b"hello")[0] == 200
    assert client.recv() == "hello"
    client.close()


def test_an_unsigned_call_is_forbidden(gateway: GatewayUnderTest) -> None:
    client = gateway.connect()
    path = f"/api/@connections/{connection_id(gateway)}"
    status, _, body = call(gateway, "POST", path, b"hello", authorization="")
    assert (status, body) == (403, b'{"message": "Missing Authentication Token"}')
    client.close()


def test_data_that_is_not_utf8_is_a_bad_request(gateway: GatewayUnderTest, api: Any) -> None:
    client = gateway.connect()
    with pytest.raises(ClientError, match="not valid UTF-8"):
        api.post_to_connection(ConnectionId=connection_id(gateway), Data=b"\xff")
    client.close()


def test_a_client_that_never_reads_is_429_and_others_are_served(
    gateway: GatewayUnderTest, api: Any
) -> None:
    # Or the system of a machine with much memory may take in all there is by itself.
    slow = gateway.connect(sockopt=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)])
    slow_id = connection_id(gateway)
    other = gateway.connect()

    def flood() -> None:
        for _ in range(500):
            api.post_to_connection(ConnectionId=slow_id, Data=b"x" * 65_536)

    with pytest.raises(api.exceptions.LimitExceededException) as caught:
        flood()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    api.post_to_connection(ConnectionId=connection_id(gateway), Data=b"hello")
    assert other.recv() == "hello"
    other.close()
    slow.shutdown()
    eventually(lambda: gateway.gateway.peers == {})


def call(
    gateway: GatewayUnderTest,
    method: str,
    path: str,
    body: bytes = b"",
    authorization: str = "AWS4-HMAC-SHA256 Credential=x",
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(gateway.address, timeout=60)
    connection.request(method, path, body, {"Authorization": authorization})
    response = connection.getresponse()
    answer = response.status, response.headers, response.read()
    connection.close()
    return answer
