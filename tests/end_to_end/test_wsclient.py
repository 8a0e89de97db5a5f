"""``python -m wsclient`` as a user meets it: every exit code, pipes, and a terminal."""

from __future__ import annotations

import http
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from localgateway.limits import Limits
from tests.client_process import COMMAND, PipedClient, TerminalClient, environment, run
from tests.documents.commands import Command, commands
from tests.end_to_end.conftest import Serve, accept
from tests.gateway_process import ROOT, GatewayProcess
from tests.gateway_under_test import GatewayUnderTest, allow, eventually
from tests.wsclient_fakes import CERTIFICATE, ScriptedWebSocketServer, TicketServer
from wsclient.errors import ExitCode

CANARY = "canary-in-the-token"


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    takes_keys = {"AUTHENTICATORS": "shared_token,ticket,api_key"}
    with GatewayProcess("--stage", "local", environment=takes_keys) as running:
        yield running


@contextmanager
def connected(gateway: GatewayProcess, *arguments: str) -> Iterator[PipedClient]:
    """Run a command until the gateway has let it in."""
    before = gateway.output.count("$connect 101")
    name, *rest = arguments
    with PipedClient(name, gateway.url, *rest, "--token", "hello") as client:
        eventually(lambda: gateway.output.count("$connect 101") > before, 60)
        yield client


def nobody_is_left(gateway: GatewayProcess) -> bool:
    """Return whether the app has been told that everybody has left, and has forgotten them."""
    return gateway.all_have_left() and gateway.is_empty()


def frames(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


# One message


def test_a_message_is_sent_and_its_answer_printed(gateway: GatewayProcess) -> None:
    done = run("send", gateway.url, "hello", "--token", "hello")
    assert (done.returncode, done.stderr) == (0, "")
    (answer,) = frames(done.stdout)
    assert answer["type"] == "reply"
    assert answer["result"]["delivery"]["delivered"] >= 1


def test_the_answer_can_be_read_as_words(gateway: GatewayProcess) -> None:
    done = run("send", gateway.url, "hello", "--token", "hello", "--text")
    assert done.stdout.startswith("delivered to ")


def test_an_answer_that_is_an_error_is_exit_code_1(gateway: GatewayProcess) -> None:
    done = run("send", gateway.url, "hello", "--token", "hello", "--to", "nowhere")
    assert done.returncode == 1
    assert frames(done.stdout)[0]["error"]["code"] == "invalid_audience"


def test_text_that_is_no_text_is_the_servers_to_refuse(gateway: GatewayProcess) -> None:
    done = run("send", gateway.url, b"\xff".decode(errors="surrogateescape"), "--token", "hello")
    assert done.returncode == 1
    assert frames(done.stdout)[0]["error"]["code"] == "invalid_text"


@pytest.mark.parametrize("source", ["file", "variable"])
def test_the_token_need_not_be_in_the_shells_history(
    gateway: GatewayProcess, tmp_path: Path, source: str
) -> None:
    (tmp_path / "token").write_text("hello\n")
    if source == "file":
        done = run("send", gateway.url, "hi", "--token-file", str(tmp_path / "token"))
    else:
        variables = {"WSCLIENT_TOKEN": "hello", "WSCLIENT_URL": gateway.url}
        done = run("send", "hi", variables=variables)
    assert done.returncode == 0


def test_a_stage_is_found_where_chalice_wrote_it_down(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    (tmp_path / ".chalice" / "deployed").mkdir(parents=True)
    api = {"resource_type": "websocket_api", "websocket_api_url": f"{gateway.url}/"}
    (tmp_path / ".chalice" / "deployed" / "dev.json").write_text(json.dumps({"resources": [api]}))
    done = run("send", "hi", "--stage", "dev", "--token", "hello", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_headers_and_query_parameters_let_in(serve: Serve) -> None:
    def authorizer(event: Any, _context: Any) -> Any:
        header, query = event["headers"]["HeaderAuth1"], event["queryStringParameters"]
        known = header == "headerValue1" and query["QueryString1"] == "queryValue1"
        return allow(event) if known else deny(event, None)

    sources = ("route.request.header.HeaderAuth1", "route.request.querystring.QueryString1")
    gateway = serve(authorizer=authorizer, identity_sources=sources, connect=accept)
    arguments = ("listen", gateway.url, "--for", "0.1", "--header", "HeaderAuth1:headerValue1")
    assert run(*arguments, "--query", "QueryString1=queryValue1").returncode == 0
    assert run(*arguments, "--query", "QueryString1=other").returncode == 3
    assert run(*arguments).returncode == 3


# Exit codes


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["dance"], id="no such command"),
        pytest.param(["send", "--dance"], id="no such option"),
        pytest.param(["send", "two", "words"], id="two messages"),
        pytest.param(["send", f"http://a/?{CANARY}", "x"], id="no WebSocket"),
        pytest.param(["send", "x", "--header", CANARY], id="no header"),
        pytest.param(["send", "x", "--query", CANARY], id="no query parameter"),
        pytest.param(["send", "x", "--token", f"{CANARY}\n"], id="no token"),
        pytest.param(["send", "x", "--token", CANARY, "--ask-token"], id="two tokens"),
        pytest.param(["send", "x", "--token-file", "/nowhere"], id="no file"),
        pytest.param(["send", "x", "--token-in", "cookie"], id="no place"),
        pytest.param(["send", "x", "--ca-file", "/nowhere"], id="no certificates"),
        pytest.param(["send", "x", "--ticket-from", "https://host/api"], id="no token to show"),
        pytest.param(["send", "x", "--ticket-from", f"http://h/?{CANARY}"], id="no ticket's URL"),
        pytest.param(["send", f"ws://a:{CANARY}@host/api", "x"], id="a password in the URL"),
        pytest.param(["send", "ws://host/api", "x", "--stage", "dev"], id="two places"),
        pytest.param(["send", "x", "--stage", "nowhere"], id="a stage that is not deployed"),
        pytest.param(["listen", "http://host/api"], id="no WebSocket URL"),
        pytest.param(["listen", "ws://host/api", "more"], id="two URLs"),
        pytest.param(["listen", "--count", "0"], id="nothing to count"),
        pytest.param(["join"], id="no channel"),
        pytest.param(["chat"], id="no terminal"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_repeats_no_secret(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert CANARY not in done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_exit_code_0_and_lists_the_exit_codes() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "  3  refused: 401 or 403" in done.stdout
    assert "..." not in done.stdout.partition("Commands:")[2], "a summary is cut"
    assert run("-h").stdout == done.stdout
    for command in ("chat", "send", "listen", "join"):
        assert run(command, "--help").returncode == 0


def test_a_refusal_is_exit_code_3_and_repeats_no_secret(gateway: GatewayProcess) -> None:
    for arguments in ([], ["--token", CANARY]):
        done = run("send", f"{gateway.url}?q={CANARY}", "hello", *arguments)
        assert done.returncode == 3
        assert done.stdout == ""
        assert done.stderr.startswith("wsclient: refused with 401: ")
        assert CANARY not in done.stderr
        assert len(done.stderr.splitlines()) == 1


def deny(event: Any, _context: Any) -> Any:
    policy = allow(event)
    policy["policyDocument"]["Statement"][0]["Effect"] = "Deny"
    return policy


def fail(_event: Any, _context: Any) -> Any:
    raise ValueError(CANARY)


@pytest.mark.parametrize(
    ("functions", "status", "code"),
    [
        pytest.param({"authorizer": deny}, 403, 3, id="denied"),
        pytest.param({"authorizer": fail}, 500, 4, id="the authorizer fails"),
        pytest.param({"connect": fail}, 502, 4, id="the connect handler fails"),
        pytest.param({"connect": lambda e, c: {"statusCode": 429}}, 429, 4, id="too many"),
    ],
)
def test_what_the_gateway_answers_is_told(
    serve: Serve, functions: dict[str, Any], status: int, code: int
) -> None:
    gateway = serve(**{"connect": accept, "message": accept, **functions})
    done = run("listen", gateway.url, "--token", CANARY)
    assert done.returncode == code
    assert f"refused with {status}: " in done.stderr
    assert CANARY not in done.stderr


def test_nothing_to_connect_to_is_exit_code_4(gateway: GatewayProcess) -> None:
    away = "ws://127.0.0.1:1/api"
    for url in (away, gateway.url.replace("ws:", "wss:"), "ws://nowhere.invalid/api"):
        done = run("send", url, "hello", "--token", "hello")
        assert done.returncode == 4
        assert f"cannot connect to {url}: " in done.stderr


def echo(connection: ServerConnection) -> None:
    for text in connection:
        frame = json.loads(text)
        connection.send(json.dumps({"type": "reply", "id": frame["id"], "result": {}}))


def test_a_certificate_must_be_trusted() -> None:
    with ScriptedWebSocketServer(echo, tls=True) as server:
        done = run("send", server.url, "x")
        assert done.returncode == 4
        assert "certificate is not trusted" in done.stderr
        assert run("send", server.url, "x", "--ca-file", str(CERTIFICATE)).returncode == 0


def test_a_message_that_is_too_long_is_exit_code_5_and_says_how_long_it_may_be(
    gateway: GatewayProcess,
) -> None:
    done = run("send", gateway.url, "-", "--token", "hello", stdin="x" * 200_000)
    assert done.returncode == 5
    assert "closed with 1009" in done.stderr
    assert "128 KiB, in frames of 32 KiB" in done.stderr


def test_a_message_of_more_than_a_frame_is_sent_in_several(gateway: GatewayProcess) -> None:
    done = run("send", gateway.url, "-", "--token", "hello", stdin="x" * 100_000)
    assert done.returncode == 0, done.stderr


def test_a_closing_frame_says_why_and_is_exit_code_5() -> None:
    def close(connection: ServerConnection) -> None:
        connection.recv()
        connection.send(json.dumps({"type": "closing", "code": 4401, "reason": "expired"}))
        connection.close(1000)

    with ScriptedWebSocketServer(close) as server:
        done = run("send", server.url, "x")
    assert done.returncode == 5
    assert done.stderr == "wsclient: closed with 4401: expired.\n"


def test_a_server_that_goes_away_is_exit_code_5() -> None:
    with GatewayProcess("--stage", "local") as gateway, connected(gateway, "listen") as client:
        gateway.stop()
        code, output, errors = client.end()
    assert (code, output) == (5, "")
    assert "closed with 1001 (Going away): going away" in errors


def test_no_answer_in_time_is_exit_code_6(serve: Serve) -> None:
    gateway = serve(connect=accept, message=accept)
    done = run("send", gateway.url, "x", "--timeout", "3")
    assert done.returncode == 6
    assert done.stderr == "wsclient: no answer within 3 seconds.\n"


def test_what_no_route_takes_is_answered_by_api_gateway_itself(serve: Serve) -> None:
    gateway = serve(connect=accept)
    done = run("send", gateway.url, "x")
    assert done.returncode == 1
    assert frames(done.stdout)[0]["message"] == "Forbidden"


@pytest.mark.parametrize("command", [["listen"], ["send", "-"]])
@pytest.mark.parametrize(
    ("stop", "exit_code"), [(PipedClient.interrupt, 130), (PipedClient.terminate, 143)]
)
def test_stopped_it_leaves_nothing_open(
    gateway: GatewayProcess,
    command: list[str],
    stop: Callable[[PipedClient], None],
    exit_code: int,
) -> None:
    eventually(lambda: nobody_is_left(gateway))
    before = len(gateway.output)
    with connected(gateway, *command) as client:
        client.write("hello\n")
        if command == ["listen"]:
            assert run("send", gateway.url, "hello", "--token", "hello").returncode == 0
        client.line()  # in the middle of a handshake nothing is there to close
        stop(client)
        code, output, errors = client.end()
    assert (code, output, errors.strip()) == (exit_code, "", "")
    eventually(lambda: nobody_is_left(gateway))
    codes = re.findall(r"\$disconnect (\d+)", gateway.output[before:])
    assert set(codes) == {"1000"}, "it has closed as the protocol wants it"


def test_a_reader_that_has_gone_is_exit_code_141(gateway: GatewayProcess) -> None:
    with connected(gateway, "listen") as client:
        assert client.process.stdout is not None
        client.process.stdout.close()
        assert run("send", gateway.url, "hello", "--token", "hello").returncode == 0
        assert client.process.wait(60) == 141
        assert client.process.stderr is not None
        assert client.process.stderr.read() == ""


def test_an_output_that_cannot_be_written_is_no_error_of_the_servers(
    gateway: GatewayProcess,
) -> None:
    for arguments in (("send", gateway.url, "hi"), ("admin", "allow", "a", "--http")):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [*COMMAND, *arguments, *(() if arguments[0] == "send" else (gateway.http_url,))],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=environment(WSCLIENT_TOKEN="hello"),
                check=False,
            )
        assert done.returncode == ExitCode.OUTPUT_FAILED
        assert done.stderr == "wsclient: the output cannot be written: No space left on device.\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_stream_that_is_closed_is_as_good_as_none(gateway: GatewayProcess, closed: str) -> None:
    command = f"{shlex.join([*COMMAND, 'send', gateway.url, 'hi'])} {closed}"
    done = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(WSCLIENT_TOKEN="hello"),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout == "") == (closed == ">&-")


def test_ctrl_c_before_anything_was_imported_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = run("send", "hi", variables={}, cwd=tmp_path, path=path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


# Lines


def test_lines_are_sent_one_by_one_in_order(gateway: GatewayProcess) -> None:
    lines = [f"line {number} né ☃" for number in range(20)]
    with connected(gateway, "listen", "--count", "20") as listener:
        done = run("send", gateway.url, "--token", "hello", stdin="\r\n".join(["", *lines, ""]))
        code, output, _ = listener.end()
    assert (done.returncode, code) == (0, 0)
    assert [frame["type"] for frame in frames(done.stdout)] == ["reply"] * 20
    assert [frame["message"] for frame in frames(output)] == lines


def test_a_line_that_is_refused_does_not_stop_the_others(serve: Serve) -> None:
    gateway = answering(serve)
    done = run("send", gateway.url, "-", stdin="good\nbad\ngood\n")
    assert done.returncode == 1
    assert [frame["type"] for frame in frames(done.stdout)] == ["reply", "error", "reply"]


def test_a_line_that_is_no_text_is_exit_code_2(gateway: GatewayProcess) -> None:
    done = run("send", gateway.url, "-", "--token", "hello", stdin=b"good\n\xff\n")
    assert done.returncode == 2
    assert "line 2 is not UTF-8" in done.stderr
    assert len(frames(done.stdout)) == 1


def test_each_line_is_answered_before_the_input_ends(gateway: GatewayProcess) -> None:
    with PipedClient("send", gateway.url, "-", "--token", "hello") as client:
        for line in ("one", "two"):
            client.write(f"{line}\n")
            assert json.loads(client.line())["type"] == "reply"
        code, output, _ = client.end()
    assert (code, output) == (0, "")


def test_a_connection_that_waits_for_input_is_kept(serve: Serve) -> None:
    gateway = answering(serve)
    with PipedClient("send", gateway.url, "-", "--ping-every", "0.5") as client:
        for number in range(1, 4):
            assert '"ping"' in gateway.wait_for("message", number)["body"]
            gateway.clock_offset += 500_000  # a ping before it is idle for ten minutes
        client.write("still there\n")
        assert json.loads(client.line())["type"] == "reply"
        assert client.end()[0] == 0
    assert len(gateway.events("connect")) == 1


def test_an_end_of_the_connection_is_noticed_while_waiting_for_input() -> None:
    with (
        GatewayProcess("--stage", "local", "--limit", "idle_timeout=2") as gateway,
        PipedClient("send", gateway.url, "-", "--token", "hello") as client,
    ):
        assert "closed with 1001" in client.notice()
        assert client.end()[0] == 5


# Listening


def answering(serve: Serve) -> GatewayUnderTest:
    """Serve an app that answers: joins of `news` alone, and messages but `bad`."""

    def message(event: Any, _context: Any) -> dict[str, int]:
        frame = json.loads(event["body"])
        answer = {"type": "reply", "id": frame["id"], "result": {}}
        if frame.get("channel", "news") != "news" or frame.get("message") == "bad":
            error = {"code": "forbidden_audience", "message": "No."}
            answer = {"type": "error", "id": frame["id"], "error": error}
        post(running, event["requestContext"]["connectionId"], answer)
        return {"statusCode": 200}

    running = serve(connect=accept, disconnect=accept, message=message)
    return running


def post(gateway: GatewayUnderTest, connection_id: str, frame: Any) -> None:
    """Post to a connection with a signature nobody could verify."""
    signature = "AWS4-HMAC-SHA256 Credential=nobody/20260101/xx/execute-api/aws4_request"
    request = urllib.request.Request(
        f"{gateway.management_url}/@connections/{quote(connection_id)}",
        data=json.dumps(frame).encode(),
        headers={"Authorization": f"{signature}, SignedHeaders=host, Signature=00"},
    )
    urllib.request.urlopen(request, timeout=30).close()


def test_what_comes_is_printed_as_json_lines_until_the_count(gateway: GatewayProcess) -> None:
    with connected(gateway, "listen", "--count", "2") as listener:
        for text in ("one", "two\nlines"):
            assert run("send", gateway.url, text, "--token", "hello").returncode == 0
        code, output, errors = listener.end()
    assert (code, errors) == (0, "")
    assert [frame["message"] for frame in frames(output)] == ["one", "two\nlines"]


def test_listening_ends_after_a_time(gateway: GatewayProcess) -> None:
    done = run("listen", gateway.url, "--token", "hello", "--for", "0.5")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_fewer_than_counted_in_a_time_is_exit_code_6(gateway: GatewayProcess) -> None:
    done = run("listen", gateway.url, "--token", "hello", "--for", "0.5", "--count", "1")
    assert done.returncode == 6


@pytest.mark.parametrize("command", [["listen", "--join", "news"], ["join", "news"]])
def test_a_channel_is_joined(serve: Serve, command: list[str]) -> None:
    gateway = answering(serve)
    name, *rest = command
    with PipedClient(name, gateway.url, *rest, "--count", "1") as client:
        event = gateway.wait_for("message")
        assert json.loads(event["body"])["action"] == "join"
        post(gateway, event["requestContext"]["connectionId"], {"type": "message", "message": "x"})
        code, output, _ = client.end()
    assert code == 0
    assert frames(output) == [{"type": "message", "message": "x"}]


def test_a_channel_that_may_not_be_joined_is_exit_code_1(serve: Serve) -> None:
    done = run("join", answering(serve).url, "secrets")
    assert done.returncode == 1
    assert done.stderr == "wsclient: cannot join secrets: forbidden_audience: No.\n"


def test_a_lost_connection_is_opened_again_and_its_channels_joined_again() -> None:
    joins: list[str] = []

    def lose(connection: ServerConnection) -> None:
        frame = json.loads(connection.recv())
        joins.append(frame["channel"])
        connection.send(json.dumps({"type": "reply", "id": frame["id"], "result": {}}))
        connection.send(json.dumps({"type": "message", "message": str(len(joins))}))
        if len(joins) > 2:
            connection.recv()
        connection.close(1012)

    with ScriptedWebSocketServer(lose) as server:
        done = run("listen", server.url, "--join", "news", "--reconnect", "--count", "3")
    assert done.returncode == 0
    assert [frame["message"] for frame in frames(done.stdout)] == ["1", "2", "3"]
    assert joins == ["news"] * 3
    assert done.stderr.count("closed with 1012") == 2
    assert done.stderr.count("Connecting again in") == 2


def test_a_refusal_ends_reconnecting() -> None:
    visits: list[str] = []

    def once(connection: ServerConnection, request: Request) -> Response | None:
        visits.append(request.path)
        if len(visits) == 1:
            return None
        return connection.respond(http.HTTPStatus(401), "")

    with ScriptedWebSocketServer(lambda _: None, process_request=once) as server:
        done = run("listen", server.url, "--reconnect")
    assert done.returncode == 3
    assert len(visits) == 2


def test_a_connection_is_renewed_before_its_time_is_over(serve: Serve) -> None:
    limits = Limits(idle_timeout=20_000)
    gateway = serve(connect=accept, disconnect=accept, limits=limits)
    with PipedClient("listen", gateway.url, "--reconnect", "--renew-after", "1") as listener:
        for number in (1, 2, 3):  # an hour passes after each renewal, and at two the gateway closes
            end = gateway.wait_for("disconnect", number)["requestContext"]
            assert end["disconnectStatusCode"] == 1000, "the gateway had to close it"
            gateway.clock_offset += 3_600_000
        listener.interrupt()
        code, output, errors = listener.end()
    assert (code, output, errors.strip()) == (130, "", "")


def test_a_ticket_is_fetched_for_each_connection() -> None:
    paths: list[tuple[str, bool]] = []

    def look(connection: ServerConnection) -> None:
        assert connection.request is not None
        headers = str(connection.request.headers)
        paths.append((connection.request.path, CANARY in headers))
        connection.send(json.dumps({"type": "message", "message": "x"}))
        connection.close(1012)

    arguments = ("--reconnect", "--count", "2", "--token", CANARY)
    with ScriptedWebSocketServer(look) as server, TicketServer() as tickets:
        done = run("listen", server.url, "--ticket-from", tickets.url, *arguments)
    assert done.returncode == 0, done.stderr
    assert paths == [("/api?ticket=ticket-1", False), ("/api?ticket=ticket-2", False)]
    assert tickets.requests == [("/api/tickets", f"Bearer {CANARY}")] * 2
    assert CANARY not in done.stderr
    assert "ticket-1" not in done.stderr


def test_a_token_that_gets_no_ticket_is_exit_code_3() -> None:
    with TicketServer(401) as tickets:
        done = run("send", "x", "--ticket-from", tickets.url, "--token", CANARY)
    assert done.returncode == 3
    assert done.stderr.startswith("wsclient: no ticket: refused with 401")
    assert CANARY not in done.stderr


def test_credentials_in_the_clear_are_warned_of() -> None:
    done = run("send", "ws://nowhere.invalid/api", "x", "--token", CANARY)
    assert "in the clear" in done.stderr.splitlines()[0]


# A terminal


def test_two_people_chat(gateway: GatewayProcess) -> None:
    arguments = ("chat", gateway.url, "--token", "hello")
    eventually(lambda: nobody_is_left(gateway))
    with TerminalClient(*arguments) as ann, TerminalClient(*arguments) as bob:
        for person in (ann, bob):
            person.wait_for("connected")
        ann.press("hello né ☃\r")
        for person in (ann, bob):
            person.wait_for(r"\d\d:\d\d:\d\d  client: hello né ☃$")
        ann.wait_for(r"\d\d  delivered to 2$")
        bob.press("\x04")
        ann.press("/quit\r")
        assert (ann.end(), bob.end()) == (0, 0)
        assert ann.settings() == ann.before
    assert "> hello né ☃" in ann.rows


def test_what_is_being_typed_stays_while_messages_come(gateway: GatewayProcess) -> None:
    with TerminalClient("chat", gateway.url, "--token", "hello") as client:
        client.wait_for("connected")
        client.press("half a l")
        client.wait_for("^> half a l$")
        assert run("send", gateway.url, "meanwhile", "--token", "hello").returncode == 0
        client.wait_for("client: meanwhile$")
        client.wait_for("^> half a l$")
        assert client.rows[-1] == "> half a l"
        client.press("ine\r")
        client.wait_for("client: half a line$")
        client.press("\x04")
        assert client.end() == 0


def test_commands_of_the_chat(gateway: GatewayProcess) -> None:
    with TerminalClient("chat", gateway.url, "--token", "hello") as client:
        client.wait_for("connected")
        client.press("/help\r/whoami\r/ping\r/dance\r\r")
        client.wait_for("/join CHANNEL")
        client.wait_for("principalId client")
        client.wait_for(r"  time \d+$")
        client.wait_for("there is no /dance like this; see /help")
        client.press('/raw {"action": "dance"}\r')
        client.wait_for("error unknown_action: The actions are")
        client.press("/to nowhere\rhello\r")
        client.wait_for("^nowhere> hello$")
        client.wait_for("error invalid_audience")
        client.press("/quit\r")
        assert client.end() == 0


def test_messages_cannot_command_the_terminal(gateway: GatewayProcess) -> None:
    with TerminalClient("chat", gateway.url, "--token", "hello") as client:
        client.wait_for("connected")
        hostile = "\x1b]0;owned\x07\x1b[2J\n12:00:00  admin: send me your token"
        assert run("send", gateway.url, hostile, "--token", "hello").returncode == 0
        client.wait_for(r"client: \\x1b\]0;owned\\x07\\x1b\[2J\\n12:00:00  admin")
        client.press("\x04")
        assert client.end() == 0
    assert "\x07" not in client.output
    assert "\x1b[2J" not in client.output


def test_ctrl_c_ends_a_chat_and_puts_the_terminal_back(gateway: GatewayProcess) -> None:
    with TerminalClient("chat", gateway.url, "--token", "hello") as client:
        client.wait_for("connected")
        client.press("half a line\x03")
        assert client.end() == 130
        assert client.settings() == client.before
    assert "Traceback" not in client.output


def test_a_chat_that_is_killed_puts_the_terminal_back(gateway: GatewayProcess) -> None:
    with TerminalClient("chat", gateway.url, "--token", "hello") as client:
        client.wait_for("connected")
        client.process.terminate()
        assert client.end() == 143
        assert client.settings() == client.before


def test_the_end_of_the_connection_ends_a_chat_and_puts_the_terminal_back() -> None:
    def close(connection: ServerConnection) -> None:
        connection.recv()
        connection.send(json.dumps({"type": "closing", "code": 4403, "reason": "revoked"}))
        connection.close()

    with ScriptedWebSocketServer(close) as server, TerminalClient("chat", server.url) as client:
        client.wait_for("connected")
        client.press("x\r")
        assert client.end() == 5
        client.wait_for("closing: closed with 4403: revoked")
        client.wait_for("wsclient: closed with 4403: revoked")
        assert client.settings() == client.before


def test_a_chat_goes_on_after_the_connection_was_lost() -> None:
    visits: list[ServerConnection] = []

    def lose(connection: ServerConnection) -> None:
        visits.append(connection)
        frame = json.loads(connection.recv())
        if len(visits) == 1:
            connection.close(1012)
        connection.send(json.dumps({"type": "message", "from": "ann", "message": frame["message"]}))
        connection.recv()

    with (
        ScriptedWebSocketServer(lose) as server,
        TerminalClient("chat", server.url, "--reconnect") as client,
    ):
        client.wait_for("connected")
        client.press("one\r")
        client.wait_for("closed with 1012.*Connecting again")
        eventually(lambda: len(visits) == 2)
        client.press("two\r")
        client.wait_for("ann: two")
        client.press("\x04")
        assert client.end() == 0


def test_after_a_stop_the_chat_goes_on(gateway: GatewayProcess) -> None:
    with TerminalClient("chat", gateway.url, "--token", "hello") as client:
        client.wait_for("connected")
        client.process.send_signal(signal.SIGSTOP)
        os.waitpid(client.process.pid, os.WUNTRACED)
        client.put_back()  # as a shell does
        client.process.send_signal(signal.SIGCONT)
        eventually(lambda: client.takes_single_keys)
        client.press("back\r")
        client.wait_for("client: back$")
        client.press("\x04")
        assert client.end() == 0


def test_the_token_is_asked_for_and_not_shown(gateway: GatewayProcess) -> None:
    with TerminalClient("send", gateway.url, "hello", "--ask-token") as client:
        client.wait_for("^Token:")
        client.press("hello\r")
        assert client.end() == 0
        client.wait_for("delivered to")
    with TerminalClient("send", gateway.url, "hi", "--ask-token") as client:
        client.wait_for("^Token:")
        client.press(f"{CANARY}\r")
        assert client.end() == 3
    assert CANARY not in client.output


def test_ctrl_c_at_the_question_for_the_token_is_exit_code_130(gateway: GatewayProcess) -> None:
    with TerminalClient("send", gateway.url, "hello", "--ask-token") as client:
        client.wait_for("^Token:")
        client.press("\x03")
        assert client.end() == 130
    assert "Traceback" not in client.output


def test_many_lines_show_a_bar_and_a_summary(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("good\n" * 30 + "bad\n" + "good\n" * 10)
    with TerminalClient(
        "send", answering(serve).url, "-", stdin=tmp_path / "lines", variables={}
    ) as client:
        assert client.end() == 1
    assert "Sending" in client.output
    assert "100%" in client.output
    client.wait_for("^wsclient: 40 sent, 1 answered with an error.$")
    client.wait_for("^error forbidden_audience: No.$")


@pytest.mark.parametrize(
    ("arguments", "variables", "coloured"),
    [
        pytest.param([], {}, True, id="a terminal"),
        pytest.param([], {"NO_COLOR": "1"}, False, id="NO_COLOR"),
        pytest.param([], {"TERM": "dumb"}, False, id="a terminal without"),
        pytest.param(["--no-color"], {}, False, id="switched off"),
        pytest.param(["--json"], {}, False, id="JSON"),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    gateway: GatewayProcess, arguments: list[str], variables: dict[str, str], coloured: bool
) -> None:
    command = ("send", gateway.url, "hi", "--token", "hello", *arguments)
    with TerminalClient(*command, variables=variables) as client:
        assert client.end() == 0
    assert ("\x1b[" in client.output) is coloured


def test_typed_lines_without_a_message_need_to_be_asked_for(gateway: GatewayProcess) -> None:
    with TerminalClient("send", gateway.url, "--token", "hello") as client:
        assert client.end() == 2
        client.wait_for("name a MESSAGE, or - to type lines")
    with TerminalClient("send", gateway.url, "-", "--token", "hello") as client:
        client.press("one\n")
        client.wait_for("delivered to")
        client.press("\x04")
        assert client.end() == 0


# The documentation


DOCUMENT = (ROOT / "docs" / "client.md").read_text()
RUNS = commands("docs/client.md")
ON_AWS = "wss://abcdef1234.execute-api.eu-west-1.amazonaws.com/api"


@pytest.fixture
def deployed(gateway: GatewayProcess, tmp_path: Path) -> Path:
    """Have the record of a stage, and its token, where the page looks for them."""
    record = {"resource_type": "websocket_api", "websocket_api_url": gateway.url}
    kept = {
        ".chalice/deployed/dev.json": json.dumps({"resources": [record]}),
        ".config/portcullis/dev": "hello\n",
    }
    for name, text in kept.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("command", RUNS, ids=lambda it: it.text)
def test_the_documents_commands_do_what_it_says(
    gateway: GatewayProcess, deployed: Path, command: Command
) -> None:
    text = command.text.replace(ON_AWS, gateway.url)
    if " chat " in text:
        arguments = shlex.split(text.partition(" -m wsclient ")[2])
        with TerminalClient(*arguments, variables={"WSCLIENT_URL": gateway.url}) as client:
            client.wait_for("connected")
            client.press("\x04")
            assert client.end() == 0
        return
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=deployed,
        env=environment(
            PATH=path,
            PYTHONPATH=str(ROOT),
            HOME=str(deployed),
            WSCLIENT_URL=gateway.url,
            WSCLIENT_HTTP_URL=gateway.http_url,
        ),
        capture_output=True,
        timeout=60,
        check=False,
    )
    expected = re.search(r"exit code (\d+)", command.comment)
    assert done.returncode == int(expected[1] if expected else 0), done.stderr


def test_the_documents_table_is_that_of_the_exit_codes() -> None:
    codes = re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE)
    assert [int(code) for code in codes] == [int(code) for code in ExitCode]
