"""Frames, limits and close codes, and what ``$disconnect`` is told."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import time
from collections.abc import Callable

import boto3
import pytest
import websocket
from websockets.sync.client import connect

from localgateway.limits import Limits
from tests.end_to_end.conftest import Serve, accept
from tests.gateway_under_test import GatewayUnderTest, eventually

KIB = 1024


@pytest.fixture
def gateway(serve: Serve) -> GatewayUnderTest:
    limits = Limits(close_timeout=30.0)  # a client answers our close frame when it gets to it
    return serve(connect=accept, message=accept, disconnect=accept, limits=limits)


def close_code(client: websocket.WebSocket) -> int:
    """Read until the gateway closes; return its close code."""
    opcode, data = client.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    return int(struct.unpack("!H", data[:2])[0])


def ended(gateway: GatewayUnderTest) -> tuple[int, str]:
    context = gateway.wait_for("disconnect")["requestContext"]
    return context["disconnectStatusCode"], context["disconnectReason"]


def send_fragments(client: websocket.WebSocket, *fragments: bytes) -> None:
    for number, fragment in enumerate(fragments):
        opcode = websocket.ABNF.OPCODE_CONT if number else websocket.ABNF.OPCODE_TEXT
        last = number == len(fragments) - 1
        client.send_frame(websocket.ABNF(int(last), 0, 0, 0, opcode, 1, fragment))


def test_a_binary_frame_is_closed_with_1003(gateway: GatewayUnderTest) -> None:
    client = gateway.connect()
    client.send_binary(b"\x00\x01")
    assert close_code(client) == 1003
    assert ended(gateway)[0] == 1003
    assert gateway.events("message") == []


def test_a_frame_of_32_kib_is_taken_and_one_byte_more_is_closed_with_1009(
    gateway: GatewayUnderTest,
) -> None:
    client = gateway.connect()
    client.send("x" * 32 * KIB)
    assert len(gateway.wait_for("message")["body"]) == 32 * KIB
    client.send("x" * (32 * KIB + 1))
    assert close_code(client) == 1009
    assert ended(gateway)[0] == 1009


def test_a_message_of_128_kib_in_four_frames_is_taken_and_more_is_closed_with_1009(
    gateway: GatewayUnderTest,
) -> None:
    client = gateway.connect()
    send_fragments(client, *[b"x" * 32 * KIB] * 4)
    assert len(gateway.wait_for("message")["body"]) == 128 * KIB
    send_fragments(client, *[b"x" * 32 * KIB] * 4, b"x")
    assert close_code(client) == 1009


def test_a_compressed_frame_is_limited_by_what_it_inflates_to(gateway: GatewayUnderTest) -> None:
    with connect(gateway.url, compression="deflate") as client:
        assert client.response is not None
        assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
        client.send("x" * 32 * KIB)
        gateway.wait_for("message")
        client.send("x" * (32 * KIB + 1))
        with pytest.raises(Exception, match="1009"):
            client.recv()


def test_fragments_make_one_message(gateway: GatewayUnderTest) -> None:
    client = gateway.connect()
    text = "né ☃".encode()
    send_fragments(client, text[:2], text[2:5], text[5:])
    assert gateway.wait_for("message")["body"] == "né ☃"
    client.close()


def test_a_message_with_a_close_frame_right_behind_it_is_handled(
    gateway: GatewayUnderTest,
) -> None:
    client = gateway.connect()
    client.sock.sendall(b"\x81\x82\x00\x00\x00\x00hi\x88\x82\x00\x00\x00\x00\x03\xe8")
    assert gateway.wait_for("message")["body"] == "hi"
    assert ended(gateway) == (1000, "")


def test_nothing_after_a_binary_frame_is_handled(gateway: GatewayUnderTest) -> None:
    client = gateway.connect()
    client.sock.sendall(b"\x82\x81\x00\x00\x00\x00x\x81\x82\x00\x00\x00\x00hi")
    assert close_code(client) == 1003
    gateway.wait_for("disconnect")
    assert gateway.events("message") == []


def test_text_that_is_not_utf8_is_closed_with_1007(gateway: GatewayUnderTest) -> None:
    client = gateway.connect()
    send_fragments(client, b"\xff\xfe")
    assert close_code(client) == 1007
    assert gateway.events("message") == []


def test_a_ping_is_answered_with_its_payload(gateway: GatewayUnderTest) -> None:
    client = gateway.connect()
    client.ping("are you there")
    opcode, data = client.recv_data(control_frame=True)
    assert (opcode, data) == (websocket.ABNF.OPCODE_PONG, b"are you there")
    client.close()


@pytest.mark.parametrize(
    ("leave", "status_code", "reason"),
    [
        pytest.param(lambda c: c.close(1000, b"bye"), 1000, "bye", id="with a status and reason"),
        pytest.param(lambda c: c.close(1001, b""), 1001, "", id="going away, as browsers do"),
        pytest.param(lambda c: c.close(4000, b"mine"), 4000, "mine", id="with its own status"),
        pytest.param(
            lambda c: c.send(b"", websocket.ABNF.OPCODE_CLOSE),
            1005,
            "Client-side close frame status not set",
            id="without a status",
        ),
        pytest.param(lambda c: c.sock.shutdown(socket.SHUT_RDWR), 1006, "", id="without a word"),
    ],
)
def test_disconnect_is_told_how_the_client_left(
    gateway: GatewayUnderTest,
    leave: Callable[[websocket.WebSocket], None],
    status_code: int,
    reason: str,
) -> None:
    client = gateway.connect()
    leave(client)
    assert ended(gateway) == (status_code, reason)
    assert gateway.gateway.peers == {}


def test_a_reset_connection_is_1006(gateway: GatewayUnderTest) -> None:
    client = gateway.connect()
    assert client.sock is not None
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()
    assert ended(gateway) == (1006, "")


def test_a_disconnect_event_is_of_aws_shape(gateway: GatewayUnderTest) -> None:
    client = gateway.connect()
    client.close(1000)
    event = gateway.wait_for("disconnect")
    connect = gateway.events("connect")[0]["requestContext"]
    assert event.keys() == {"headers", "multiValueHeaders", "requestContext", "isBase64Encoded"}
    assert event["headers"] == {
        "Host": gateway.address,
        "x-api-key": "",
        "X-Forwarded-For": "",
        "x-restapi": "",
    }
    assert event["requestContext"]["eventType"] == "DISCONNECT"
    assert event["requestContext"]["routeKey"] == "$disconnect"
    for same in ("connectionId", "connectedAt", "apiId", "stage", "domainName"):
        assert event["requestContext"][same] == connect[same]


def test_disconnect_is_called_exactly_once(gateway: GatewayUnderTest) -> None:
    for _ in range(5):
        client = gateway.connect()
        client.close(1000)
    gateway.wait_for("disconnect", 5)
    time.sleep(0.1)
    ids = [e["requestContext"]["connectionId"] for e in gateway.events("disconnect")]
    assert len(ids) == len(set(ids)) == 5


def test_disconnect_without_its_route_is_no_error(serve: Serve) -> None:
    gateway = serve(message=accept)
    gateway.connect().close()
    client = gateway.connect()
    client.send("x")
    gateway.wait_for("message")
    assert [name for name, _ in gateway.calls] == ["message"], "$default is no fallback for it"
    client.close()


def test_a_client_that_never_answers_our_close_frame_is_dropped(serve: Serve) -> None:
    gateway = serve(connect=accept, disconnect=accept, limits=Limits(close_timeout=0.5))
    client = gateway.connect()
    client.send_binary(b"x")
    gateway.wait_for("disconnect")
    assert client.sock is not None, "the client keeps its side open"
    eventually(lambda: gateway.server.transports == set())


def test_ten_minutes_without_a_message_are_closed_with_1001(gateway: GatewayUnderTest) -> None:
    gateway.stop_clock()
    idle = gateway.connect()
    busy = gateway.connect()
    gateway.clock_offset = 599_999
    assert gateway.ask(gateway.gateway.overdue) == []
    busy.send("x")
    gateway.wait_for("message")
    gateway.clock_offset = 600_000
    assert close_code(idle) == 1001
    assert ended(gateway) == (1001, "Going away")
    busy.send("still here")
    gateway.wait_for("message", 2)


def test_a_post_counts_as_activity_and_a_ping_does_not(gateway: GatewayUnderTest) -> None:
    gateway.stop_clock()
    posted, pinging = gateway.connect(), gateway.connect()
    gateway.clock_offset = 599_999
    assert gateway.ask(gateway.gateway.overdue) == []
    (posted_id, _) = [e["requestContext"]["connectionId"] for e in gateway.events("connect")]
    management_api = boto3.client(
        "apigatewaymanagementapi", endpoint_url=gateway.management_url, region_name="us-east-1"
    )
    management_api.post_to_connection(ConnectionId=posted_id, Data=b"hello")
    management_api.close()
    pinging.ping()
    assert pinging.recv_data(control_frame=True)[0] == websocket.ABNF.OPCODE_PONG
    gateway.clock_offset = 600_000
    assert posted.recv() == "hello"
    assert close_code(pinging) == 1001
    posted.send("still here")
    gateway.wait_for("message")


def test_two_hours_are_closed_with_1001_however_busy(gateway: GatewayUnderTest) -> None:
    gateway.stop_clock()
    client = gateway.connect()
    for minutes in range(5, 121, 5):
        gateway.clock_offset = minutes * 60_000 - 1
        client.send("x")
        gateway.wait_for("message", minutes // 5)
        assert gateway.ask(gateway.gateway.overdue) == []
    gateway.clock_offset = 120 * 60_000
    assert close_code(client) == 1001
    assert ended(gateway) == (1001, "Going away")


def test_disconnect_may_be_dropped_or_repeated(serve: Serve) -> None:
    for times in (0, 2):
        gateway = serve(connect=accept, disconnect=accept, disconnects=times)
        gateway.connect().close()
        eventually(lambda gateway=gateway: gateway.gateway.peers == {})  # type: ignore[misc]
        if times:
            gateway.wait_for("disconnect", times)
        gateway.stop()  # once all it has begun has ended
        assert len(gateway.events("disconnect")) == times


def test_connects_over_the_quota_are_429(serve: Serve) -> None:
    gateway = serve(connect=accept, limits=Limits(connects_per_second=2))
    gateway.stop_clock()
    assert [gateway.refusal() for _ in range(5)] == [101, 101, 429, 429, 429]
    gateway.clock_offset = 1000
    assert gateway.refusal() == 101


def test_messages_over_the_quota_close_with_1008(serve: Serve) -> None:
    limits = Limits(requests_per_second=1, request_burst=3)
    gateway = serve(message=accept, limits=limits)
    gateway.stop_clock()
    client = gateway.connect()
    for _ in range(4):
        client.send("x")
    assert close_code(client) == 1008
    gateway.wait_for("message", 3)
    assert len(gateway.events("message")) == 3


def test_stopping_closes_with_1001_and_tells_the_app(serve: Serve) -> None:
    gateway = serve(connect=accept, disconnect=accept)
    client = gateway.connect()
    codes: list[int] = []
    reader = threading.Thread(target=lambda: codes.append(close_code(client)))
    reader.start()
    asyncio.run_coroutine_threadsafe(gateway.server.stop(), gateway.loop).result(30)
    reader.join(30)
    assert codes == [1001]
    assert ended(gateway) == (1001, "Going away")


def test_a_client_let_in_while_the_gateway_stops_is_closed_and_the_app_is_told(
    serve: Serve,
) -> None:
    opened = threading.Event()
    gateway = serve(connect=lambda e, c: opened.wait(30) and accept(e, c), disconnect=accept)
    with gateway.raw() as client:
        gateway.wait_for("connect")
        stopping = asyncio.run_coroutine_threadsafe(gateway.server.stop(), gateway.loop)
        eventually(lambda: gateway.server._stopping)
        opened.set()
        answer = client.recv(4096)
        while not answer.endswith(b"\x03\xe9Going away"):
            received = client.recv(4096)
            assert received, answer
            answer += received
        assert answer.startswith(b"HTTP/1.1 101 ")
        stopping.result(30)
    assert ended(gateway) == (1001, "Going away")


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(b"\x83\x80\x00\x00\x00\x00", id="an opcode that is not defined"),
        pytest.param(b"\xf1\x80\x00\x00\x00\x00", id="reserved bits"),
        pytest.param(b"\x81\x05hello", id="a frame without mask"),
        pytest.param(b"\x09\x80\x00\x00\x00\x00", id="a fragmented ping"),
        pytest.param(b"\x89\xfe\x00\x80" + bytes(132), id="a ping over 125 bytes"),
        pytest.param(b"\x80\x80\x00\x00\x00\x00", id="a continuation of nothing"),
        pytest.param(b"\x88\x81\x00\x00\x00\x00x", id="a close frame of one byte"),
    ],
)
def test_a_broken_frame_is_closed_with_1002_and_disturbs_nobody(
    gateway: GatewayUnderTest, junk: bytes
) -> None:
    other = gateway.connect()
    client = gateway.connect()
    assert client.sock is not None
    client.sock.sendall(junk)
    assert close_code(client) == 1002
    other.send("still here")
    assert gateway.wait_for("message")["body"] == "still here"
    other.close()


def test_random_bytes_after_the_handshake_disturb_nobody(gateway: GatewayUnderTest) -> None:
    other = gateway.connect()
    for seed in range(30):
        client = gateway.connect()
        assert client.sock is not None
        client.sock.sendall(bytes([seed, 255 - seed]) + random.Random(seed).randbytes(200))
        client.sock.close()
    gateway.wait_for("disconnect", 30)
    other.send("still here")
    assert gateway.wait_for("message")["body"] == "still here"
    other.close()


def test_a_limit_can_be_shortened(serve: Serve) -> None:
    gateway = serve(message=accept, limits=Limits(frame_size=10))
    client = gateway.connect()
    client.send("x" * 11)
    assert close_code(client) == 1009
