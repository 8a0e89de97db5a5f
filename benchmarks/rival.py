"""serverless-offline with the same API, started in its fastest set-up: see ``rival/``."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.server_process import HEADERS, Server, free_port, running
from benchmarks.target import Target, say

_DIRECTORY = Path(__file__).parent / "rival"
# The shell becomes the server, so the database is its child, as our gateway's engine is: both
# trees' memory is counted whole. The clock starts when the table is there.
_SCRIPT = """
node node_modules/dynalite/cli.js --host 127.0.0.1 --port "$DYNAMODB_PORT" \\
    --createTableMs 0 --deleteTableMs 0 &
until node -e "import('./handlers.mjs').then((handlers) => handlers.createTable())"; do
    sleep 0.1
done
touch "$READY"
exec node node_modules/osls/bin/serverless.js offline --useInProcess --noPrependStageInUrl \\
    --noSponsor --host 127.0.0.1 --httpPort "$HTTP_PORT" --websocketPort "$PORT" \\
    --lambdaPort "$LAMBDA_PORT"
"""


@contextmanager
def serverless_offline() -> Iterator[Server]:
    """Run the rival with a database and a table of its own, on free ports."""
    _install()
    with tempfile.TemporaryDirectory() as name:
        ready = Path(name) / "ready"
        ports = {key: free_port() for key in ("DYNAMODB_PORT", "HTTP_PORT", "LAMBDA_PORT", "PORT")}
        environment = {
            **os.environ,
            **{key: str(port) for key, port in ports.items()},
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "DYNAMODB_URL": f"http://127.0.0.1:{ports['DYNAMODB_PORT']}",
            "MANAGEMENT_URL": f"http://127.0.0.1:{ports['PORT']}",
            "READY": str(ready),
            "SLS_NOTIFICATIONS_MODE": "off",
            "SLS_TELEMETRY_DISABLED": "1",
            "TABLE_NAME": "connections",
        }
        target = Target("127.0.0.1", ports["PORT"], "/", HEADERS)
        with running(
            ["sh", "-c", _SCRIPT],
            target,
            directory=_DIRECTORY,
            environment=environment,
            ready=ready,
        ) as server:
            yield server


def _install() -> None:
    if not (_DIRECTORY / "node_modules").is_dir():
        say("installing serverless-offline")
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
        subprocess.run(command, cwd=_DIRECTORY, check=True, timeout=600)
