"""What pages tell a reader to run on one machine, or against the table of a stage, and is shown."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import websocket

from chalicelib.api import connection_table
from localgateway.database import EmbeddedDatabase
from tests.client_process import TerminalClient, run
from tests.documents import checkout
from tests.documents.commands import blocks, commands
from tests.documents.terminal import Terminal
from tests.gateway_process import GatewayProcess
from tests.gateway_under_test import eventually

KEYS = commands("docs/authorizers.md", "API keys")
REQUEST_SECTION = "HTTP: the REQUEST authorizer"
BY_PARAMETERS = commands("docs/authorizers.md", REQUEST_SECTION)
BY_TABLE, BY_HTTP = KEYS[:3], KEYS[3:]
KEY_ID = "<16 characters after pk_>"
REVOCATION = commands("docs/lifetimes.md", "Revocation")
QUEUE = commands("docs/deliveries.md", "Settings")
RUNS = (*KEYS, *BY_PARAMETERS, *REVOCATION, *QUEUE)


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess("--stage", "local") as running:
        yield running


@pytest.fixture
def with_keys() -> Iterator[GatewayProcess]:
    ways = "AUTHENTICATORS=shared_token,api_key,ticket"
    with GatewayProcess("--stage", "local", "--env", ways) as running:
        yield running


@pytest.fixture
def prod(database: EmbeddedDatabase) -> None:
    """Have the table of stage ``prod``."""
    database.create_table(connection_table("portcullis-prod"))


@pytest.fixture
def terminal(tmp_path: Path, database: EmbeddedDatabase) -> Iterator[Terminal]:
    environ = {**os.environ, "AWS_ENDPOINT_URL_DYNAMODB": database.endpoint_url}
    with Terminal(checkout.copy(tmp_path), environ) as terminal:
        yield terminal


def ran(terminal: Terminal, command: str) -> str:
    done = terminal.run(command)
    assert done.code == 0, done.output
    return done.output


@pytest.mark.usefixtures("prod")
def test_a_key_is_made_listed_and_revoked(terminal: Terminal) -> None:
    create, list_, revoke = (it.text for it in BY_TABLE)
    (key_id,) = re.findall(r"^pk_(.{16})_", ran(terminal, create), re.MULTILINE)
    assert re.search(rf"{key_id}\tactive\t.*\tbilling\tconnect publish", ran(terminal, list_))
    ran(terminal, checkout.filled(revoke, {KEY_ID: key_id}))
    assert f"{key_id}\trevoked" in ran(terminal, list_)


def test_a_key_is_made_listed_and_revoked_over_http(
    terminal: Terminal, with_keys: GatewayProcess
) -> None:
    record = {"resource_type": "rest_api", "rest_api_url": f"{with_keys.http_url}/"}
    deployed = json.dumps({"resources": [record]})
    ran(terminal, "mkdir .chalice/deployed && export WSCLIENT_TOKEN=hello")
    ran(terminal, f"echo '{deployed}' > .chalice/deployed/prod.json")
    create, list_, revoke = (it.text for it in BY_HTTP)
    ran(terminal, create)
    (key_id,) = re.findall(r"^pk_(.{16})_", ran(terminal, "echo $KEY"), re.MULTILINE)
    assert re.search(rf"{key_id}.*billing", ran(terminal, list_))
    ran(terminal, checkout.filled(revoke, {KEY_ID: key_id}))
    assert re.search(rf"{key_id}.*revoked", ran(terminal, list_))


def test_a_header_a_parameter_and_a_stage_variable_let_in_with_the_settings_to_paste(
    terminal: Terminal,
) -> None:
    (pasted,) = [
        it.text
        for it in blocks("docs/authorizers.md")
        if (it.section, it.language) == (REQUEST_SECTION, "json")
    ]
    settings: dict[str, str] = json.loads(f"{{{pasted}}}")
    options = [it for name, value in settings.items() for it in ("--env", f"{name}={value}")]
    (command,) = BY_PARAMETERS
    with GatewayProcess("--stage", "local", *options) as running:
        there = {"http://127.0.0.1:8000": running.http_url}
        asked = checkout.filled(command.text, there)
        assert '"connections":[]' in ran(terminal, asked)
        assert "unauthorized" in ran(terminal, asked.replace("HeaderAuth1:", "Header:"))


@pytest.mark.usefixtures("prod")
def test_a_principal_is_revoked_and_allowed(terminal: Terminal, gateway: GatewayProcess) -> None:
    by_http, *by_table = REVOCATION
    ran(terminal, "TOKEN=hello")
    there = {"https://<HTTP API>/api": gateway.http_url}
    answer = re.findall(r"{.*}", ran(terminal, checkout.filled(by_http.text, there)))[-1]
    assert json.loads(answer).keys() == {"principal", "notBefore", "closed", "left"}
    revoked, allowed = (ran(terminal, it.text) for it in by_table)
    assert "alice is revoked" in revoked
    assert "alice is let in" in allowed


def test_the_queue_is_at_work(terminal: Terminal) -> None:
    (command,) = QUEUE
    terminal.paste(f"{command.text} --port 0 --database-port 0")
    url = re.findall(r"ws://127\.0\.0\.1:\d+/api", terminal.wait_for("Ctrl-C"))[0]
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(connect(url))) for _ in range(4)]
        clients[0].send('{"action": "sendmessage", "message": "hello"}')
        frames = [json.loads(clients[0].recv()) for _ in range(2)]
        (reply,) = (it["result"] for it in frames if it["type"] == "reply")
        assert "jobId" in reply
        assert [json.loads(it.recv())["message"] for it in clients[1:]] == ["hello"] * 3
    terminal.press("\x03")
    assert terminal.prompt().code == 0


def connect(url: str) -> websocket.WebSocket:
    return websocket.create_connection(url, header={"token": "hello"}, timeout=60)


def alike(output: str) -> list[str]:
    """Return lines with what differs from run to run put out of sight."""
    output = re.sub(r'"messageId":"[^"]*"', '"messageId":""', output)
    return re.sub(r"^\d\d:\d\d:\d\d", "TIME", output, flags=re.MULTILINE).splitlines()


def test_what_the_readme_shows_is_what_the_client_prints_today(gateway: GatewayProcess) -> None:
    chat, sent = (
        it.text for it in blocks("README.md") if (it.section, it.language) == ("Run it", "")
    )
    tokens = (("--token", "hello"), ())
    with (
        closing(gateway.connect(header={"token": "hello"})),
        TerminalClient("chat", gateway.url, "--token", "hello") as client,
    ):
        typed = [line.removeprefix("> ") for line in alike(chat) if line.startswith("> ")]
        for line, answer in zip(typed, ("delivered to", "error unknown_action"), strict=True):
            client.press(f"{line}\n")
            client.wait_for(answer)
        client.press("\x04")
        assert client.end() == 0
        rows = alike("\n".join(client.rows))
    assert [it for it in alike(chat) if it not in rows and not it.startswith("> ")] == []
    eventually(gateway.is_empty)  # else those who have just left are counted, too
    with closing(gateway.connect(header={"token": "hello"})):
        done = [run("send", gateway.url, "hello", *token) for token in tokens]
    assert alike(sent) == alike(done[0].stdout + done[1].stderr)
