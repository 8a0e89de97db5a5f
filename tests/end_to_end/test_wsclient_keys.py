"""``python -m wsclient admin keys`` against the whole app, as operators and scripts meet it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.client_process import TerminalClient, environment, run
from tests.gateway_process import ROOT, GatewayProcess
from wsclient.errors import ExitCode

NO_KEY = "0" * 16


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    takes_keys = {"AUTHENTICATORS": "shared_token,api_key"}
    with GatewayProcess("--stage", "local", environment=takes_keys) as running:
        yield running


def keys(gateway: GatewayProcess, *arguments: str, token: str = "hello") -> Any:
    return run("admin", "keys", *arguments, "--http", gateway.http_url, "--token", token)


def create(gateway: GatewayProcess, *arguments: str, scopes: str = "connect") -> str:
    done = keys(gateway, "create", "--principal", "robot", "--scopes", scopes, *arguments)
    assert done.returncode == 0, done.stderr
    return str(done.stdout.removesuffix("\n"))


def listed(gateway: GatewayProcess) -> dict[str, dict[str, Any]]:
    done = keys(gateway, "list", "--page", "2")
    assert (done.returncode, done.stderr) == (0, "")
    return {key["keyId"]: key for key in map(json.loads, done.stdout.splitlines())}


def id_of(key: str) -> str:
    return key.split("_")[1]


def test_a_script_makes_a_key_uses_and_revokes_it(gateway: GatewayProcess) -> None:
    key = create(gateway, "--days", "90", scopes="connect publish")
    assert re.fullmatch(r"pk_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", key)
    with_it = {"Authorization": f"Bearer {key}"}
    gateway.connect(header=with_it).close()
    found = listed(gateway)[id_of(key)]
    assert (found["principal"], found["scopes"]) == ("robot", ["connect", "publish"])
    assert (found["createdBy"], found["revoked"]) == ("client", False)
    assert found["expiresAt"] - found["createdAt"] == 90 * 86_400
    done = keys(gateway, "revoke", id_of(key))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"keyId": id_of(key), "revoked": True}
    assert gateway.refusal(header=with_it) == 401
    assert listed(gateway)[id_of(key)]["revoked"]


def test_the_key_alone_is_what_a_shell_takes(gateway: GatewayProcess) -> None:
    command = (
        'KEY=$("$PYTHON" -m wsclient admin keys create --principal robot --scopes connect) &&'
        ' WSCLIENT_TOKEN=$KEY "$PYTHON" -m wsclient send hello "$URL"'
    )
    command = command.replace('send hello "$URL"', 'send "$URL" hello')
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=environment(
            PYTHON=sys.executable,
            URL=gateway.url,
            WSCLIENT_HTTP_URL=gateway.http_url,
            WSCLIENT_TOKEN="hello",
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # The key opens the connection; what it may not do there is for its scopes to say.
    assert (done.returncode, "forbidden_audience" in done.stdout) == (ExitCode.ERROR_ANSWERED, True)
    assert done.stderr == "wsclient: keep it now: only a digest of it is stored.\n"


def test_of_several_one_that_is_unknown_does_not_stop_the_others(gateway: GatewayProcess) -> None:
    first, last = id_of(create(gateway)), id_of(create(gateway))
    done = keys(gateway, "revoke", first, NO_KEY, last)
    assert done.returncode == ExitCode.ERROR_ANSWERED
    assert [json.loads(line)["keyId"] for line in done.stdout.splitlines()] == [first, last]
    assert f"wsclient: {NO_KEY}: answered with 404: not_found" in done.stderr
    assert listed(gateway)[last]["revoked"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("create", "--principal", "robot"), ExitCode.USAGE, "--scopes"),
        (("create", "--scopes", "connect"), ExitCode.USAGE, "--principal"),
        (
            ("create", "--principal", "robot", "--scopes", "connect", "--days", "0"),
            ExitCode.USAGE,
            "--days",
        ),
        (
            ("create", "--principal", "robot", "--scopes", "openid"),
            ExitCode.ERROR_ANSWERED,
            "invalid_field: scopes must be",
        ),
        (
            ("create", "--principal", "", "--scopes", "connect"),
            ExitCode.ERROR_ANSWERED,
            "invalid_field: principal is not",
        ),
        (
            ("create", "--principal", "robot", "--scopes", "sendmessage:*"),
            ExitCode.REFUSED,
            "forbidden: A key can have no scope that you do not have yourself.",
        ),
        (("revoke",), ExitCode.USAGE, "KEY_ID"),
        (("revoke", NO_KEY), ExitCode.ERROR_ANSWERED, "There is no such key."),
    ],
)
def test_what_cannot_be_done_has_an_exit_code_and_words(
    gateway: GatewayProcess, arguments: tuple[str, ...], code: ExitCode, words: str
) -> None:
    done = keys(gateway, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_whole_key_in_place_of_its_id_is_neither_sent_nor_repeated(
    gateway: GatewayProcess,
) -> None:
    key = create(gateway)
    done = keys(gateway, "revoke", id_of(key), key)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert "those after pk_" in done.stderr
    assert key not in done.stderr + gateway.output
    assert not listed(gateway)[id_of(key)]["revoked"], "nothing was sent"


def test_who_has_no_scope_for_keys_is_refused(gateway: GatewayProcess) -> None:
    key = create(gateway, scopes="admin connect")
    for command in (("list",), ("revoke", id_of(key))):
        done = keys(gateway, *command, token=key)
        assert (done.returncode, done.stdout) == (ExitCode.REFUSED, "")
        assert "403" in done.stderr
        assert key not in done.stderr


def test_a_stage_that_takes_no_keys_says_so() -> None:
    with GatewayProcess("--stage", "local") as gateway:
        done = keys(gateway, "list")
    assert (done.returncode, "takes no API keys" in done.stderr) == (1, True)


def test_a_server_that_is_another_is_said() -> None:
    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"hello": 1}')

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        for command in (("list",), ("create", "--principal", "a", "--scopes", "connect")):
            url = f"http://127.0.0.1:{server.server_port}"
            done = run("admin", "keys", *command, "--http", url, "--token", "hello")
            assert (done.returncode, done.stdout) == (ExitCode.CANNOT_CONNECT, "")
            assert "is not the HTTP API" in done.stderr
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# What a person sees while it takes long


def test_many_revocations_have_a_bar_and_its_lines_go_elsewhere(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    made = [id_of(create(gateway)) for _ in range(3)]
    command = ("revoke", *made, NO_KEY, "--http", gateway.http_url, "--token", "hello")
    with TerminalClient("admin", "keys", *command, stdout=tmp_path / "lines") as client:
        assert client.end() == ExitCode.ERROR_ANSWERED
    assert "Revoking" in client.output
    assert "100%" in client.output
    client.wait_for(f"^wsclient: {NO_KEY}: answered with 404")
    lines = (tmp_path / "lines").read_text().splitlines()
    assert [json.loads(line)["keyId"] for line in lines] == made


def test_on_a_terminal_lines_of_answers_need_no_bar(gateway: GatewayProcess) -> None:
    made = [id_of(create(gateway)) for _ in range(2)]
    command = ("revoke", *made, "--http", gateway.http_url, "--token", "hello")
    with TerminalClient("admin", "keys", *command) as client:
        assert client.end() == 0
    assert "Revoking" not in client.output
    assert [json.loads(row)["keyId"] for row in client.rows if row] == made
