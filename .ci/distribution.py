"""Builds the gateway's own distribution, installs it elsewhere, and serves a project with it."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import websocket

ROOT = Path(__file__).parent.parent
# Nothing is measured by it: a package index, or a disk, may be slow.
SECONDS = 1200


def main() -> None:
    """Do it in a directory that knows nothing of this checkout."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        source = directory / "source"
        shutil.copytree(ROOT / "localgateway", source / "localgateway")
        shutil.copy(ROOT / "pyproject.toml", source)
        shutil.copytree(ROOT / "tests" / "projects" / "echo", directory / "echo")
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", name, str(source))
        venv.create(directory / "venv", with_pip=True)
        python = str(directory / "venv" / "bin" / "python")
        (wheel,) = directory.glob("localgateway-*.whl")
        constraints = directory / "constraints.txt"
        constraints.write_text(locked())
        install = ("install", "--quiet", "--disable-pip-version-check", "-c", str(constraints))
        run(python, "-m", "pip", *install, str(wheel))
        serve(python, directory)
    print("distribution: built, installed and served", flush=True)


def locked() -> str:
    """Return versions known to work: what others release today says nothing of a change."""
    lines = (ROOT / "requirements-run.txt").read_text().splitlines()
    return "\n".join(line.removesuffix(" \\") for line in lines if re.match(r"\S+==", line))


def serve(python: str, directory: Path) -> None:
    """Serve the echo project by the installed command, and use it."""
    command = [str(Path(python).parent / "localgateway"), "--project-dir", str(directory / "echo")]
    said = directory / "said"
    with said.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--port", "0", "--database-port", "0"],
            cwd=directory,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        client = websocket.create_connection(url(server, said), timeout=SECONDS)
        client.send("hello")
        answer = client.recv()
        assert answer == "hello", answer
        client.close()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)


def url(server: subprocess.Popen[bytes], said: Path) -> str:
    """Return where the server is, once it has said so to the end."""
    deadline = time.monotonic() + SECONDS
    while "Ctrl-C" not in (text := said.read_text()):
        assert server.poll() is None, text
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
    return re.findall(r"ws://127\.0\.0\.1:\d+/api", text)[0]


def run(*command: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, timeout=SECONDS)


if __name__ == "__main__":
    main()
