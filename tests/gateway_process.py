"""The gateway as a user starts it: a process of its own that serves this repository's app."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3
import websocket

from tests.gateway_under_test import NET

ROOT = Path(__file__).parent.parent


class GatewayProcess:
    """Starts on free ports; stops with Ctrl-C's signal and keeps what it printed."""

    def __init__(
        self, *arguments: str, environment: Mapping[str, str] | None = None, project: Path = ROOT
    ) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "localgateway", "--project-dir", str(project)),
                *("--port", "0", "--database-port", "0", *arguments),
            ],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        try:
            self._said(r"Ctrl-C")
        except AssertionError:
            self._abandon()
            raise
        (address,) = re.findall(r"(?:ws|http)://(127\.0\.0\.1:\d+)", self.output)[:1]
        self.url = f"ws://{address}/api"
        self.database_url = "" if "Database" not in self.output else self._said(r"Database +(\S+)")
        self.http_url = self.url.replace("ws:", "http:").removesuffix("/api")

    def connect(self, query: str = "", **options: Any) -> Any:
        return websocket.create_connection(f"{self.url}{query}", timeout=NET, **options)

    def refusal(self, query: str = "", **options: Any) -> int:
        try:
            self.connect(query, **options).close()
        except websocket.WebSocketBadStatusException as error:
            return int(error.status_code)
        return 101

    def items(self, table_name: str = "portcullis-local") -> Sequence[Mapping[str, Any]]:
        """Return all that is in the table."""
        client = boto3.client(
            "dynamodb",
            endpoint_url=self.database_url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        items: Sequence[Mapping[str, Any]] = client.scan(TableName=table_name)["Items"]
        client.close()
        return items

    def is_empty(self) -> bool:
        """Tell whether the app keeps nothing of anybody."""
        kinds = ("connection#", "audience#")
        return not any(item["pk"]["S"].startswith(kinds) for item in self.items())

    def all_have_left(self) -> bool:
        """Tell whether the app has heard of the end of every connection in the log."""
        log = self.output
        return log.count(" $connect 101 ") == len(re.findall(r" \$disconnect \d+ ", log))

    @property
    def output(self) -> str:
        # Without a seek: both processes are at one place in the file, and it would write there.
        descriptor = self._output.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    def stop(self) -> str:
        """Stop it as Ctrl-C does; return all it printed."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(NET)
        output = self.output
        self._output.close()
        return output

    def __enter__(self) -> GatewayProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.stop()
        self._output.close()

    def _abandon(self) -> None:
        self.process.kill()
        self.process.wait()
        self._output.close()

    def _said(self, pattern: str) -> str:
        deadline = time.monotonic() + NET
        while (match := re.search(pattern, self.output)) is None:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.01)
        return match[match.lastindex or 0]
