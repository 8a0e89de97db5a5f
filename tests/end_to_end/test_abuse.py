"""What clients must not be able to do: crash the gateway, fill it, or get in each other's way.

A limit of time is a guard against hanging; none says how fast something is.
"""

from __future__ import annotations

import http.client
import json
import resource
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from chalice.app import Chalice, Response
from chalice.config import Config

from localgateway.definition import ApiDefinition, Route
from localgateway.functions import Functions
from localgateway.http_routes import HttpRoutes
from localgateway.lambda_api import LambdaApi
from localgateway.limits import Limits
from localgateway.server import Server
from localgateway.workers import Workers
from tests.end_to_end.conftest import Serve, accept
from tests.end_to_end.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    KEY,
    PING,
    PONG,
    SIGNED,
    TEXT,
    VERSION,
    Log,
    RawClient,
    dial,
    exchange,
    frame,
    handshake,
    head,
    logged,
    nothing_left,
    once_each,
    reset,
    resident,
    serve_echo,
    statuses,
    until_closed,
    works,
    write_buffers,
)
from tests.gateway_under_test import NET, GatewayUnderTest, allow, eventually

KIB, MIB = 1024, 1024 * 1024
LIMITS = Limits(close_timeout=0.5)
HASTY = Limits(handshake_timeout=1.0, close_timeout=0.5)
"""For what must come to its end in time; whatever is to succeed may take longer."""
CROWD = 1000


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    """Whatever a client does, the gateway itself never fails."""
    with logged() as log:
        yield log
    assert log.failures() == []


@pytest.fixture
def gateway(serve: Serve) -> GatewayUnderTest:
    return serve_echo(serve, limits=LIMITS)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of a thousand connections are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Gate:
    """A handler that does not return before it may."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self, _event: Any, _context: Any) -> dict[str, int]:
        self.opened.wait(NET)
        return {"statusCode": 200}


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


# Views of an app that are useful to an attacker.


def make_app(gate: Gate) -> Chalice:
    app = Chalice("abused")

    def current() -> Any:
        return app.current_request

    @app.route("/size", methods=["POST"], content_types=["text/plain"])
    def size() -> Any:
        return {"size": len(current().raw_body), "headers": dict(current().headers)}

    @app.route("/large")
    def large() -> Any:
        return Response("x" * MIB, {"Content-Type": "text/plain"})

    @app.route("/slow")
    def slow() -> Any:
        time.sleep(0.3)
        return {"slow": True}

    @app.route("/never")
    def never() -> Any:
        gate.opened.wait(NET)
        return {}

    @app.route("/header")
    def header() -> Any:
        query = current().query_params
        return Response("", {query["name"]: query["value"]})

    @app.route("/text")
    def text() -> Any:
        return Response(json.loads(current().query_params["json"]), {"Content-Type": "text/plain"})

    return app


@pytest.fixture
def serve_site(gate: Gate) -> Iterator[Callable[[Limits], GatewayUnderTest]]:
    """HTTP views, Lambda's API and an echo over WebSockets on one port."""
    routes = {
        "$connect": Route("accept"),
        "$disconnect": Route("accept"),
        "$default": Route("echo", two_way=True),
    }
    functions = Functions({"work": lambda event, context: event}, timeout=NET)

    def start(limits: Limits) -> GatewayUnderTest:
        site = GatewayUnderTest(
            ApiDefinition(routes=routes),
            {"accept": accept, "echo": lambda event, context: {"body": event["body"]}},
            limits,
            http_routes=HttpRoutes(make_app(gate), Config(chalice_stage="local")),
            make_server=lambda gateway, routes: Server(
                gateway, routes, LambdaApi(functions, {"work": "work"})
            ),
        )
        stack.callback(site.stop)
        return site

    with ExitStack() as stack:
        stack.callback(functions.close)
        yield start
        gate.opened.set()


@pytest.fixture
def site(serve_site: Callable[[Limits], GatewayUnderTest]) -> GatewayUnderTest:
    return serve_site(LIMITS)


@pytest.fixture
def hasty(serve_site: Callable[[Limits], GatewayUnderTest]) -> GatewayUnderTest:
    return serve_site(HASTY)


@contextmanager
def impatience(gateway: GatewayUnderTest) -> Iterator[None]:
    """Give functions that are invoked meanwhile half a second."""
    functions = gateway._functions
    patience, functions._timeout = functions._timeout, 0.5
    yield
    functions._timeout = patience


def get(target: str, *headers: str) -> bytes:
    return head(f"GET {target} HTTP/1.1", "Host: x", *headers)


def post(target: str, *headers: str) -> bytes:
    return head(f"POST {target} HTTP/1.1", "Host: x", "Content-Type: text/plain", *headers)


def management(
    gateway: GatewayUnderTest, method: str, connection_id: str, body: bytes = b""
) -> int:
    """Call the management API; return the status."""
    connection = http.client.HTTPConnection(gateway.address, timeout=NET)
    name, _, value = SIGNED.partition(": ")
    try:
        connection.request(method, f"/api/@connections/{connection_id}", body, {name: value})
        return connection.getresponse().status
    finally:
        connection.close()


def latest_id(gateway: GatewayUnderTest) -> str:
    return str(gateway.wait_for("connect")["requestContext"]["connectionId"])


def deflated(data: bytes, *, last_block: bool = False) -> bytes:
    """Return the payload of a compressed message."""
    compressor = zlib.compressobj(9, wbits=-12)
    if last_block:
        return compressor.compress(data) + compressor.flush(zlib.Z_FINISH)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def bomb(size: int) -> bytes:
    """Return a compressed message of zeros; about a thousandth of them in bytes."""
    compressor = zlib.compressobj(9, wbits=-12)
    pieces = [compressor.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join([*pieces, compressor.compress(bytes(size % MIB)), compressor.flush()])


# Before and during the handshake.


@pytest.mark.parametrize(
    ("junk", "status"),
    [
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2"),
        pytest.param(b"\x00" * 100, 400, id="zeros"),
        pytest.param(b"\x16\x03\x01\x02\x00" + b"\xff" * 600, 400, id="TLS"),
        pytest.param(frame(TEXT, b"hello"), 400, id="a frame without handshake"),
        pytest.param(b"GET /api\x00 HTTP/1.1\r\n\r\n", 400, id="NUL in the path"),
        pytest.param(get("/" + "x" * 5000), 414, id="a long path"),
        pytest.param(get("/", *(f"H{n}:" for n in range(100_000))), 431, id="100,000 names"),
        pytest.param(get("/", "Big: " + "x" * MIB), 431, id="a header of 1 MB"),
        pytest.param(b"\r\n" * 20_000, 431, id="empty lines"),
        pytest.param(handshake("X: a\r\n b"), 400, id="a folded header"),
        pytest.param(handshake("X: a\nY: b"), 400, id="a bare LF"),
        pytest.param(handshake("X: a\rY: b"), 400, id="a bare CR"),
        pytest.param(handshake("X: a\x01b"), 400, id="a control character"),
        pytest.param(handshake("X: a\x00b"), 400, id="NUL in a header"),
        pytest.param(handshake(KEY), 400, id="two keys"),
        pytest.param(handshake(VERSION), 400, id="two versions"),
        pytest.param(handshake("Origin: a", "Origin: b"), 400, id="two origins"),
        pytest.param(handshake().replace(b"AAAA", b"\xe9AAA"), 400, id="a key not in ASCII"),
        pytest.param(handshake("Sec-WebSocket-Extensions: ;;,"), 400, id="broken extensions"),
        pytest.param(handshake("Sec-WebSocket-Protocol: \xe9;,"), 400, id="broken subprotocols"),
        pytest.param(handshake("Upgrade: h2c"), 426, id="two upgrades"),
        pytest.param(handshake(target="/other"), 403, id="another stage"),
        pytest.param(handshake(target="/api%00"), 403, id="an encoded NUL"),
        pytest.param(head("CONNECT x:443 HTTP/1.1", "Host: x") + b"junk", 403, id="CONNECT"),
    ],
)
def test_a_broken_handshake_is_refused_and_disturbs_nobody(
    gateway: GatewayUnderTest, junk: bytes, status: int
) -> None:
    assert exchange(gateway, junk).startswith(b"HTTP/1.1 %d " % status)
    assert gateway.calls == []
    works(gateway)
    nothing_left(gateway)


def test_a_refused_client_that_does_not_read_is_dropped_in_time(gateway: GatewayUnderTest) -> None:
    host, port = gateway.address.split(":")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        eventually(lambda: len(gateway.server.transports) == 1)
        (transport,) = gateway.server.transports
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        while not transport.get_write_buffer_size():  # soon no more answers can be sent
            client.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.001)
        client.sendall(handshake(target="/other"))
        eventually(lambda: gateway.server.transports == set())


def test_a_refusal_is_read_by_a_client_that_has_sent_more(gateway: GatewayUnderTest) -> None:
    answer = exchange(gateway, handshake(target="/other") + frame(TEXT, b"x" * 60_000) * 20)
    assert statuses(answer) == [403]


def test_connections_that_never_finish_the_handshake_end_and_keep_nobody_out(
    serve: Serve, many_files: None
) -> None:
    gateway = serve_echo(serve, limits=HASTY)
    with ExitStack() as stack:
        clients = [stack.enter_context(dial(gateway)) for _ in range(CROWD)]
        for number, client in enumerate(clients):
            with suppress(ConnectionError):  # the first of them may have been ended by now
                client.sendall(handshake()[: number % len(handshake())])
        works(gateway)
        assert [client for client in clients if until_closed(client)] == []
    nothing_left(gateway)


def test_a_client_that_drips_is_ended_by_the_deadline(serve: Serve) -> None:
    gateway = serve_echo(serve, limits=HASTY)
    with dial(gateway) as client, suppress(ConnectionError):
        for number in range(1200):
            client.sendall(b"GET /api HTTP/1.1\r\n" if number == 0 else b"X: y\r\n")
            time.sleep(0.05)
        pytest.fail("the gateway has listened for a minute")
    nothing_left(gateway)


def test_a_client_that_sends_one_byte_at_a_time_is_served(gateway: GatewayUnderTest) -> None:
    with dial(gateway) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fragments = frame(TEXT, b"h", fin=False) + frame(PING) + frame(CONTINUATION, b"i")
        for byte in handshake() + frame(TEXT, b"x" * 200) + fragments:
            client.sendall(bytes([byte]))
        gateway.wait_for("message", 2)
    assert {e["body"] for e in gateway.events("message")} == {"x" * 200, "hi"}


def test_a_client_that_resets_while_the_app_decides_is_told_to_the_app(serve: Serve) -> None:
    gate = Gate()
    gateway = serve_echo(serve, limits=LIMITS, connect=gate)
    client = dial(gateway)
    client.sendall(handshake())
    gateway.wait_for("connect")
    reset(client)
    gate.opened.set()
    assert gateway.wait_for("disconnect")["requestContext"]["disconnectStatusCode"] == 1006
    nothing_left(gateway)
    once_each(gateway)


def test_a_broken_frame_with_the_handshake_from_a_client_that_has_left_is_no_fault(
    serve: Serve,
) -> None:
    gate = Gate()
    gateway = serve_echo(serve, limits=LIMITS, connect=gate)
    for _ in range(5):
        client = dial(gateway)
        client.sendall(handshake() + b"\xff\xff\xff\xff")
        reset(client)
    gateway.wait_for("connect", 5)
    gate.opened.set()
    gateway.wait_for("disconnect", 5)
    nothing_left(gateway)
    once_each(gateway)


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(b"\xff\xff\xff\xff", id="a broken frame"),
        pytest.param(frame(BINARY), id="a binary frame"),
        pytest.param(frame(CLOSE), id="a goodbye"),
        pytest.param(frame(PING, b"x" * 100) * 100, id="pings"),
    ],
)
def test_a_client_that_resets_while_it_is_answered_is_no_fault(
    gateway: GatewayUnderTest, junk: bytes
) -> None:
    for _ in range(300):
        client = dial(gateway)
        client.sendall(handshake() + junk)
        client.recv(10)
        reset(client)
    gateway.wait_for("disconnect", 300)
    nothing_left(gateway)
    once_each(gateway)


def test_a_client_that_closes_its_side_has_left(gateway: GatewayUnderTest) -> None:
    with RawClient(gateway) as client:
        client.sock.shutdown(socket.SHUT_WR)
        assert client.receive() is None
        assert gateway.wait_for("disconnect")["requestContext"]["disconnectStatusCode"] == 1006
    nothing_left(gateway)


def test_an_upgrade_behind_another_request_is_answered_behind_it(site: GatewayUnderTest) -> None:
    with dial(site) as client:
        client.sendall(get("/slow") + handshake() + frame(TEXT, b"hello"))
        answer = b""
        while not answer.endswith(frame(TEXT, b"hello")[:1] + b"\x05hello"):
            received = client.recv(65_536)
            assert received, answer
            answer += received
        client.sendall(frame(CLOSE))
        answer += until_closed(client)
    assert answer.index(b'{"slow":true}') < answer.index(b"HTTP/1.1 101 ")
    assert answer.endswith(b"\r\n\r\n\x81\x05hello\x88\x00"), "nothing else after the 101"


def test_junk_behind_a_request_does_not_keep_it_from_its_answer(site: GatewayUnderTest) -> None:
    answer = exchange(site, get("/slow") + b"\x00junk\r\n\r\n")
    assert statuses(answer) == [200, 400]


# Frames.


@pytest.mark.parametrize(
    ("junk", "code"),
    [
        pytest.param(frame(TEXT, rsv=4), 1002, id="RSV1 without an extension"),
        pytest.param(frame(TEXT, rsv=2), 1002, id="RSV2"),
        pytest.param(frame(TEXT, rsv=1), 1002, id="RSV3"),
        pytest.param(frame(PING, rsv=4), 1002, id="a reserved bit on a ping"),
        pytest.param(frame(0x3), 1002, id="a reserved opcode"),
        pytest.param(frame(0xF), 1002, id="a reserved control opcode"),
        pytest.param(frame(PING, fin=False), 1002, id="a fragmented ping"),
        pytest.param(frame(CLOSE, fin=False), 1002, id="a fragmented close"),
        pytest.param(frame(PING, bytes(126)), 1002, id="a ping of 126 bytes"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="half a close code"),
        pytest.param(frame(CLOSE, b"\x03\xed"), 1002, id="close code 1005"),
        pytest.param(frame(CLOSE, b"\x03\xee"), 1002, id="close code 1006"),
        pytest.param(frame(CLOSE, b"\x00\x00"), 1002, id="close code 0"),
        pytest.param(frame(CLOSE, b"\xff\xff"), 1002, id="close code 65535"),
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), 1007, id="a reason that is not UTF-8"),
        pytest.param(frame(TEXT, fin=False) + frame(TEXT), 1002, id="a text in a text"),
        pytest.param(frame(TEXT, fin=False) + frame(BINARY), 1002, id="binary in a text"),
        pytest.param(frame(CONTINUATION), 1002, id="a continuation of nothing"),
        pytest.param(b"\x81\x05hello", 1002, id="a frame without mask"),
        pytest.param(b"\x81\xff" + b"\xff" * 8, 1009, id="a length of 2^64"),
        pytest.param(b"\x81\xff\x00\x00\x00\xff\xff\xff\xff\xff", 1009, id="a length of 2^40"),
        pytest.param(frame(TEXT, b"\xed\xa0\x80"), 1007, id="a surrogate as UTF-8"),
        pytest.param(frame(TEXT, b"\xc0\x80"), 1007, id="overlong UTF-8"),
        pytest.param(frame(TEXT, b"\xe2\x82"), 1007, id="half a character"),
        pytest.param(
            frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"\x28"),
            1007,
            id="a broken character over two fragments",
        ),
        pytest.param(
            frame(BINARY, fin=False) + frame(CONTINUATION, fin=False) * 3 + frame(CONTINUATION),
            1003,
            id="a binary message in fragments",
        ),
    ],
)
def test_a_broken_frame_ends_its_connection_only(
    gateway: GatewayUnderTest, junk: bytes, code: int
) -> None:
    other = gateway.connect()
    with RawClient(gateway) as client:
        client.send(junk, frame(TEXT, b"after"))
        assert client.close_code() == code
    gateway.wait_for("disconnect")
    other.send("still here")
    assert other.recv() == "still here"
    other.close()
    assert [e["body"] for e in gateway.events("message")] == ["still here"]
    nothing_left(gateway)
    once_each(gateway)


def test_a_client_that_talks_on_after_its_fault_is_dropped(gateway: GatewayUnderTest) -> None:
    with RawClient(gateway) as client:
        client.send(frame(BINARY))
        with pytest.raises(ConnectionError):  # noqa: PT012 - whichever of them is the first
            for _ in range(6000):
                client.send(frame(TEXT, b"x" * 1000))
                time.sleep(0.01)
    assert gateway.events("message") == []
    nothing_left(gateway)


def test_nothing_is_routed_after_disconnect(serve: Serve) -> None:
    gateway = serve_echo(serve, limits=Limits(close_timeout=NET))  # or the client may be too late
    with RawClient(gateway) as client:
        assert management(gateway, "DELETE", latest_id(gateway)) == 204
        gateway.wait_for("disconnect")
        client.send(frame(TEXT, b"am I still here?"))
        assert client.close_code() == 1000
        client.send(frame(CLOSE))
    nothing_left(gateway)
    assert gateway.events("message") == []


def test_a_message_of_very_many_fragments_disturbs_nobody(gateway: GatewayUnderTest) -> None:
    other = gateway.connect()
    with RawClient(gateway) as client:
        client.send(frame(TEXT, b"x", fin=False), frame(CONTINUATION, b"y", fin=False) * 100_000)
        other.send("still here")
        assert other.recv() == "still here"
        client.send(frame(CONTINUATION, b"z"))
        assert len(gateway.wait_for("message", 2)["body"]) == 100_002
    other.close()


def test_empty_fragments_without_end_take_no_memory(gateway: GatewayUnderTest) -> None:
    count = 100_000
    with RawClient(gateway) as client:
        client.send(frame(TEXT, fin=False), frame(PING))
        assert client.receive() == (PONG, b"")
        tracemalloc.start()
        try:
            client.send(frame(CONTINUATION, fin=False) * count, frame(PING))
            assert client.receive() == (PONG, b"")
            kept, _peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < 4 * count
        works(gateway)


def test_a_client_that_pings_and_never_reads_does_not_fill_the_gateway(serve: Serve) -> None:
    limits = Limits(client_buffer=64 * KIB, close_timeout=0.5)
    gateway = serve_echo(serve, limits=limits)
    with RawClient(gateway) as client:
        client.sock.settimeout(1)
        with suppress(TimeoutError, ConnectionError):  # the gateway reads no more, or hangs up
            for _ in range(200):
                client.send(frame(PING, b"x" * 125) * 1000)
        works(gateway)
        assert write_buffers(gateway) < MIB
    nothing_left(gateway)


def test_a_flood_of_messages_waits_for_its_turn(gateway: GatewayUnderTest) -> None:
    count, most = 20_000, 0
    other = gateway.connect()
    with RawClient(gateway) as client:
        client.send(frame(TEXT) * count)
        other.send("still here")
        deadline = time.monotonic() + 5 * NET
        while len(gateway.calls) < count:
            assert time.monotonic() < deadline
            most = max(most, len(gateway.server._tasks))
            time.sleep(0.001)
        assert other.recv() == "still here"
    other.close()
    assert most <= 4 * gateway.limits.messages_in_flight


# Slow readers.


def test_posts_to_a_client_that_never_reads_are_refused_and_others_are_served(
    serve: Serve,
) -> None:
    gateway = serve_echo(serve, limits=Limits(client_buffer=256 * KIB, close_timeout=0.5))
    other = gateway.connect()
    with RawClient(gateway) as client:
        connection_id = latest_id(gateway)
        accepted = 0
        while management(gateway, "POST", connection_id, b"x" * 100 * KIB) == 200:
            accepted += 1
            assert accepted < 1000, "the gateway takes all for a client that reads nothing"
            if accepted % 20 == 0:
                other.send("still here")
                assert other.recv() == "still here"
        assert write_buffers(gateway) < 512 * KIB
        received = 0
        while received < accepted * 100 * KIB:
            got = client.receive()
            assert got is not None
            received += len(got[1])
        assert management(gateway, "POST", connection_id, b"again") == 200
        assert client.receive() == (TEXT, b"again")
    other.close()
    nothing_left(gateway)


def test_a_client_that_never_reads_can_be_closed(serve: Serve) -> None:
    gateway = serve_echo(serve, limits=Limits(client_buffer=256 * KIB, close_timeout=0.5))
    with RawClient(gateway):
        connection_id = latest_id(gateway)
        while management(gateway, "POST", connection_id, b"x" * 100 * KIB) == 200:
            pass
        assert management(gateway, "DELETE", connection_id) == 204
        nothing_left(gateway)
    once_each(gateway)


def test_answers_to_requests_in_a_row_wait_for_their_reader(site: GatewayUnderTest) -> None:
    with dial(site) as client:
        client.sendall(get("/large") * 60)
        time.sleep(1)
        assert write_buffers(site) < 10 * MIB
        works(site)


@pytest.mark.parametrize("target", ["/api/@connections/AAAAAAAAAAAAAAA=", "/api", "/nothing"])
def test_many_small_answers_that_are_never_read_do_not_fill_the_gateway(
    site: GatewayUnderTest, target: str
) -> None:
    with dial(site, timeout=1) as client:
        with suppress(TimeoutError, ConnectionError):  # once the gateway reads no more
            for _ in range(200):
                client.sendall(get(target, SIGNED) * 1000)
                assert write_buffers(site) < 4 * MIB
        works(site)


def test_an_answer_that_is_never_read_does_not_keep_its_connection(
    hasty: GatewayUnderTest,
) -> None:
    with ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(dial(hasty))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(get("/large") * 9 + get("/large", "Connection: close"))
        works(hasty)  # whose turn comes after theirs
        nothing_left(hasty)


# permessage-deflate.


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(bomb(32 * KIB + 1), id="32 KiB and one byte"),
        pytest.param(bomb(31 * MIB), id="31 MB in a frame of 32 KB"),
        pytest.param(bomb(100 * MIB), id="100 MB in 100 KB"),
    ],
)
def test_a_compressed_frame_that_inflates_past_the_limit_is_closed_with_1009(
    gateway: GatewayUnderTest, payload: bytes
) -> None:
    with RawClient(gateway, DEFLATE) as client:
        tracemalloc.start()
        try:
            client.send(frame(TEXT, payload, rsv=4))
            assert client.close_code() == 1009
            _kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 * MIB, "it has been inflated whole"
    assert gateway.events("message") == []
    works(gateway)


def test_very_many_small_frames_are_not_all_inflated_at_once(serve: Serve) -> None:
    count = 1000

    def forget(_event: Any, _context: Any) -> dict[str, str]:
        forgetful.calls.clear()  # which hold what was inflated
        return {"body": "handled"}

    forgetful = serve_echo(serve, limits=LIMITS, message=forget)
    with RawClient(forgetful, f"{DEFLATE}; client_no_context_takeover") as client:
        message = frame(TEXT, deflated(bytes(32 * KIB)), rsv=4)
        tracemalloc.start()
        try:
            client.send(message * count)
            most = 0
            for _ in range(count):
                assert client.receive() is not None
                most = max(most, tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        assert most < 16 * MIB
    nothing_left(forgetful)


def test_a_bomb_in_fragments_is_closed_with_1009(gateway: GatewayUnderTest) -> None:
    compressor = zlib.compressobj(9, wbits=-12)
    pieces = []
    for number in range(6):
        piece = compressor.compress(bytes(30 * KIB)) + compressor.flush(zlib.Z_SYNC_FLUSH)
        opcode, rsv = (CONTINUATION, 0) if number else (TEXT, 4)
        pieces.append(frame(opcode, piece, fin=False, rsv=rsv))
    with RawClient(gateway, DEFLATE) as client:
        client.send(*pieces)  # at once: nobody listens to it for long after the fifth
        assert client.close_code() == 1009
    works(gateway)


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(frame(TEXT, b"\xff" * 40, rsv=4), id="no deflate"),
        pytest.param(frame(TEXT, b"\x07" + bytes(20), rsv=4), id="a reserved block type"),
        pytest.param(frame(TEXT, b"\x00\x05\x00\x05\x00hello", rsv=4), id="a wrong length"),
        pytest.param(frame(TEXT, deflated(b"\xff\xfe"), rsv=4), id="text that is not UTF-8"),
        pytest.param(frame(PING, b"x", rsv=4), id="a compressed ping"),
        pytest.param(
            frame(TEXT, deflated(b"a"), fin=False, rsv=4) + frame(CONTINUATION, b"b", rsv=4),
            id="a continuation marked as compressed",
        ),
    ],
)
def test_compressed_junk_ends_its_connection_only(gateway: GatewayUnderTest, junk: bytes) -> None:
    with RawClient(gateway, DEFLATE) as client:
        client.send(junk)
        assert client.close_code() in {1002, 1007}
    works(gateway)
    nothing_left(gateway)
    once_each(gateway)


def test_data_after_the_last_block_of_a_compressed_message_is_not_kept(
    gateway: GatewayUnderTest,
) -> None:
    with RawClient(gateway, DEFLATE) as client:
        client.send(frame(TEXT, deflated(b"all", last_block=True), fin=False, rsv=4))
        tracemalloc.start()
        try:
            # To be closed is as good an end as to be served.
            with suppress(ConnectionError):
                for _ in range(200):
                    client.send(frame(CONTINUATION, b"x" * 32 * KIB, fin=False))
                client.send(frame(PING))
                client.receive()
            kept, _peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < MIB
    works(gateway)


# Crowds.


def test_a_thousand_clients_that_leave_at_once_leave_nothing(
    gateway: GatewayUnderTest, many_files: None
) -> None:
    clients = [RawClient(gateway) for _ in range(CROWD)]
    assert len(gateway.gateway.peers) == CROWD
    ways: list[Callable[[RawClient], None]] = [
        lambda client: client.send(frame(CLOSE, b"\x03\xe8")),
        lambda client: client.sock.shutdown(socket.SHUT_RDWR),
        RawClient.reset,
        lambda client: client.send(frame(BINARY)),
    ]
    for number, client in enumerate(clients):
        ways[number % len(ways)](client)
    gateway.wait_for("disconnect", CROWD)
    for client in clients:
        client.close()
    nothing_left(gateway)
    assert len(gateway.events("disconnect")) == CROWD
    once_each(gateway)


# Handlers that never return.


def test_handlers_that_never_return_keep_nobody_from_theirs(serve: Serve, gate: Gate) -> None:
    gateway = serve_echo(
        serve,
        limits=Limits(integration_timeout=NET, close_timeout=0.5),
        stuck=gate,
        routes={"stuck": Route("stuck")},
    )
    with RawClient(gateway) as client, RawClient(gateway) as another:
        for stuck in (client, another):
            stuck.send(frame(TEXT, STUCK) * 100)
        gateway.wait_for("stuck", 200)
        works(gateway)
        gate.opened.set()
    nothing_left(gateway)


STUCK = b'{"action": "stuck"}'
THREADS = 4


@pytest.fixture
def full(serve: Serve, gate: Gate) -> GatewayUnderTest:
    """A gateway with as many threads as there are functions that never return.

    An app can use them all up, as it can AWS's 1,000: it takes that many at the same time.
    """
    gateway = serve_echo(serve, limits=LIMITS, stuck=gate, routes={"stuck": Route("stuck")})
    gateway._functions._workers = Workers(THREADS, THREADS)
    return gateway


def take_every_thread(full: GatewayUnderTest, client: RawClient) -> None:
    """Have functions run that never return; one that has timed out before it began does not."""

    def are_taken() -> bool:
        client.send(frame(TEXT, STUCK))
        return len(full.events("stuck")) == THREADS

    eventually(are_taken)


def test_where_every_thread_is_taken_for_good_others_are_told_of_a_timeout(
    full: GatewayUnderTest, gate: Gate
) -> None:
    with RawClient(full) as client, RawClient(full) as other:
        connection_id = full.events("connect")[1]["requestContext"]["connectionId"]
        with impatience(full):
            take_every_thread(full, client)
            other.send(frame(TEXT, b"hello"))
            answer = other.receive()
            assert answer is not None
            assert json.loads(answer[1])["message"] == "Endpoint request timed out"
            assert full.refusal() == 504
        other.send(frame(PING, b"?"))
        assert other.receive() == (PONG, b"?")
        assert management(full, "POST", connection_id, b"posted") == 200
        assert other.receive() == (TEXT, b"posted")
        gate.opened.set()
        other.send(frame(TEXT, b"at last"))
        assert other.receive() == (TEXT, b"at last")
    nothing_left(full)


def test_what_has_timed_out_before_it_began_is_never_run(
    full: GatewayUnderTest, gate: Gate
) -> None:
    with RawClient(full) as client:
        with impatience(full):
            take_every_thread(full, client)
            assert full.refusal() == 504
        gate.opened.set()
        client.send(frame(TEXT, b"behind it"))
        full.wait_for("message")
    assert len(full.events("connect")) == 1, "a client that was refused is not connected later"


def test_views_that_never_return_do_not_hold_up_websockets(
    serve_site: Callable[[Limits], GatewayUnderTest],
) -> None:
    site = serve_site(Limits(integration_timeout=1.0, close_timeout=0.5))
    site._functions._timeout = NET  # it is views that have little time
    with ExitStack() as stack:
        clients = [stack.enter_context(dial(site)) for _ in range(20)]
        for client in clients:
            client.sendall(get("/never"))
        works(site)
        assert management(site, "GET", "AAAAAAAAAAAAAAA=") in {400, 410}
        # As REST APIs do at the end of the integration's time.
        for client in clients:
            assert client.recv(65_536).startswith(b"HTTP/1.1 504 ")


# HTTP requests.


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(
            post("/size", "Content-Length: 3", "Content-Length: 4") + b"abcd",
            400,
            id="conflicting lengths",
        ),
        pytest.param(
            post("/size", "Content-Length: 3", "Content-Length: 3") + b"abc",
            400,
            id="a length twice",
        ),
        pytest.param(post("/size", "Content-Length: 3, 3") + b"abc", 400, id="a list of lengths"),
        pytest.param(post("/size", "Content-Length: -1"), 400, id="a negative length"),
        pytest.param(post("/size", "Content-Length: +1") + b"a", 400, id="a signed length"),
        pytest.param(post("/size", "Content-Length: 1_0") + b"a", 400, id="Python's digits"),
        pytest.param(post("/size", "Content-Length: " + "9" * 30), 400, id="a length of 10^30"),
        pytest.param(
            post("/size", "Content-Length: 1", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
            400,
            id="a length and chunks",
        ),
        pytest.param(
            post("/size", "Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n",
            400,
            id="chunked is not last",
        ),
        pytest.param(
            post("/size", "Transfer-Encoding: xchunked") + b"0\r\n\r\n", 400, id="xchunked"
        ),
        pytest.param(
            post("/size", "Transfer-Encoding: chunked") + b"F" * 17 + b"\r\n",
            400,
            id="a chunk of 2^68",
        ),
        pytest.param(
            post("/size", "Transfer-Encoding: chunked") + b"-1\r\n\r\n", 400, id="a negative chunk"
        ),
        pytest.param(
            post("/size", "Transfer-Encoding: chunked") + b"2\r\nabc\r\n0\r\n\r\n",
            400,
            id="a chunk longer than it says",
        ),
        pytest.param(
            post("/size", "Transfer-Encoding: chunked")
            + (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 161,
            413,
            id="chunks of more than 10 MB",
        ),
        pytest.param(
            post("/size", f"Content-Length: {10 * MIB + 1}") + bytes(10 * MIB + 1),
            413,
            id="a body of more than 10 MB",
        ),
        pytest.param(
            post("/size", "Transfer-Encoding: chunked")
            + b"0\r\n"
            + b"".join(b"T%d: %s\r\n" % (n, b"x" * 100) for n in range(20_000)),
            431,
            id="trailers without end",
        ),
    ],
)
def test_a_request_that_lies_about_its_size_is_refused(
    site: GatewayUnderTest, data: bytes, status: int
) -> None:
    assert statuses(exchange(site, data)) == [status]
    works(site)
    nothing_left(site)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(post("/size", "Content-Length: 99999999999"), id="100 GB to come"),
        pytest.param(
            post("/size", "Transfer-Encoding: chunked") + b"F" * 16 + b"\r\n", id="2^64 to come"
        ),
        pytest.param(post("/size", "Transfer-Encoding: chunked"), id="chunks to come"),
    ],
)
def test_a_body_that_never_ends_is_ended_by_the_deadline(
    hasty: GatewayUnderTest, start: bytes
) -> None:
    with dial(hasty) as client, suppress(ConnectionError):
        client.sendall(start)
        for _ in range(1200):
            client.sendall(b"1\r\nx\r\n")
            time.sleep(0.05)
        pytest.fail("the gateway has listened for a minute")
    works(hasty)
    nothing_left(hasty)


def test_a_body_in_tiny_chunks_takes_no_more_memory_than_a_body(site: GatewayUnderTest) -> None:
    with dial(site) as client:
        client.sendall(post("/size", "Transfer-Encoding: chunked"))
        eventually(lambda: len(site.server.http_protocols) == 1)
        (reader,) = site.server.http_protocols
        tracemalloc.start()
        try:
            client.sendall(b"2\r\nab\r\n" * 100_000)
            eventually(lambda: len(reader._body) == 200_000)
            kept, _peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert kept < MIB, "200 KB of body"


def test_trailers_are_no_headers(site: GatewayUnderTest) -> None:
    trailers = "0\r\nX-Trailer: sneaked\r\nAuthorization: in\r\n\r\n"
    request = post("/size", "Transfer-Encoding: chunked", "Connection: close")
    answer = exchange(site, request + b"3\r\nabc\r\n" + trailers.encode())
    assert statuses(answer) == [200]
    assert b'"size":3' in answer
    assert b"sneaked" not in answer


def test_a_client_that_expects_to_be_told_to_continue_is(site: GatewayUnderTest) -> None:
    with dial(site) as client:
        client.sendall(post("/size", "Content-Length: 3", "Expect: 100-continue"))
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_asks_first_is_not_told_to_send_too_much(site: GatewayUnderTest) -> None:
    request = post("/size", f"Content-Length: {10 * MIB + 1}", "Expect: 100-continue")
    assert statuses(exchange(site, request)) == [413]


def test_a_client_that_half_closes_after_its_request_is_answered(site: GatewayUnderTest) -> None:
    with dial(site) as client:
        client.sendall(get("/slow"))
        client.shutdown(socket.SHUT_WR)
        assert statuses(until_closed(client)) == [200]


@pytest.mark.parametrize("target", ["/size", "/api/@connections/AAAAAAAAAAAAAAA="])
def test_a_reset_in_the_middle_of_a_large_post_leaves_nothing(
    site: GatewayUnderTest, target: str
) -> None:
    for _ in range(5):
        client = dial(site)
        client.sendall(post(target, SIGNED, f"Content-Length: {9 * MIB}") + bytes(4 * MIB))
        reset(client)
    works(site)
    nothing_left(site)


def test_a_reset_before_the_answer_leaves_nothing(site: GatewayUnderTest) -> None:
    for target in ("/slow", "/large", "/api", "/nothing"):
        for _ in range(5):
            client = dial(site)
            client.sendall(get(target) * 3)
            reset(client)
    works(site)
    nothing_left(site)


@pytest.mark.parametrize(
    "path",
    [
        "%00",
        "%ff%fe",
        "%",
        "%2e%2e%2f",
        "%0d%0aX-Injected:%201",
        "%252e",
        "\xe9",
        "AAAAAAAAAAAAAAA=%00",
        "a" * 3000,
        "?x=%zz",
        "/",
        "..%2fAAAAAAAAAAAAAAA=",
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "PUT", "HEAD"])
def test_junk_in_a_connections_path_is_the_callers_fault(
    gateway: GatewayUnderTest, method: str, path: str
) -> None:
    request = head(
        f"{method} /api/@connections/{path} HTTP/1.1", SIGNED, "Content-Length: 1", ""
    ).removesuffix(b"\r\n")
    with dial(gateway) as client:
        client.sendall(request + b"x")
        client.shutdown(socket.SHUT_WR)
        answer = until_closed(client)
    assert int(answer.split(b" ")[1]) in {400, 403, 410}
    assert b"\nX-Injected" not in answer


def test_an_authorization_that_is_not_ascii_is_the_clients_fault(site: GatewayUnderTest) -> None:
    request = get("/nothing", "Authorization: \xe9", "Connection: close")
    assert statuses(exchange(site, request)) == [403]


def test_a_body_that_is_not_utf8_reaches_the_view(site: GatewayUnderTest) -> None:
    request = post("/size", "Content-Length: 2", "Connection: close")
    answer = exchange(site, request + b"\xff\xfe")
    assert statuses(answer) == [200]
    assert b'"size":2' in answer


def test_lambda_is_not_invoked_with_json_that_cannot_be_read(site: GatewayUnderTest) -> None:
    for body in (b"[" * 100_000, b"\xff", b"{", b"[" + b"9" * 5000 + b"]"):
        request = post(
            "/2015-03-31/functions/work/invocations",
            f"Content-Length: {len(body)}",
            "Connection: close",
            SIGNED,
        )
        assert statuses(exchange(site, request + body)) == [400]
    works(site)


# What handlers and views pass on from clients.


def test_header_values_reach_the_authorizer_as_latin_1(serve: Serve) -> None:
    gateway = serve_echo(serve, authorizer=allow, identity_sources=("route.request.header.token",))
    with RawClient(gateway, "token: caf\xe9", "X-Utf8: caf\xc3\xa9", "X-All: \x80\xff"):
        event = gateway.wait_for("authorizer")
        assert event["headers"]["token"] == "caf\xe9"
        assert event["headers"]["X-Utf8"].encode("latin-1").decode() == "caf\xe9"
        assert gateway.wait_for("connect")["multiValueHeaders"]["X-All"] == ["\x80\xff"]


@pytest.mark.parametrize(
    "subprotocol",
    [
        pytest.param("a\r\nX-Injected: 1", id="a line"),
        pytest.param("a\r\n\r\n\x81\x05hello", id="the end of the head, and a frame"),
        pytest.param("a\nX-Injected: 1", id="a bare LF"),
        pytest.param("a\rX-Injected: 1", id="a bare CR"),
        pytest.param("a\x00b", id="NUL"),
        pytest.param("\u2603", id="not latin-1"),
        pytest.param("\ud800", id="half a surrogate pair"),
    ],
)
def test_a_subprotocol_that_is_no_header_value_does_not_split_the_answer(
    serve: Serve, subprotocol: str
) -> None:
    response = {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": subprotocol}}
    gateway = serve_echo(serve, limits=LIMITS, connect=lambda event, context: response)
    with dial(gateway) as client:
        client.sendall(handshake() + frame(CLOSE))
        answer = until_closed(client)
    assert answer.startswith((b"HTTP/1.1 502 ", b"HTTP/1.1 500 "))
    assert b"X-Injected" not in answer
    assert b"hello" not in answer
    nothing_left(gateway)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("X-A", "a%0d%0aX-Injected: 1", id="a line in a value"),
        pytest.param("X-A", "a%0dX-Injected: 1", id="a bare CR in a value"),
        pytest.param("X-A", "a%0aX-Injected: 1", id="a bare LF in a value"),
        pytest.param("X-A", "a%00b", id="NUL in a value"),
        pytest.param("X-A%0d%0aX-Injected", "1", id="a line in a name"),
        pytest.param("X-Injected: 1%0d%0aX", "1", id="a whole header in a name"),
        pytest.param("X-A", "%e2%98%83", id="a value not in latin-1"),
    ],
)
def test_a_view_cannot_be_made_to_split_its_answer(
    site: GatewayUnderTest, name: str, value: str
) -> None:
    target = f"/header?name={name}&value={value}".replace(" ", "%20")
    answer = exchange(site, get(target, "Connection: close"))
    assert len(statuses(answer)) == 1
    assert b"\nX-Injected" not in answer
    assert b"\rX-Injected" not in answer
    assert b"\x00" not in answer
    works(site)
    nothing_left(site)


def test_a_view_that_answers_half_a_surrogate_pair_is_answered(site: GatewayUnderTest) -> None:
    assert len(statuses(exchange(site, get('/text?json="%5Cud800"', "Connection: close")))) == 1
    nothing_left(site)


def test_half_a_surrogate_pair_in_a_route_response_is_sent_or_said_to_fail(
    serve: Serve,
) -> None:
    gateway = serve_echo(
        serve, message=lambda event, context: {"body": json.loads(event["body"])["say"]}
    )
    with RawClient(gateway) as client:
        client.send(frame(TEXT, rb'{"say": "\ud800"}'))
        answer = client.receive()
        assert answer is not None
        assert answer[0] == TEXT
        client.send(frame(TEXT, b'{"say": "on"}'))
        assert client.receive() == (TEXT, b"on")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 30_000, id="lists in lists"),
        pytest.param('{"action":' * 3_000, id="objects in objects"),
        pytest.param("[" * 900 + "]" * 900, id="deep and whole"),
        pytest.param('{"action": ' + "9" * 10_000 + "}", id="a number of 10,000 digits"),
        pytest.param('{"action": 1e999}', id="a number that is infinite"),
        pytest.param(r'{"action": "\ud800"}', id="half a surrogate pair"),
        pytest.param("{}\x00", id="NUL"),
        pytest.param("", id="nothing"),
    ],
)
@pytest.mark.parametrize(
    "route",
    [
        pytest.param(Route("message", two_way=True), id="proxy"),
        pytest.param(Route("message", "AWS", two_way=True), id="passed through"),
        pytest.param(
            Route("message", "AWS", {"$default": '{"b": $input.json("$")}'}, two_way=True),
            id="templated",
        ),
        pytest.param(
            Route("message", "MOCK", {"$default": '{"statusCode": 200}'}, two_way=True), id="mock"
        ),
    ],
)
def test_a_message_no_parser_likes_is_answered_all_the_same(
    serve: Serve, route: Route, text: str
) -> None:
    gateway = serve(message=lambda event, context: {"body": "fine"}, routes={"$default": route})
    with RawClient(gateway) as client:
        client.send(frame(TEXT, text.encode()))
        answer = client.receive()
        assert answer is not None
        assert answer[0] == TEXT
        client.send(frame(PING))
        assert client.receive() == (PONG, b"")


# All together.


def test_the_process_does_not_grow_from_one_hostile_crowd_to_the_next(
    gateway: GatewayUnderTest,
) -> None:
    junk = [
        handshake()[:50],
        head("GET / HTTP/1.1", "Big: " + "x" * 200_000),
        post("/", f"Content-Length: {MIB}") + bytes(500_000),
        handshake() + frame(TEXT, b"x" * 32 * KIB, fin=False) * 3,
        handshake() + frame(BINARY, b"x" * 32 * KIB),
        handshake(DEFLATE) + frame(TEXT, bomb(MIB), rsv=4),
        handshake(DEFLATE) + frame(TEXT, deflated(b"x" * 30 * KIB), fin=False, rsv=4),
        handshake() + frame(PING, b"x" * 100) * 1000,
    ]
    peaks: list[int] = []
    for _ in range(12):
        with ExitStack() as stack:
            for number in range(64):
                client = stack.enter_context(dial(gateway))
                with suppress(ConnectionError):
                    client.sendall(junk[number % len(junk)])
            works(gateway)
        nothing_left(gateway)
        once_each(gateway)
        gateway.calls.clear()
        peaks.append(resident())
    assert peaks[-1] - peaks[3] < 32 * MIB
