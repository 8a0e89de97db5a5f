"""What clients send at random: the gateway answers, keeps its rules, and keeps nothing."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from chalice.app import Chalice, Response
from chalice.config import Config
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from localgateway.definition import ApiDefinition, Route
from localgateway.functions import Functions
from localgateway.http_routes import HttpRoutes
from localgateway.lambda_api import LambdaApi
from localgateway.limits import Limits
from localgateway.server import Server
from tests.end_to_end.conftest import accept
from tests.end_to_end.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    PING,
    PONG,
    SIGNED,
    TEXT,
    Log,
    RawClient,
    dial,
    echo,
    exchange,
    frame,
    handshake,
    head,
    logged,
    nothing_left,
    once_each,
    reset,
    statuses,
    until_closed,
    works,
)
from tests.gateway_under_test import GatewayUnderTest

FRAME, MESSAGE = 100, 300
"""Small limits, so that many examples reach them."""

# The same examples each time, none of them judged by the clock.
STEADY = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def make_app() -> Chalice:
    app = Chalice("fuzzed")

    def current() -> Any:
        return app.current_request

    @app.route("/json", methods=["GET", "POST", "PUT"])
    def view() -> Any:
        request = current()
        body = request.json_body if request.raw_body else None
        return {"body": body, "query": request.query_params}

    @app.route("/raw/{name}", methods=["GET", "POST"], content_types=["text/plain"])
    def raw(name: str) -> Any:
        return Response(str(len(current().raw_body)), {"Content-Type": "text/plain"})

    return app


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayUnderTest]:
    """WebSockets, the management API, HTTP views and Lambda's API on one port."""
    routes = {
        "$connect": Route("connect"),
        "$disconnect": Route("disconnect"),
        "$default": Route("message", two_way=True),
        "passed": Route("message", "AWS"),
    }
    handlers = {"connect": accept, "disconnect": accept, "message": echo}
    functions = Functions({"work": echo}, timeout=30.0)
    gateway = GatewayUnderTest(
        ApiDefinition(routes=routes),
        handlers,
        Limits(
            frame_size=FRAME,
            message_size=MESSAGE,
            handshake_timeout=30.0,
            close_timeout=30.0,
            integration_timeout=30.0,
        ),
        http_routes=HttpRoutes(make_app(), Config(chalice_stage="local")),
        make_server=lambda gateway, routes: Server(
            gateway, routes, LambdaApi(functions, {"work": "work"})
        ),
    )
    yield gateway
    gateway.stop()
    functions.close()


@pytest.fixture(scope="module")
def log() -> Iterator[Log]:
    with logged() as log:
        yield log


def start_over(gateway: GatewayUnderTest, log: Log) -> None:
    """Forget an example before, which may have failed."""
    for transport in list(gateway.server.transports):
        gateway.loop.call_soon_threadsafe(transport.abort)
    nothing_left(gateway)
    gateway.calls.clear()
    log.records.clear()


def undisturbed(gateway: GatewayUnderTest, log: Log) -> None:
    """Hold what holds after every example."""
    works(gateway)
    nothing_left(gateway)
    once_each(gateway)
    assert log.failures() == []


# Random bytes, and requests and frames that are nearly right.


payloads = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=60).map(str.encode),
    st.sampled_from([b"{}", b'{"action": "passed"}', b'{"action": "$connect"}', b"[" * 90]),
    st.integers(FRAME - 2, FRAME + 2).map(lambda size: b"x" * size),
)
frames = st.builds(
    frame,
    st.one_of(st.sampled_from([CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG]), st.integers(0, 15)),
    payloads,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 0, 1, 2, 4, 7]),
)
conversations = st.builds(
    lambda headers, frames: handshake(*headers) + b"".join(frames),
    st.lists(st.sampled_from([DEFLATE, "Origin: x", "Expect: 100-continue"]), max_size=2),
    st.lists(frames, max_size=8),
)
chunked = st.lists(st.binary(max_size=30), max_size=5).map(
    lambda chunks: (
        b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    )
)
targets = st.sampled_from(
    [
        "/",
        "/api",
        "/json",
        "/json?a=1&a=%ff",
        "/raw/x",
        "/raw/%00",
        "/api/@connections/AAAAAAAAAAAAAAA=",
        "/2015-03-31/functions/work/invocations",
        "*",
        "//[",
    ]
)
bodies = st.one_of(
    st.binary(max_size=40).map(lambda body: (f"Content-Length: {len(body)}", body)),
    chunked.map(lambda body: ("Transfer-Encoding: chunked", body)),
    st.just(("X: y", b"")),
)
requests = st.builds(
    lambda method, target, headers, body: (
        head(f"{method} {target} HTTP/1.1", "Host: x", *headers, body[0]) + body[1]
    ),
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT"]),
    targets,
    st.lists(
        st.sampled_from(
            [
                SIGNED,
                "Authorization: \xe9",
                "Content-Type: application/json",
                "Content-Type: text/plain",
                "Content-Type: \xff",
                "Accept: \xff/;q=x",
                "Expect: anything",
                "Connection: close",
                "Upgrade: websocket",
            ]
        ),
        max_size=3,
    ),
    bodies,
)
streams = st.lists(st.one_of(requests, conversations), min_size=1, max_size=3).map(b"".join)
edits = st.lists(
    st.tuples(
        st.sampled_from(["insert", "replace", "delete", "repeat"]),
        st.floats(0, 1, exclude_max=True),
        st.one_of(
            st.binary(min_size=1, max_size=4),
            st.sampled_from([b"\r\n", b"\n", b":", b" ", b"\0", b"\xff", b"HTTP/1.1", b"99999"]),
        ),
    ),
    min_size=1,
    max_size=4,
)


def edited(data: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, piece in changes:
        at = int(where * len(data))
        behind = at + (0 if kind == "insert" else len(piece))
        put = {"delete": b"", "repeat": data[at:behind] * 3}.get(kind, piece)
        data = data[:at] + put + data[behind:]
    return data


anything = st.one_of(
    st.binary(max_size=300),
    streams,
    st.builds(edited, streams, edits),
    st.builds(lambda junk: handshake() + junk, st.binary(max_size=300)),
)
cuts = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 0.0, 0.001, 0.003])), max_size=4)


def deliver(client: socket.socket, data: bytes, pieces: list[tuple[float, float]]) -> None:
    """Send bytes in pieces, with pauses between them."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    start = 0
    for where, pause in sorted(pieces):
        end = int(where * len(data))
        client.sendall(data[start:end])
        time.sleep(pause)
        start = end
    client.sendall(data[start:])


@settings(STEADY, max_examples=600)
@given(data=anything, pieces=cuts, leaves=st.sampled_from(["waits", "waits", "closes", "resets"]))
def test_whatever_bytes_a_client_sends_nobody_is_disturbed(
    gateway: GatewayUnderTest, log: Log, data: bytes, pieces: list[tuple[float, float]], leaves: str
) -> None:
    start_over(gateway, log)
    with dial(gateway) as client:
        with suppress(ConnectionError):
            deliver(client, data, pieces)
        if leaves == "resets":
            reset(client)
        elif leaves == "waits":
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            answered = statuses(until_closed(client))
            for status in answered:
                event(f"answered with {status}")
            assert all(status < 500 for status in answered)
    undisturbed(gateway, log)


# Frames, one after the other, against a model of what they mean.


class Conversation(RuleBasedStateMachine):
    """One connection: what the client sends, and what it and the app must hear."""

    gateway: GatewayUnderTest
    log: Log

    def __init__(self) -> None:
        super().__init__()
        start_over(self.gateway, self.log)
        self.client = RawClient(self.gateway)
        connect = self.gateway.wait_for("connect")
        self.connection_id: str = connect["requestContext"]["connectionId"]
        self.pending: bytes | None = None
        """The fragments of a message that is not finished."""
        self.bodies: list[str] = []
        self.ended: int | None = None
        """The status ``$disconnect`` is told."""

    def ends(self, told: int, *said: int) -> None:
        """Expect the end: ``told`` to the app and, where that is another one, ``said`` to us."""
        assert self.client.close_code() in (said or (told,))
        self.ended = told

    def send(self, opcode: int, payload: bytes, *, fin: bool = True) -> bool:
        """Send a frame; False where its size alone must end the connection.

        websockets looks at a frame's size first, and of control frames too.
        """
        self.client.send(frame(opcode, payload, fin=fin))
        fits = len(payload) <= min(FRAME, MESSAGE - len(self.pending or b""))
        if not fits:
            self.ends(1009)
        return fits

    def take(self, payload: bytes, fin: bool) -> None:
        """Expect what follows from one more data frame that is in order."""
        message = (self.pending or b"") + payload
        self.pending = None if fin else message
        if not fin:
            return
        try:
            self.bodies.append(message.decode())
        except UnicodeDecodeError:
            self.ends(1007)
        else:
            assert self.client.message() == (TEXT, message)

    running = precondition(lambda self: self.ended is None)
    small = st.one_of(st.binary(max_size=8), st.text(max_size=30).map(str.encode))
    data = st.one_of(
        small,
        st.text(max_size=30).map(str.encode),
        st.sampled_from([b"x" * FRAME, b"x" * (FRAME - 1), b"x" * (FRAME + 1)]),
    )

    @running
    @rule(payload=data, fin=st.booleans())
    def text(self, payload: bytes, fin: bool) -> None:
        if self.send(TEXT, payload, fin=fin):
            if self.pending is not None:
                self.ends(1002)
            else:
                self.take(payload, fin)

    @running
    @rule(payload=data, fin=st.sampled_from([False, False, True]))
    def continuation(self, payload: bytes, fin: bool) -> None:
        if self.send(CONTINUATION, payload, fin=fin):
            if self.pending is None:
                self.ends(1002)
            else:
                self.take(payload, fin)

    @running
    @rule(payload=st.binary(max_size=125))
    def ping(self, payload: bytes) -> None:
        if self.send(PING, payload):
            assert self.client.message() == (PONG, payload)

    @running
    @rule(payload=st.binary(max_size=125))
    def pong(self, payload: bytes) -> None:
        self.send(PONG, payload)

    @running
    @rule(body=st.text(max_size=120))
    def post(self, body: str) -> None:
        length = len(body.encode())
        assert self.call("POST", body.encode()) == (200 if length <= MESSAGE else 413)
        if length <= MESSAGE:
            assert self.client.message() == (TEXT, body.encode())

    @running
    @rule()
    def look(self) -> None:
        assert self.call("GET") == 200

    @running
    @rule()
    def delete(self) -> None:
        assert self.call("DELETE") == 204
        self.ends(1000)

    @running
    @rule(payload=small)
    def binary(self, payload: bytes) -> None:
        if self.send(BINARY, payload):
            self.ends(1003 if self.pending is None else 1002)

    @running
    @rule(
        code=st.one_of(
            st.sampled_from([1000, 1001, 1002, 1003, 1007, 1011, 3000, 4999]),
            st.sampled_from([0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535]),
        ),
        reason=st.text(max_size=20),
    )
    def close(self, code: int, reason: str) -> None:
        if not self.send(CLOSE, code.to_bytes(2, "big") + reason.encode()):
            return
        if code in {1000, 1001, 1002, 1003, 1007, 1011, 3000, 4999}:
            # In the middle of a message websockets answers 1002; the app is told the client's.
            self.ends(code, code, *([1002] if self.pending is not None else []))
        else:
            self.ends(1002)

    @running
    @rule()
    def close_without_status(self) -> None:
        self.client.send(frame(CLOSE))
        self.ends(1005, 1005, *([1002] if self.pending is not None else []))

    @running
    @rule(
        junk=st.sampled_from(
            [
                frame(TEXT, rsv=4),
                frame(PING, rsv=2),
                frame(0x3),
                frame(0xB),
                frame(PING, fin=False),
                frame(CLOSE, fin=False),
                b"\x81\x00",
            ]
        )
    )
    def break_the_protocol(self, junk: bytes) -> None:
        self.client.send(junk)
        self.ends(1002)

    @running
    @rule()
    def leave(self) -> None:
        self.client.sock.shutdown(socket.SHUT_RDWR)
        self.ended = 1006

    @precondition(lambda self: self.ended is not None)
    @rule(payload=payloads)
    def talk_on(self, payload: bytes) -> None:
        with suppress(OSError):
            self.client.send(frame(TEXT, payload))
        assert self.call("POST", b"anybody?") == 410

    def call(self, method: str, body: bytes = b"") -> int:
        target = f"/api/@connections/{self.connection_id}"
        lines = (SIGNED, f"Content-Length: {len(body)}", "Connection: close")
        (status,) = statuses(
            exchange(self.gateway, head(f"{method} {target} HTTP/1.1", *lines) + body)
        )
        return status

    def teardown(self) -> None:
        self.client.close()
        context = self.gateway.wait_for("disconnect")["requestContext"]
        # A client that is closed here, with something unread, has left without a word.
        assert context["disconnectStatusCode"] == (1006 if self.ended is None else self.ended)
        assert [e["body"] for e in self.gateway.events("message")] == self.bodies
        undisturbed(self.gateway, self.log)


def test_frames_in_any_order_mean_what_the_model_says(gateway: GatewayUnderTest, log: Log) -> None:
    machine = type("Machine", (Conversation,), {"gateway": gateway, "log": log})
    run_state_machine_as_test(
        machine, settings=settings(STEADY, max_examples=120, stateful_step_count=15)
    )


# The management API.


ids = st.one_of(
    st.sampled_from(["AAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAA%3D", "open", "open%3D", "", "%", "%zz"]),
    st.text("abcXYZ019=%/.?#;@:_-~+ \xe9", max_size=30).map(lambda text: text.replace(" ", "")),
    st.binary(max_size=12).map(lambda data: "".join(f"%{byte:02x}" for byte in data)),
)


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    connection_id: str
    signature: list[str]
    body: bytes

    def serialize(self, open_id: str | None) -> bytes:
        """Return the request; an id that begins with ``open`` is the one of an open connection."""
        named = self.connection_id
        if open_id is not None and named.startswith("open"):
            named = open_id.removesuffix("=") + (named.removeprefix("open") or "=")
        lines = (*self.signature, f"Content-Length: {len(self.body)}", "Connection: close")
        return head(f"{self.method} {self.path}/{named} HTTP/1.1", *lines) + self.body


calls = st.builds(
    Call,
    st.sampled_from(["POST", "POST", "GET", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH"]),
    st.sampled_from(
        ["/api/@connections"] * 4
        + ["/api/%40connections", "/other/@connections", "/@connections", "/%61pi/@connections"]
    ),
    ids,
    st.sampled_from(
        [[SIGNED], [SIGNED], [SIGNED], [], ["Authorization: Basic x"], ["Authorization: \xff"]]
    ),
    st.one_of(payloads, st.sampled_from([b"x" * MESSAGE, b"x" * (MESSAGE + 1)])),
)


@settings(STEADY, max_examples=250)
@given(call=calls, is_open=st.booleans())
def test_the_management_api_answers_with_its_own_statuses(
    gateway: GatewayUnderTest, log: Log, call: Call, is_open: bool
) -> None:
    start_over(gateway, log)
    with ExitStack() as stack:
        open_id = None
        if is_open:
            stack.enter_context(RawClient(gateway))
            open_id = gateway.wait_for("connect")["requestContext"]["connectionId"]
        answer = exchange(gateway, call.serialize(open_id))
    status = int(answer.split(b" ")[1])
    event(f"answered with {status}")
    assert status in {200, 204, 400, 403, 410, 413, 429}
    said, _, content = answer.partition(b"\r\n\r\n")
    if status >= 400 and content:
        assert b"Content-Type: application/json" in said
        assert json.loads(content).keys() == {"message"}
    undisturbed(gateway, log)
