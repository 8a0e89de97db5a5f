"""MiniStack, an emulator of AWS from PyPI, as a process of its own on 127.0.0.1.

It runs functions' code and asks nobody who they are: it must listen nowhere else.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import botocore
import botocore.session
from botocore.config import Config

HOST = "127.0.0.1"
REGION = "us-east-1"
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_WAITERS = Path("lambda", "2015-03-31", "waiters-2.json")


class EmulatorFailed(Exception):
    """The emulator did not start; its own last words are the text."""


class LocalEmulator:
    """A running emulator. What it holds is in memory, and ends with it."""

    def __init__(
        self,
        environ: Mapping[str, str],
        port: int = 0,
        services: Sequence[str] = (),
        program: Sequence[str] = ("-m", "ministack"),
    ) -> None:
        """Start it on ``port`` (0: any free one); ``environ`` says where programs are found.

        ``services`` are MiniStack's names for them; none named are all. ``program`` is what Python
        runs: MiniStack, or a script that starts it.
        """
        self._directory = Path(tempfile.mkdtemp(prefix="emulator-"))
        self.log = self._directory / "log"
        self._clients: dict[str, Any] = {}
        with _reserved(port) as number, self.log.open("wb") as log:
            self.endpoint_url = f"http://{HOST}:{number}"
            self.process = subprocess.Popen(
                [sys.executable, *program],
                env={
                    "PATH": environ.get("PATH", ""),
                    "BIND_HOST": HOST,
                    "GATEWAY_PORT": str(number),
                    # Listeners that do not heed BIND_HOST.
                    "IOT_MTLS_ENABLED": "0",
                    "SFTP_ENABLED": "0",
                    "LOG_LEVEL": "WARNING",
                    "SERVICES": ",".join(services),
                    "TMPDIR": str(self._directory),
                },
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is its starter's to handle
            )
            self._wait()

    def environ(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return an environment in which every program finds this one, and none finds AWS."""
        return {
            **{name: value for name, value in base.items() if not name.startswith("AWS_")},
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_DATA_PATH": str(_quick_waiters(self._directory)),
            # Packages may have to come by a proxy, but this is no way to here.
            "NO_PROXY": _without_proxy(base),
            "no_proxy": _without_proxy(base),
        }

    def client(self, service: str) -> Any:
        """Return botocore's client of a service, which lives as long as the emulator."""
        if service not in self._clients:
            self._clients[service] = botocore.session.Session().create_client(
                service,
                endpoint_url=self.endpoint_url,
                region_name=REGION,
                aws_access_key_id="local",
                aws_secret_access_key="local",
                config=Config(proxies={}),
            )
        return self._clients[service]

    def websocket_url(self, api_id: str, stage: str) -> str:
        """Return where clients connect; the URL Chalice prints is that of AWS."""
        return f"ws{self.endpoint_url.removeprefix('http')}/_aws/execute-api/{api_id}/{stage}"

    def stop(self) -> None:
        """End it, and the functions it runs."""
        for client in self._clients.values():
            client.close()
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _accepts(self.endpoint_url):
            if self.process.poll() is not None or time.monotonic() > deadline:
                words = self.log.read_text(errors="replace")[-2000:].strip()
                self.stop()
                raise EmulatorFailed(words)
            time.sleep(0.05)


def _quick_waiters(directory: Path) -> Path:
    """Have botocore ask for a function's state every 0.2 s, where AWS is to be asked every 5 s."""
    models = directory / "models"
    path = models / _WAITERS
    if not path.exists():
        waiters = json.loads((Path(botocore.__file__).parent / "data" / _WAITERS).read_text())
        for waiter in waiters["waiters"].values():
            waiter.update(delay=0.2, maxAttempts=300)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(waiters))
    return models


def _accepts(endpoint_url: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, int(endpoint_url.rpartition(":")[2]))) == 0


def _without_proxy(environ: Mapping[str, str]) -> str:
    others = environ.get("no_proxy") or environ.get("NO_PROXY")
    if others == "*":  # everything, where it stands alone
        return others
    return f"{HOST},{others}" if others else HOST


@contextmanager
def _reserved(port: int) -> Iterator[int]:
    """Yield ``port``, or any free one for 0, which nobody else gets before the emulator has it.

    That takes it seconds. Linux gives both the same port, for neither minds and one alone listens.
    """
    if port:
        yield port
        return
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, 0))
        number: int = holder.getsockname()[1]
        if sys.platform != "linux":
            holder.close()
        yield number
