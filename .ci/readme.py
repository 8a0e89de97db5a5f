"""Runs every local command of the README, and its Python script, as a reader would."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.documents.commands import Command, blocks, commands  # noqa: E402

# Those of its blocks for a console are for AWS: tests/documents runs them.
RUNS = tuple(it for it in commands("README.md") if it.language == "sh")
MESSAGE = '{"action":"sendmessage","message":"hello"}'
CLIENT = re.compile(r"^make chat|-m wsclient")
# The caller has run these already, from the same checkout.
DONE = {"make test", "make check"}
PYTHON = str(ROOT / ".venv" / "bin" / "python")


def main() -> None:
    """Run the commands in order; any that does not do what it should ends this.

    In two parts: ``served`` is what `make run` alone makes possible, ``developed`` all else.
    """
    parts = {"served": served, "developed": developed}
    parts[sys.argv[1]]()


def served() -> None:
    """Run the servers of the README and their clients."""
    first, second = (it.text for it in RUNS if "make run" in it.text)
    one, two = (it.text for it in RUNS if it.text.startswith("npx wscat"))
    with serving(first, 8000):
        for command in filter(is_client, RUNS):
            run_client(command)
        wscat(one, 'message":"hello"')
        run_script()
    with serving(second, 8000):
        wscat(two, 'message":"hello"')


def developed() -> None:
    """Run everything that ``served`` does not."""
    for command in RUNS:
        is_served = "make run" in command.text or command.text.startswith("npx wscat")
        if not is_served and not is_client(command) and command.text not in DONE:
            other(command.text)


def is_client(command: Command) -> bool:
    """Tell whether a command is one of our own client."""
    return CLIENT.search(command.text) is not None


def other(command: str) -> None:
    """Run a command that is neither `make run` nor a client of it."""
    if "localgateway" in command:
        with serving(command, 8001, path="/"):
            return
    if "chalice local" in command:
        with serving(command, 8000):
            return
    timeout = 600
    say(command)
    subprocess.run(command, shell=True, cwd=ROOT, check=True, env=environment(), timeout=timeout)


@contextmanager
def serving(command: str, port: int, path: str = "/health") -> Iterator[None]:
    """Run a server's command until the block ends; stop it as Ctrl-C does."""
    say(command)
    server = subprocess.Popen(
        command, shell=True, cwd=ROOT, env=environment(), start_new_session=True
    )
    try:
        wait_for(f"http://127.0.0.1:{port}{path}", server)
        yield
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait(20)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Return once the server answers, whatever it answers."""
    for _ in range(1200):
        assert server.poll() is None, "the server has ended"
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nothing answers at {url}")


def run_client(command: Command) -> None:
    """Run a command of our own client; its comment says which exit code it has."""
    say(command.text)
    if "chat" in command.text:
        chat(command.text)
        return
    expected = re.search(r"exit code (\d+)", command.comment)
    words = shlex.split(command.text)
    code = subprocess.run(words, cwd=ROOT, check=False, timeout=60).returncode
    assert code == int(expected[1] if expected else 0), f"exit code {code}"


def chat(command: str) -> None:
    """Type a line on a terminal, see it come back, and end."""
    ours, theirs = pty.openpty()
    client = subprocess.Popen(
        shlex.split(command), cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs
    )
    try:
        wait_for_text(ours, "connected")
        os.write(ours, b"hello\r")
        wait_for_text(ours, "delivered to 1")
        os.write(ours, b"\x04")
        assert client.wait(20) == 0
    finally:
        client.kill()
        os.close(theirs)
        os.close(ours)


def wait_for_text(terminal: int, text: str) -> None:
    """Return once a terminal has shown a text."""
    shown = ""
    while text not in shown:
        assert select.select([terminal], [], [], 20)[0], shown
        shown += os.read(terminal, 65_536).decode()


def wscat(command: str, expected: str) -> None:
    """Run a wscat command that sends a message and waits a second for what comes back."""
    say(command)
    arguments = [*shlex.split(command), "-x", MESSAGE, "-w", "1"]
    arguments.insert(1, "--yes")
    # Its input stays open, as a terminal's does: wscat ends with it.
    with subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    ) as client:
        assert client.stdout is not None
        output = client.stdout.read()
    assert expected in output, output


def run_script() -> None:
    """Run the README's Python block."""
    (script,) = (it.text for it in blocks("README.md") if it.language == "python")
    say("the Python script")
    ran = subprocess.run(
        [PYTHON, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert "'type': 'reply'" in ran.stdout, ran.stdout


def environment() -> dict[str, str]:
    """Return the caller's environment, and a region: `chalice package` asks for one."""
    return {**os.environ, "AWS_DEFAULT_REGION": "us-east-1"}


def say(what: str) -> None:
    """Say what runs."""
    print(f"README: {what}", flush=True)


if __name__ == "__main__":
    main()
