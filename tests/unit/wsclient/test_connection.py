"""The adapter of websocket-client, against real servers."""

from __future__ import annotations

import http
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from tests.fakes import refusing_port
from tests.faulty_server import FaultyServer
from tests.wsclient_fakes import CERTIFICATE, ScriptedWebSocketServer
from wsclient.connection import FRAME_SIZE, Connection, trust
from wsclient.errors import CannotConnect, ClientError, Closed, Refused, WrongInput
from wsclient.target import Target

SECRET = "canary-s3cret"


def open_to(url: str, **options: Any) -> Connection:
    target = Target(url).with_token(SECRET, "header:token").with_query("token", SECRET)
    return Connection.open(target, **{"timeout": 30, **options})


def echo(connection: ServerConnection) -> None:
    for text in connection:
        connection.send(text)


def end_of(connection: Connection, sending: str | None = None) -> Closed:
    """Return how a connection ends; fails when it does not."""
    for _ in range(100):
        try:
            if sending is None:
                connection.receive(30)
            else:
                connection.send(sending)
        except Closed as closed:
            return closed
    raise AssertionError("the connection is still open")


def refuse_with(status: int, **headers: str) -> dict[str, Any]:
    def refuse(connection: ServerConnection, _request: Request) -> Response:
        response = connection.respond(http.HTTPStatus(status), f"{SECRET} is wrong\n")
        for name, value in headers.items():
            response.headers[name] = value
        return response

    return {"process_request": refuse}


@pytest.mark.parametrize("size", [0, 1, FRAME_SIZE, FRAME_SIZE + 1, 4 * FRAME_SIZE])
def test_a_long_message_arrives_whole_in_frames_api_gateway_takes(size: int) -> None:
    text = "☃" * (size // 3) + "x" * (size % 3)
    with ScriptedWebSocketServer(echo, max_size=(1_000_000, FRAME_SIZE)) as server:
        connection = open_to(server.url)
        connection.send(text)
        assert connection.receive(30) == text
        connection.close()


def test_what_was_asked_for_is_in_the_handshake_and_no_origin() -> None:
    seen: list[Request] = []

    def look(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append(connection.request)
        connection.close()

    with ScriptedWebSocketServer(look, subprotocols=["portcullis"]) as server:
        target = Target(f"{server.url}?a=b", (("HeaderAuth1", "v"),), (("c", "d e"),))
        target = target.with_token("t", "protocol")
        target = Target(target.url, target.headers, target.query, ("portcullis", "bearer.t"))
        connection = Connection.open(target, timeout=30)
        with pytest.raises(Closed):
            connection.receive(30)
    (request,) = seen
    assert request.path == "/api?a=b&c=d+e"
    assert ("HeaderAuth1", "v") in list(request.headers.raw_items())
    assert request.headers["Sec-WebSocket-Protocol"] == "portcullis,bearer.t"
    assert "Origin" not in request.headers


@pytest.mark.parametrize("status", [401, 403])
def test_401_and_403_are_refusals(status: int) -> None:
    with (
        ScriptedWebSocketServer(echo, **refuse_with(status)) as server,
        pytest.raises(Refused, match=f"refused with {status}") as caught,
    ):
        open_to(server.url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("status", [400, 404, 426, 429, 500, 502, 503, 504])
def test_any_other_status_is_no_connection(status: int) -> None:
    with (
        ScriptedWebSocketServer(echo, **refuse_with(status)) as server,
        pytest.raises(CannotConnect, match=f"refused with {status}") as caught,
    ):
        open_to(server.url)
    assert SECRET not in str(caught.value)


def test_a_redirect_does_not_carry_the_token_elsewhere() -> None:
    visits: list[ServerConnection] = []
    with ScriptedWebSocketServer(visits.append) as elsewhere:
        redirect = refuse_with(302, Location=elsewhere.url)
        with (
            ScriptedWebSocketServer(echo, **redirect) as server,
            pytest.raises(CannotConnect, match="refused with 302: a redirect"),
        ):
            open_to(server.url)
    assert visits == []


@pytest.fixture
def deserted() -> Iterator[str]:
    """Where nobody listens, nor can anybody begin to."""
    with refusing_port() as port:
        yield f"ws://127.0.0.1:{port}/api"


@pytest.mark.parametrize(
    ("url", "text"),
    [("ws://nowhere.invalid/api", "there is no such host"), ("", "nothing listens there")],
)
def test_where_nobody_is_says_so_without_the_query(
    monkeypatch: pytest.MonkeyPatch, deserted: str, url: str, text: str
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CannotConnect, match=text) as caught:
        open_to(url or deserted)
    assert SECRET not in str(caught.value)
    assert "/api: " in str(caught.value)


def test_who_has_started_nothing_is_told_how(
    monkeypatch: pytest.MonkeyPatch, deserted: str
) -> None:
    with pytest.raises(CannotConnect, match=r"nothing listens there\.$"):
        open_to(deserted)
    monkeypatch.setattr("wsclient.connection.LOCAL_URL", deserted)
    with pytest.raises(CannotConnect, match=r"nothing listens there\. `make run` serves it\."):
        open_to(deserted)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("reset", "hung up during the handshake"),
        ("junk", "no WebSocket server"),
        ("ok", "refused with 200"),
        ("silent", "did not answer in time"),
    ],
)
def test_what_is_no_websocket_server_says_so(fault: str, text: str) -> None:
    with FaultyServer() as server:
        url = server.origin.replace("http:", "ws:") + f"/{fault}"
        with pytest.raises(ClientError, match=text) as caught:
            Connection.open(Target(url), timeout=0.5 if fault == "silent" else 30)
    assert isinstance(caught.value, CannotConnect)


def test_tls_where_there_is_none_says_so() -> None:
    with (
        ScriptedWebSocketServer(echo) as server,
        pytest.raises(CannotConnect, match="does not speak TLS"),
    ):
        open_to(server.url.replace("ws:", "wss:"))


def test_an_untrusted_certificate_is_refused_and_can_be_trusted() -> None:
    with ScriptedWebSocketServer(echo, tls=True) as server:
        with pytest.raises(CannotConnect, match="certificate is not trusted"):
            open_to(server.url)
        connection = open_to(server.url, context=trust(CERTIFICATE))
        connection.send("hello")
        assert connection.receive(30) == "hello"
        connection.close()


def test_a_certificate_of_another_name_is_refused() -> None:
    with (
        ScriptedWebSocketServer(echo, tls=True) as server,
        pytest.raises(CannotConnect, match="certificate is not trusted"),
    ):
        open_to(server.url.replace("localhost", "127.0.0.1"), context=trust(CERTIFICATE))


def test_several_messages_of_one_tls_record_all_come() -> None:
    def burst(connection: ServerConnection) -> None:
        connection.recv()
        connection.socket.sendall(b"".join(b"\x81\x01%d" % n for n in range(9)))
        connection.recv()

    with ScriptedWebSocketServer(burst, tls=True) as server:
        connection = open_to(server.url, context=trust(CERTIFICATE))
        connection.send("go")
        assert [connection.receive(30) for _ in range(9)] == [str(n) for n in range(9)]
        connection.close()


def test_a_file_without_a_certificate_is_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(WrongInput):
            trust(tmp_path / name)


@pytest.mark.parametrize(
    ("code", "reason", "seen"),
    [
        pytest.param(1001, "Going away", (1001, "Going away"), id="going away"),
        pytest.param(1009, "", (1009, ""), id="too long"),
        pytest.param(4401, "expired", (4401, "expired"), id="the application's own"),
    ],
)
def test_a_close_tells_its_code_and_reason(code: int, reason: str, seen: tuple[int, str]) -> None:
    with ScriptedWebSocketServer(lambda server: server.close(code, reason)) as server:
        connection = open_to(server.url)
        with pytest.raises(Closed) as caught:
            connection.receive(30)
    assert (caught.value.code, caught.value.reason) == seen


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"", 1006, id="no close frame"),
        pytest.param(b"\x88\x00", 1005, id="a close frame without a code"),
        pytest.param(b"\x83\x00", 1002, id="no such frame"),
        pytest.param(b"\x81\x01\xff", 1002, id="no UTF-8"),
        pytest.param(b"\x81\x05he", 1006, id="half a frame"),
    ],
)
def test_bytes_that_end_a_connection(data: bytes, code: int) -> None:
    def send(connection: ServerConnection) -> None:
        connection.recv()
        connection.socket.sendall(data)
        connection.socket.shutdown(socket.SHUT_WR)

    with ScriptedWebSocketServer(send) as server:
        connection = open_to(server.url)
        connection.send("go")
        closed = end_of(connection)
    assert closed.code == code


def test_a_frame_that_comes_in_pieces_is_waited_for() -> None:
    was_waited_for = threading.Event()

    def send(connection: ServerConnection) -> None:
        connection.recv()
        connection.socket.sendall(b"\x81\x05he")
        assert was_waited_for.wait(30)
        connection.socket.sendall(b"llo")
        connection.recv()

    with ScriptedWebSocketServer(send) as server:
        connection = open_to(server.url)
        connection.send("go")
        assert connection.receive(30) is None
        was_waited_for.set()
        assert connection.receive(30) == "hello"
        connection.close()


def test_the_reason_is_told_although_sending_failed() -> None:
    has_hung_up = threading.Event()

    def hang_up(connection: ServerConnection) -> None:
        connection.recv()
        connection.socket.sendall(b"\x88\x0a\x03\xf1too long")
        connection.socket.shutdown(socket.SHUT_RDWR)
        has_hung_up.set()

    with ScriptedWebSocketServer(hang_up) as server:
        connection = open_to(server.url)
        connection.send("go")
        assert has_hung_up.wait(30)
        closed = end_of(connection, sending="x" * FRAME_SIZE)
    assert (closed.code, closed.reason) == (1009, "too long")


def test_a_ping_is_answered_and_is_no_message() -> None:
    pongs: list[bool] = []

    def ping(connection: ServerConnection) -> None:
        pongs.append(connection.ping().wait(30))
        connection.send("done")
        connection.recv()

    with ScriptedWebSocketServer(ping) as server:
        connection = open_to(server.url)
        assert connection.receive(30) is None
        assert connection.receive(30) == "done"
        connection.close()
    assert pongs == [True]


def test_a_descriptor_wakes_it() -> None:
    reading, writing = os.pipe()
    with ScriptedWebSocketServer(echo) as server:
        connection = open_to(server.url)
        os.write(writing, b"x")
        assert connection.receive(None, wake=reading) is None
        connection.close()
    os.close(reading)
    os.close(writing)


def test_ctrl_c_while_it_closes_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with ScriptedWebSocketServer(echo) as server:
        connection = open_to(server.url)
        monkeypatch.setattr(connection._client, "recv_frame", interrupted)
        with pytest.raises(KeyboardInterrupt):
            connection.close()
        with pytest.raises(Closed):
            connection.receive(30)


def test_closing_passes_over_messages_that_come_before_the_answer() -> None:
    codes: list[int | None] = []

    def say_more(connection: ServerConnection) -> None:
        connection.socket.sendall(b"\x81\x01a" * 3)
        with pytest.raises(ConnectionClosed):
            connection.recv()
        codes.append(connection.close_code)

    with ScriptedWebSocketServer(say_more) as server:
        connection = open_to(server.url)
        assert connection.receive(30) == "a"
        connection.close()
    assert codes == [1000]


def test_after_the_end_there_is_nothing_to_receive() -> None:
    with ScriptedWebSocketServer(echo) as server:
        connection = open_to(server.url)
        connection.close()
        for _ in range(2):
            with pytest.raises(Closed):
                connection.receive(30)
        with pytest.raises(Closed):
            connection.send("x")
