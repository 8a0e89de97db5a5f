"""``python -m wsclient admin`` against the whole app, as operators meet it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.http_answers import STATUSES
from chalicelib.http_routes import ROUTE_SCOPES, route_name
from tests.client_process import run
from tests.documents.commands import Command, commands
from tests.gateway_process import ROOT, GatewayProcess
from tests.gateway_under_test import eventually
from tests.http_hosts import OverTheNetwork
from tests.wsclient_fakes import TicketServer
from wsclient.errors import ExitCode


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    takes_keys = {"AUTHENTICATORS": "shared_token,ticket,api_key"}
    with GatewayProcess("--stage", "local", environment=takes_keys) as running:
        yield running


def admin(gateway: GatewayProcess, *arguments: str, token: str = "hello") -> Any:
    return run("admin", *arguments, "--http", gateway.http_url, "--token", token)


def answers(done: Any) -> list[dict[str, Any]]:
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[Any]:
    client = gateway.connect(header={"token": "hello"})
    yield client
    client.close()
    eventually(gateway.all_have_left)  # or the next test finds it


def connection_id(client: Any) -> str:
    client.send('{"action": "whoami"}')
    return str(json.loads(client.recv())["result"]["connectionId"])


def test_a_message_is_published_once_under_its_key(gateway: GatewayProcess, client: Any) -> None:
    to = f"connection:{connection_id(client)}"
    for _ in range(2):
        (answer,) = answers(admin(gateway, "publish", "hello", "--to", to, "--key", "a", "--wait"))
        assert answer["delivery"]["delivered"] == 1
    assert json.loads(client.recv())["message"] == "hello"
    client.send('{"action": "ping"}')
    assert "time" in json.loads(client.recv())["result"]


def test_connections_are_listed_shown_and_closed(gateway: GatewayProcess, client: Any) -> None:
    name = connection_id(client)
    others = [gateway.connect(header={"token": "hello"}) for _ in range(3)]
    names = {name, *map(connection_id, others)}
    listed = answers(admin(gateway, "connections", "--page", "2"))
    assert names <= {each["connectionId"] for each in listed}
    (shown,) = answers(admin(gateway, "show", name))
    assert shown["remembered"]["principalId"] == "client"
    assert answers(admin(gateway, "disconnect", name)) == [{"connectionId": name, "closed": True}]
    assert json.loads(client.recv())["type"] == "closing"
    (closed,) = answers(admin(gateway, "disconnect", "--principal", "client"))
    assert closed["closed"] >= 3
    assert answers(admin(gateway, "connections", "--to", "principal:client")) == []
    for each in others:
        each.shutdown()


def test_all_of_a_principal_are_closed_however_often_it_must_be_asked_for() -> None:
    counts = {"principalId": "a", "closed": 2, "gone": 0, "failed": 0}
    parts = [{**counts, "incomplete": True}, {**counts, "incomplete": True}, counts]
    with TicketServer(bodies=[json.dumps(part).encode() for part in parts]) as server:
        done = run("admin", "disconnect", "--principal", "a", "--http", server.url)
    assert answers(done) == parts
    stuck = {**counts, "closed": 0, "incomplete": True}
    with TicketServer(body=json.dumps(stuck).encode()) as server:
        done = run("admin", "disconnect", "--principal", "a", "--http", server.url)
    assert answers(done) == [stuck]


def test_a_job_is_waited_for() -> None:
    job = {"jobId": "j", "to": "everyone", "deadline": 9, "delivery": {"targeted": 7}}
    bodies = [json.dumps({**job, "done": is_done}).encode() for is_done in (False, True)]
    with TicketServer(bodies=bodies) as server:
        done = run("admin", "job", "j", "--wait", "--http", server.url)
        assert len(server.requests) == 2
    assert answers(done) == [{**job, "done": True}]


def test_a_principal_is_kept_out_and_let_in_again(gateway: GatewayProcess) -> None:
    (revoked,) = answers(admin(gateway, "revoke", "mallory"))
    assert revoked["principal"] == "mallory"
    (allowed,) = answers(admin(gateway, "allow", "mallory"))
    assert allowed == {"principal": "mallory"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("show", "nobody="), ExitCode.ERROR_ANSWERED, "not_found"),
        (("publish", "hello", "--to", "all"), ExitCode.ERROR_ANSWERED, "invalid_audience"),
        (("job", "none"), ExitCode.ERROR_ANSWERED, "not_found"),
        (("disconnect",), ExitCode.USAGE, "CONNECTION_ID"),
        (("connections", "--stage", "dev"), ExitCode.USAGE, "not both"),
    ],
)
def test_what_goes_wrong_has_an_exit_code_and_words(
    gateway: GatewayProcess, arguments: tuple[str, ...], code: ExitCode, words: str
) -> None:
    done = admin(gateway, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_who_has_no_token_is_told_how_to_give_one(gateway: GatewayProcess) -> None:
    done = run("admin", "connections", "--http", gateway.http_url)
    assert done.returncode == ExitCode.REFUSED
    assert "See --token-file" in done.stderr


def test_a_server_without_tls_is_said(gateway: GatewayProcess) -> None:
    https = gateway.http_url.replace("http:", "https:")
    done = run("admin", "connections", "--http", https, "--token", "hello")
    assert done.returncode == ExitCode.CANNOT_CONNECT
    assert "it does not speak TLS, or no version that is safe. Is it http://" in done.stderr


def test_a_wrong_token_is_refused_and_not_repeated(gateway: GatewayProcess) -> None:
    done = admin(gateway, "connections", token="canary-in-the-token")
    assert (done.returncode, "401: unauthorized" in done.stderr) == (ExitCode.REFUSED, True)
    assert "canary" not in done.stderr + done.stdout + gateway.output


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("http://127.0.0.1:1", ExitCode.CANNOT_CONNECT, "nothing listens there."),
        ("https://nowhere.invalid", ExitCode.CANNOT_CONNECT, "there is no such host."),
        ("http://example.com/api", ExitCode.USAGE, "must be https"),
        ("https://a:b@example.com", ExitCode.USAGE, "--token-file"),
        ("ftp://example.com", ExitCode.USAGE, "is written https://"),
        ("https://example.com/api?a=b", ExitCode.USAGE, "is written https://"),
    ],
)
def test_a_url_that_cannot_be_asked_is_said(url: str, code: ExitCode, words: str) -> None:
    done = run("admin", "connections", "--http", url, "--token", "canary")
    assert done.returncode == code
    assert words in done.stderr
    assert "canary" not in done.stderr


def test_a_stage_is_asked_where_it_was_deployed(gateway: GatewayProcess, tmp_path: Path) -> None:
    deployed = tmp_path / ".chalice" / "deployed"
    deployed.mkdir(parents=True)
    resource = {"resource_type": "rest_api", "rest_api_url": f"{gateway.http_url}/"}
    (deployed / "dev.json").write_text(json.dumps({"resources": [resource]}))
    there = ("--project-dir", str(tmp_path), "--stage", "dev")
    done = run("admin", "connections", *there, variables={"WSCLIENT_TOKEN": "hello"})
    assert done.returncode == 0
    (deployed / "dev.json").write_text("{}")
    assert "names no HTTP API" in run("admin", "connections", *there).stderr


PAGE = (ROOT / "docs" / "http-api.md").read_text()


RUNS = commands("docs/http-api.md")


BY_CURL, *BY_CLIENT = RUNS


def test_the_request_of_the_page_sends_a_message(gateway: GatewayProcess) -> None:
    text = BY_CURL.text.replace("http://127.0.0.1:8000", gateway.http_url)
    words = ["bash", "-c", f"{text} --silent --show-error --fail-with-body"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["delivery"]["failed"] == 0


@pytest.mark.parametrize("command", BY_CLIENT, ids=lambda it: it.text)
def test_the_commands_of_the_page_do_what_it_says(
    gateway: GatewayProcess, command: Command
) -> None:
    program, *arguments = shlex.split(command.text)
    assert program == ".venv/bin/python"
    assert arguments[:2] == ["-m", "wsclient"]
    done = run(*arguments[2:], variables={"WSCLIENT_HTTP_URL": gateway.http_url})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "request_text", re.findall(r"```http\n(.*?)```", PAGE, re.DOTALL), ids=["make a key"]
)
def test_the_requests_of_the_page_are_answered(gateway: GatewayProcess, request_text: str) -> None:
    head, _, body = request_text.partition("\n\n")
    first, *lines = head.splitlines()
    method, path, _ = first.split()
    headers = dict(line.split(": ", 1) for line in lines)
    reply = OverTheNetwork(gateway.http_url.removeprefix("http://")).ask(
        method, path, body.encode(), headers
    )
    assert reply.status == 201


def test_the_page_lists_the_routes_and_the_codes_there_are() -> None:
    row = r"^\| `([A-Z]+) (/[^?`]*)[^`]*` \| (?:`([\w:]+)`|none) \|"
    routes = re.findall(row, PAGE, re.MULTILINE)
    described = {route_name(method, path): scope for method, path, scope in routes}
    assert {route: scope for route, scope in described.items() if scope} == ROUTE_SCOPES
    table = PAGE[PAGE.index("| status | codes |") :].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", table)) == set(STATUSES)
