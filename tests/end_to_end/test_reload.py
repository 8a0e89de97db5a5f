"""``--reload``: a saved file is served, a broken one is shown and can be mended."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.gateway_process import ROOT, GatewayProcess
from tests.gateway_under_test import NET, eventually


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "tests" / "projects" / "echo", tmp_path / "echo")
    return tmp_path / "echo"


@pytest.fixture
def gateway(project: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess("--reload", "--no-database", project=project) as running:
        yield running


def echoed(gateway: GatewayProcess) -> str | None:
    """Connect to the latest URL said, and return what a message comes back as."""
    gateway.url = gateway.output.rpartition("WebSocket")[2].split()[0]
    try:
        with connect(gateway.url) as client:
            client.send("hello")
            return str(client.recv(NET))
    except (OSError, WebSocketException):
        return None  # between two starts


def test_a_saved_file_is_served_and_a_broken_one_can_be_mended(
    gateway: GatewayProcess, project: Path
) -> None:
    app = project / "app.py"
    source = app.read_text()
    assert echoed(gateway) == "hello"

    app.write_text(source.replace("answer = event.body\n", "answer = event.body.upper()\n"))
    eventually(lambda: echoed(gateway) == "HELLO")
    assert "app.py saved: starting anew" in gateway.output

    app.write_text(source + "\nthis is no Python\n")
    eventually(lambda: "SyntaxError" in gateway.output)

    app.write_text(source)
    eventually(lambda: echoed(gateway) == "hello")
