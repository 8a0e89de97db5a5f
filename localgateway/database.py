"""The embedded DynamoDB-compatible engine: a MiniStack process of our own, on 127.0.0.1 only."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from localgateway.errors import StartError
from localgateway.events import ACCOUNT_ID

HOST = "127.0.0.1"
DEFAULT_PORT = 8100
_CREATED_WITH = (
    "TableName",
    "AttributeDefinitions",
    "KeySchema",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "StreamSpecification",
)
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


class EmbeddedDatabase:
    """A running engine. Its tables live in memory and end with it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self._process = process
        self._log = log
        self._port = port
        self.endpoint_url = f"http://{HOST}:{port}"

    @classmethod
    def start(cls, port: int = 0) -> EmbeddedDatabase:
        """Start an engine on ``port`` (0: any free one), without waiting until it answers.

        Raises ``StartError`` when the port is taken.
        """
        with reserve(port) as reserved:
            return cls.start_on(reserved)

    @classmethod
    def start_on(cls, reserved: socket.socket) -> EmbeddedDatabase:
        """Start an engine on a port that is reserved.

        Close the socket then, or whoever connects waits for good once the engine has ended.
        """
        port: int = reserved.getsockname()[1]
        number = reserved.fileno()
        log = Path(tempfile.mkdtemp(prefix="localgateway-")) / "database.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "localgateway.database_process"),
                    *(str(number), str(port), str(log.parent)),
                ],
                cwd=Path(__file__).parent.parent,
                env=_environment(log.parent),
                pass_fds=(number,),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is the gateway's to handle: the engine goes last
            )
        return cls(process, port, log)

    def wait(self) -> None:
        """Return once the engine accepts connections; raises ``StartError`` if it never does."""
        deadline = time.monotonic() + _START_SECONDS
        while not _accepts(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                output = self._log.read_text(errors="replace").strip()[-500:]
                raise StartError(f"the embedded database did not start; its last words: {output}")
            time.sleep(0.005)

    def create_table(self, table: Mapping[str, Any], region: str = "us-east-1") -> None:
        """Create a table from the CloudFormation properties of ``AWS::DynamoDB::Table``."""
        self.wait()
        create_table(self.endpoint_url, table, region)

    def stop(self) -> None:
        """End the engine, at once: it has nothing to save (see ``database_process``)."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._log.parent, ignore_errors=True)

    def __enter__(self) -> EmbeddedDatabase:
        self.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def create_table(endpoint_url: str, table: Mapping[str, Any], region: str) -> None:
    """Create a table on any local engine; one that is there already is left as it is.

    Properties a local engine has no use for (tags, encryption, backups) are left out.
    """
    create = {key: table[key] for key in _CREATED_WITH if key in table}
    answer = _call(endpoint_url, region, "CreateTable", create | {"BillingMode": "PAY_PER_REQUEST"})
    if "ResourceInUseException" in answer.get("__type", ""):
        return
    if "__type" in answer:
        raise StartError(f"table {table.get('TableName')}: {answer.get('message', answer)}")
    if "TimeToLiveSpecification" in table:
        ttl = {key: table[key] for key in ("TableName", "TimeToLiveSpecification")}
        _call(endpoint_url, region, "UpdateTimeToLive", ttl)


def _call(
    endpoint_url: str, region: str, operation: str, payload: Mapping[str, Any]
) -> dict[str, Any]:
    # Local engines read the region from the credential's scope and check no signature. A plain
    # request spares the 0.2 s that importing boto3 and building a client would add to each start.
    scope = f"local/20260101/{region}/dynamodb/aws4_request"
    if not endpoint_url.startswith("http://"):
        raise StartError(f"the database at {endpoint_url}: write http://HOST:PORT")
    connection = http.client.HTTPConnection(
        endpoint_url.removeprefix("http://").rstrip("/"), timeout=10
    )
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
    }
    try:
        connection.request("POST", "/", json.dumps(payload), headers)
        answer: Any = json.loads(connection.getresponse().read())
        if not isinstance(answer, dict):
            raise ValueError("its answer is no JSON object")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise StartError(f"the database at {endpoint_url} does not answer: {error}") from error
    finally:
        connection.close()
    return answer


def _environment(directory: Path) -> dict[str, str]:
    # Nothing of the caller's environment: an option of MiniStack set there for another purpose
    # (persistence, say) must not change what this engine does.
    return {
        "LOG_LEVEL": "WARNING",
        "SERVICES": "dynamodb,sqs",
        "TMPDIR": str(directory),
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
    }


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def reserve(port: int) -> socket.socket:
    """Return a socket on a port nobody has, ``port`` itself unless it is 0; raises ``StartError``.

    It does not listen: until an engine does, connections are refused, and nobody gets the port.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reserved.bind((HOST, port))
        # Or Linux lets others bind it, too, until somebody listens. The engine sets it again.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError as error:
        reserved.close()
        raise StartError(
            f"port {port}, where the embedded database goes, is taken: stop what runs there, "
            "choose another with --database-port (make run DATABASE_PORT=8101), or use what "
            "runs there with --database URL"
        ) from error
    return reserved
