"""``python -m localgateway`` as a user meets it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest

from localgateway.database import EmbeddedDatabase
from tests.end_to_end.wire import until_closed
from tests.gateway_process import ROOT, GatewayProcess
from tests.gateway_under_test import NET, eventually


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "localgateway", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=NET,
        check=False,
    )


def test_it_prints_where_it_is_and_what_to_paste() -> None:
    with GatewayProcess("--stage", "local") as gateway:
        assert f"npx wscat -c {gateway.url} -H token:hello" in gateway.output
        assert '{"action":"sendmessage","message":"hello"}' in gateway.output
        assert f"{gateway.http_url}/api/@connections" in gateway.output
        assert "token: hello" in gateway.output


if sys.platform == "linux":

    @pytest.mark.parametrize(
        ("options", "shared"), [((), True), (("--all-cpus",), False)], ids=["default", "told"]
    )
    def test_it_keeps_to_one_cpu_unless_told_otherwise(
        options: tuple[str, ...], shared: bool
    ) -> None:
        several = len(os.sched_getaffinity(0)) > 1
        with GatewayProcess("--stage", "local", "--no-database", *options) as gateway:
            assert gateway.refusal() == 401, "it serves by now"
            cpus = partial(os.sched_getaffinity, gateway.process.pid)
            if shared:
                eventually(lambda: len(cpus()) == 1)  # every three seconds it roams for a moment
            else:
                assert (len(cpus()) > 1) == several


def test_help_shows_its_examples_a_line_each() -> None:
    lines = [line.strip() for line in run("--help").stdout.splitlines()]
    start = lines.index("Examples:")
    assert lines[start + 1] == "python -m localgateway --stage local"
    assert lines[start + 3].startswith("python -m localgateway --limit ")


def connected_to_engine(gateway: GatewayProcess) -> socket.socket:
    """Return what ends with the engine; its port may be somebody else's by then."""
    port = int(gateway.database_url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=NET)


def test_ctrl_c_stops_everything_cleanly() -> None:
    gateway = GatewayProcess("--stage", "local")
    client, engine = gateway.connect(header={"token": "hello"}), connected_to_engine(gateway)
    output = gateway.stop()
    assert gateway.process.returncode == 0
    assert "Traceback" not in output
    opcode, data = client.recv_data()
    assert (opcode, data[:2]) == (8, b"\x03\xe9"), "1001, going away"
    client.shutdown()
    with engine:
        assert until_closed(engine) == b"", "the engine goes too"


def test_killed_it_leaves_no_engine_behind() -> None:
    gateway = GatewayProcess("--stage", "local")
    with connected_to_engine(gateway) as engine:
        os.kill(gateway.process.pid, signal.SIGKILL)
        gateway.process.wait(NET)
        assert until_closed(engine) == b""
    gateway.stop()


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = run("--stage", "local", "--port", str(port), "--database-port", "0")
    assert answer.returncode == 1
    assert answer.stdout == ""
    (line,) = answer.stderr.splitlines()
    assert f"port {port}" in line
    assert "make run PORT=8001" in line


def test_a_taken_database_port_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = run("--stage", "local", "--port", "0", "--database-port", str(port))
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert f"port {port}" in line
    assert "--database-port" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--stage", "nowhere"), "has no stage 'nowhere'; it has dev, local, prod"),
        (("--project-dir", "/"), "is no Chalice project"),
        (("--stage", "local", "--limit", "speed=1"), "write NAME=NUMBER of client_buffer"),
        (("--stage", "local", "--env", "NAME"), "write NAME=VALUE"),
    ],
)
def test_a_wrong_project_or_stage_is_said_in_one_line(
    arguments: tuple[str, ...], words: str
) -> None:
    answer = run(*arguments, "--port", "0", "--database-port", "0")
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert words in line


def test_an_address_others_can_reach_is_warned_of() -> None:
    # An address for documentation, which no machine has: warned of, and then not to be had.
    answer = run("--stage", "local", "--host", "192.0.2.1", "--port", "0", "--database-port", "0")
    assert answer.returncode == 1
    warning, refusal = answer.stderr.splitlines()
    assert "192.0.2.1 can be reached from other machines" in warning
    assert "cannot be used" in refusal


@pytest.fixture
def echo() -> Iterator[GatewayProcess]:
    with GatewayProcess(project=ROOT / "tests" / "projects" / "echo") as running:
        yield running


def test_another_chalice_project_is_served_unmodified(echo: GatewayProcess) -> None:
    client = echo.connect()
    client.send("hello")
    assert client.recv() == "hello"
    client.send("who am I")
    assert client.recv() == "127.0.0.1"
    client.send("bye")
    assert client.recv() == "bye"
    opcode, data = client.recv_data()
    assert (opcode, data[:2]) == (8, b"\x03\xe8"), "app.websocket_api.close closes with 1000"
    client.shutdown()


def test_the_subprotocol_of_another_project_is_answered(echo: GatewayProcess) -> None:
    client = echo.connect(subprotocols=["other", "echo.v1"])
    assert client.getsubprotocol() == "echo.v1"
    client.close()
    assert echo.refusal(subprotocols=["other"]) == 400


def test_a_variable_of_the_command_line_wins() -> None:
    token = {"token": "another"}
    with GatewayProcess("--stage", "local", "--env", "SHARED_TOKEN=another") as gateway:
        assert gateway.refusal(header=token) == 101
        assert gateway.refusal(header={"token": "hello"}) == 401


def test_the_log_can_be_json() -> None:
    with GatewayProcess("--stage", "local", "--log-format", "json") as gateway:
        gateway.connect(header={"token": "hello"}).close()
        eventually(lambda: '"route_key": "$disconnect"' in gateway.output)
        lines = [line for line in gateway.output.splitlines() if '"connection_id"' in line]
        assert {"time", "level", "route_key", "status"} <= json.loads(lines[0]).keys()


def test_a_database_that_runs_already_can_be_used(database: EmbeddedDatabase) -> None:
    with GatewayProcess("--stage", "local", "--database", database.endpoint_url) as gateway:
        assert gateway.database_url == database.endpoint_url
        assert gateway.refusal(header={"token": "hello"}) == 101


def test_the_second_start_takes_seconds_at_most() -> None:
    asked = time.monotonic()
    run("--help")
    started = time.monotonic()
    patience = max(15, 100 * (started - asked))  # the rest is how busy this machine is
    with GatewayProcess("--stage", "local"):
        took = time.monotonic() - started
    assert took < patience, "a hang, not a figure: benchmarks have those"
