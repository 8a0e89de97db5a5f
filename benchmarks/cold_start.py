"""What a cold start costs: CPU time of a fresh process, from the package that is deployed.

Each handler is imported and answers once, first as Chalice packages it, then with byte code.
Times are CPU (user and system) of this machine, not of Lambda, which gives a function of 256 MB
a seventh of a core.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from benchmarks import report
from benchmarks.load import Figures
from benchmarks.parameters import Parameters
from benchmarks.target import BenchmarkError

ROOT = Path(__file__).parent.parent
_PROCESS = Path(__file__).with_name("cold_start_process.py")
_PACKAGE = (
    "from deployment import bytecode; bytecode.install(); from chalice.cli import main; main()"
)
_STAGE = "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/api"
_TOKEN = "of-no-account"
_EVENTS: Mapping[str, Mapping[str, Any]] = {
    "websocket_authorizer": {
        "type": "REQUEST",
        "methodArn": f"{_STAGE}/$connect",
        "headers": {"Host": "abcdef1234.execute-api.eu-west-1.amazonaws.com", "token": _TOKEN},
        "requestContext": {"connectionId": "L0SM9cOFvHcCIhw="},
    },
    "websocket_message": {
        "requestContext": {
            "routeKey": "$default",
            "eventType": "MESSAGE",
            "messageId": "DNcTFcXXoAMCIhw=",
            "stage": "api",
            "connectedAt": 1_795_000_000_000,
            "connectionId": "L0SM9cOFvHcCIhw=",
            "apiId": "abcdef1234",
            "domainName": "abcdef1234.execute-api.eu-west-1.amazonaws.com",
            "authorizer": {"principalId": "alice", "expiresAt": "9000000000"},
        },
        "body": '{"action":"ping"}',
        "isBase64Encoded": False,
    },
}

# The connection of the message, as the table has it.
_ITEM: Mapping[str, Any] = {
    "pk": {"S": "connection#L0SM9cOFvHcCIhw="},
    "sk": {"S": "connection"},
    "principalId": {"S": "alice"},
    "connectedAt": {"N": "1795000000000"},
    "expiresAt": {"N": "9000000000"},
    "sourceIp": {"S": "192.0.2.7"},
    "apiId": {"S": "abcdef1234"},
    "stage": {"S": "api"},
    "context": {"M": {}},
}


def measure(parameters: Parameters) -> dict[str, Any]:
    """Return the figures of each handler, by what is in the package."""
    with tempfile.TemporaryDirectory() as scratch, _aws() as endpoint:
        packages = _packages(Path(scratch))
        runs: dict[str, dict[str, list[Figures]]] = {
            handler: {kind: [] for kind in packages} for handler in _EVENTS
        }
        for _ in range(parameters.cold_starts):  # in turn: the machine's moods hit all
            for handler, kinds in runs.items():
                for kind, found in kinds.items():
                    found.append(_run(packages[kind], handler, endpoint))
    return {
        handler: {kind: report.summary(found) for kind, found in kinds.items()}
        for handler, kinds in runs.items()
    }


def _packages(scratch: Path) -> dict[str, Path]:
    archive = _package(scratch)
    packages = {kind: scratch / kind for kind in ("sources", "byte_code")}
    for directory in packages.values():
        with ZipFile(archive) as content:
            content.extractall(directory)
    for directory in list(packages["sources"].rglob("__pycache__")):
        shutil.rmtree(directory)
    return packages


def _package(scratch: Path) -> Path:
    project = scratch / "project"
    ignored = shutil.ignore_patterns("__pycache__", "deployments", "deployed")
    for name in ("chalicelib", ".chalice"):
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    for name in ("app.py", "requirements.txt"):
        shutil.copy(ROOT / name, project)
    completed = subprocess.run(
        [sys.executable, "-c", _PACKAGE, "package", "--stage", "prod", str(scratch / "out")],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode != 0:
        raise BenchmarkError(f"chalice package failed: {completed.stderr[-2000:]}")
    return scratch / "out" / "deployment.zip"


def _run(package: Path, handler: str, endpoint: str) -> Figures:
    boto3 = importlib.util.find_spec("boto3")
    if boto3 is None or boto3.origin is None:
        raise BenchmarkError("boto3 is not installed; the Lambda runtime has it")
    completed = subprocess.run(
        # Nothing of this environment; as on Lambda no byte code can be written.
        [
            *(sys.executable, "-I", "-S", "-B", str(_PROCESS), str(package), handler),
            *(str(Path(boto3.origin).parent.parent), json.dumps(_EVENTS[handler])),
        ],
        env={
            "_HANDLER": f"app.{handler}",
            "STAGE": "prod",
            "TABLE_NAME": "portcullis-prod",
            "SHARED_TOKEN": _TOKEN,
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "of-no-account",
            "AWS_ENDPOINT_URL_DYNAMODB": endpoint,
            "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": f"{endpoint}/api",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode != 0:
        raise BenchmarkError(f"{handler}: {completed.stderr[-2000:]}")
    figures: Figures = json.loads(completed.stdout.splitlines()[-1])  # the others are the log
    return figures


@contextmanager
def _aws() -> Iterator[str]:
    """Know the connection, and take what is posted to it: both have to be signed and read."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps({"Item": _ITEM}).encode() if self.headers["x-amz-target"] else b""
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
