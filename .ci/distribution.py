"""Builds the gateway's own distribution, installs it elsewhere, and serves a project with it."""

from __future__ import annotations

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
PORT = 8003


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
        install = ("install", "--quiet", "--disable-pip-version-check", str(wheel))
        run(python, "-m", "pip", *install)
        serve(python, directory)
    print("distribution: built, installed and served", flush=True)


def serve(python: str, directory: Path) -> None:
    """Serve the echo project by the installed command, and use it."""
    command = [str(Path(python).parent / "localgateway"), "--project-dir", str(directory / "echo")]
    server = subprocess.Popen(
        [*command, "--port", str(PORT), "--database-port", "0"], cwd=directory
    )
    try:
        client = connect(server)
        client.send("hello")
        answer = client.recv()
        assert answer == "hello", answer
        client.close()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)


def connect(server: subprocess.Popen[bytes]) -> websocket.WebSocket:
    """Return a connection, once the server accepts one."""
    for _ in range(300):
        assert server.poll() is None, "the server has ended"
        try:
            return websocket.create_connection(f"ws://127.0.0.1:{PORT}/api", timeout=5)
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server never answered")


def run(*command: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, timeout=300)


if __name__ == "__main__":
    main()
