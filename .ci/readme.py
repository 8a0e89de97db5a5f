"""Runs every local command of the README, and its Python script, as a reader would.

Where one of its ports is taken, another takes its place, as the README has a reader do.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.documents.commands import Command, blocks, commands  # noqa: E402

# Those of its blocks for a console are for AWS: tests/documents runs them.
RUNS = tuple(it for it in commands("README.md") if it.language == "sh")
MESSAGE = '{"action":"sendmessage","message":"hello"}'
# Of the app, another project, and the embedded database.
PORTS = (8000, 8001, 8100)
CLIENT = re.compile(r"^make chat|-m wsclient")
# The caller has run these already, from the same checkout.
DONE = {"make test", "make check"}
PYTHON = str(ROOT / ".venv" / "bin" / "python")
# Nothing is measured by it: a package index, or a disk, may be slow.
SECONDS = 1200


def main() -> None:
    """Run the commands in order; any that does not do what it should ends this.

    In two parts: ``served`` is what `make run` alone makes possible, ``developed`` all else.
    """
    parts = {"served": served, "developed": developed}
    parts[sys.argv[1]]({port: free(port) for port in PORTS})


def free(port: int) -> int:
    """Return a port that nobody listens on: this one, if that is so."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def served(ports: Mapping[int, int]) -> None:
    """Run the servers of the README and their clients."""
    first, second = (it.text for it in RUNS if "make run" in it.text)
    one, two = (it.text for it in RUNS if it.text.startswith("npx wscat"))
    moved = f" DATABASE_PORT={ports[8100]}" if ports[8100] != 8100 else ""
    with serving(f"{first}{moved}", ports):
        for command in filter(is_client, RUNS):
            run_client(command, ports)
        wscat(one, ports)
        run_script(ports)
    with serving(f"{second}{moved}", ports):
        wscat(two, ports)


def developed(ports: Mapping[int, int]) -> None:
    """Run everything that ``served`` does not."""
    for command in RUNS:
        is_served = "make run" in command.text or command.text.startswith("npx wscat")
        if not is_served and not is_client(command) and command.text not in DONE:
            other(command.text, ports)


def is_client(command: Command) -> bool:
    """Tell whether a command is one of our own client."""
    return CLIENT.search(command.text) is not None


def other(command: str, ports: Mapping[int, int]) -> None:
    """Run a command that is neither `make run` nor a client of it."""
    if "localgateway" in command:
        moved = f" --database-port {ports[8100]}" if ports[8100] != 8100 else ""
        with serving(f"{command}{moved}", ports, port=8001, path="/"):
            return
    if "chalice local" in command:
        moved = f" --port {ports[8000]}" if ports[8000] != 8000 else ""
        with serving(f"{command}{moved}", ports):
            return
    say(command)
    subprocess.run(
        command, shell=True, cwd=ROOT, check=True, env=environment(ports), timeout=SECONDS
    )


@contextmanager
def serving(
    command: str, ports: Mapping[int, int], port: int = 8000, path: str = "/health"
) -> Iterator[None]:
    """Run a server's command until the block ends; stop it as Ctrl-C does."""
    command = here(command, ports)
    say(command)
    server = subprocess.Popen(
        command, shell=True, cwd=ROOT, env=environment(ports), start_new_session=True
    )
    try:
        wait_for(f"http://127.0.0.1:{ports[port]}{path}", server)
        yield
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait(60)


def here(text: str, ports: Mapping[int, int]) -> str:
    """Return a text of the README's with the ports that there are."""
    names = "|".join(map(str, ports))
    return re.sub(rf"\b(?:{names})\b", lambda match: str(ports[int(match[0])]), text)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Return once the server answers, whatever it answers."""
    deadline = time.monotonic() + SECONDS  # it may have to be installed first
    while time.monotonic() < deadline:
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


def run_client(command: Command, ports: Mapping[int, int]) -> None:
    """Run a command of our own client; its comment says which exit code it has."""
    say(command.text)
    words = shlex.split(command.text)
    if "chat" in command.text:
        code = talk(words, ports, "connected", "hello", "delivered to 1", end="\x04")
    else:
        code = subprocess.run(
            words, cwd=ROOT, env=environment(ports), check=False, timeout=SECONDS
        ).returncode
    expected = re.search(r"exit code (\d+)", command.comment)
    assert code == int(expected[1] if expected else 0), f"exit code {code}"


def wscat(command: str, ports: Mapping[int, int]) -> None:
    """Run a wscat command, send a message to everyone, and see it come back."""
    command = here(command, ports)
    say(command)
    words = shlex.split(command)
    words.insert(1, "--yes")
    talk(words, ports, "Connected", MESSAGE, '"type":"message"', end="\x03")


def talk(
    words: Sequence[str], ports: Mapping[int, int], first: str, line: str, then: str, *, end: str
) -> int:
    """Type a line on a terminal, see what comes back, and end; return the exit code."""
    ours, theirs = pty.openpty()
    client = subprocess.Popen(
        words, cwd=ROOT, env=environment(ports), stdin=theirs, stdout=theirs, stderr=theirs
    )
    try:
        wait_for_text(client, ours, first)
        os.write(ours, f"{line}\r".encode())
        wait_for_text(client, ours, then)
        os.write(ours, end.encode())
        return client.wait(60)
    finally:
        client.kill()
        os.close(theirs)
        os.close(ours)


def wait_for_text(client: subprocess.Popen[bytes], terminal: int, text: str) -> None:
    """Return once a client's terminal has shown a text."""
    shown = ""
    deadline = time.monotonic() + SECONDS
    while text not in shown:
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 65_536).decode(errors="replace")
        else:
            assert client.poll() is None, shown
            assert time.monotonic() < deadline, shown


def run_script(ports: Mapping[int, int]) -> None:
    """Run the README's Python block."""
    (script,) = (it.text for it in blocks("README.md") if it.language == "python")
    say("the Python script")
    ran = subprocess.run(
        [PYTHON, "-c", here(script, ports)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert "'type': 'reply'" in ran.stdout, ran.stdout


def environment(ports: Mapping[int, int]) -> dict[str, str]:
    """Return the caller's environment, ports, and a region: `chalice package` asks for one."""
    moved = {"WSCLIENT_URL": here("ws://127.0.0.1:8000/api", ports)}
    return {
        **{name: it for name, it in os.environ.items() if not name.startswith("WSCLIENT_")},
        **(moved if ports[8000] != 8000 else {}),
        "AWS_DEFAULT_REGION": "us-east-1",
        "PORT": str(ports[8000]),
    }


def say(what: str) -> None:
    """Say what runs."""
    print(f"README: {what}", flush=True)


if __name__ == "__main__":
    main()
