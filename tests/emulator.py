"""MiniStack as a process of its own, on 127.0.0.1, with the services a test names."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3

_HOST = "127.0.0.1"
_START_SECONDS = 60.0


class Emulator:
    """A running emulator. What it holds is in memory, and ends with it."""

    def __init__(self, *services: str) -> None:
        """``services`` are MiniStack's names for them."""
        port = _free_port()
        self.url = f"http://{_HOST}:{port}"
        self._directory = tempfile.mkdtemp(prefix="emulator-")
        self._log = Path(self._directory) / "emulator.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ministack"],
                # Without BIND_HOST it listens on all interfaces, and asks nobody who they are.
                env={
                    "BIND_HOST": _HOST,
                    "GATEWAY_PORT": str(port),
                    "LOG_LEVEL": "WARNING",
                    "PATH": os.environ["PATH"],
                    "SERVICES": ",".join(services),
                    "TMPDIR": self._directory,
                },
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait(port)

    def client(self, service: str) -> Any:
        """Return boto3's client of a service, which a person or a deployment would use."""
        return boto3.client(service, endpoint_url=self.url, region_name="us-east-1")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Emulator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _accepts(port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = self._log.read_text(errors="replace")[-2000:]
                self.stop()
                raise AssertionError(f"the emulator did not start; its last words: {words}")
            time.sleep(0.05)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((_HOST, port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        number: int = probe.getsockname()[1]
        return number
