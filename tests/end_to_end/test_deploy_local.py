"""``make deploy-local``: the whole app on a fresh emulator, tried by a real client."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import websocket

from tests.chalice_project import ROOT, ChaliceProject

COMMAND = [sys.executable, "-m", "deployment.local"]


@contextmanager
def running(*options: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*COMMAND, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return what a process has written up to a line with ``text``."""
    written = ""
    assert process.stdout is not None
    for line in process.stdout:
        written += line
        if text in line:
            return written
    raise AssertionError(f"no {text!r} in: {written}")


def outcome(transcript: str, tried: str) -> str:
    (found,) = re.findall(rf"^ok +{tried}: (.*)$", transcript, re.MULTILINE)
    return str(found)


def files() -> set[Path]:
    return set((ROOT / ".chalice").rglob("*"))


def test_the_whole_app_is_deployed_and_lets_in_who_has_the_credential() -> None:
    before = files()
    with running("--keep", "--refuse-origin", "https://elsewhere.example.com") as process:
        transcript = read_until(process, "running until Ctrl-C")
        assert outcome(transcript, "handshake without a credential").startswith("500")
        assert outcome(transcript, "handshake with a wrong credential").startswith("500")
        elsewhere = "handshake with the right one, from a page of https://elsewhere.example.com"
        assert outcome(transcript, elsewhere) == "403"
        assert outcome(transcript, "handshake with the right credential") == "101"
        assert re.search(r'^ok +receive: .*"type":"message"', transcript, re.MULTILINE)
        assert "\nall as it should be\n" in transcript
        assert "MiniStack is not API Gateway" in transcript
        (url,) = re.findall(r"^WebSocket URL here: (ws://.*)$", transcript, re.MULTILINE)
        (credential,) = re.findall(r"the credential is (\S+),", transcript)
        client = websocket.create_connection(
            url, header={"token": credential}, timeout=60, suppress_origin=True
        )
        client.send('{"action": "whoami", "id": "1"}')
        myself = f"connection:{json.loads(client.recv())['result']['connectionId']}"
        client.send(json.dumps({"action": "sendmessage", "to": myself, "message": "hello"}))
        assert '"delivered":1' in str(client.recv()) + str(client.recv())
        client.close()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert files() == before, "the checkout is as it was"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(url.split(":")[2].partition("/")[0]))) != 0


def test_an_api_that_is_not_as_it_should_be_is_exit_1(tmp_path: Path) -> None:
    """Without the extension nobody gets in, for the connect handler refuses by itself."""
    project = ChaliceProject.copy(tmp_path)
    project.edit("app.py", lambda text: text.partition('if "chalice.deploy.deployer" in')[0])
    for policy in (project.directory / ".chalice" / "policies").iterdir():
        policy.write_text(policy.read_text().replace("${", "{"))
    with running("--project-dir", str(project.directory)) as process:
        transcript, _ = process.communicate(timeout=300)
        assert process.returncode == 1
    assert re.search(r"^NOT +handshake with the right credential: 403$", transcript, re.MULTILINE)
    assert "\nNOT as it should be\n" in transcript


def test_a_deployment_that_fails_is_exit_1_without_a_stack_trace_of_ours(
    tmp_path: Path,
) -> None:
    project = ChaliceProject.copy(tmp_path)
    project.configure(lambda config: config.update(deployment={"alarm": True}))
    options = ("--project-dir", str(project.directory), "--stage", "dev")
    with running(*options) as process:
        transcript, _ = process.communicate(timeout=300)
        assert process.returncode == 1
    assert "alarm is not an option" in transcript
    assert "Error: chalice deploy failed" in transcript
    assert "Traceback" not in transcript
