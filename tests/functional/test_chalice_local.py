"""The TOKEN authorizer under plain ``chalice local``, which is not what AWS does in all."""

import http.client
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chalicelib.api import connection_table
from localgateway.database import EmbeddedDatabase
from tests.chalice_project import ChaliceProject
from tests.functional.test_packaging import CHALICE


@contextmanager
def chalice_local(directory: Path, **variables: str) -> Iterator[int]:
    """Serve a copy of the app, with variables in its config.json.

    There, for Chalice puts what is written there over the environment.
    """
    project = ChaliceProject.copy(directory)
    project.configure(
        lambda config: config["stages"]["local"]["environment_variables"].update(variables)
    )
    with serving(project, "local", "/health") as port:
        yield port


@contextmanager
def serving(project: ChaliceProject, stage: str, path: str) -> Iterator[int]:
    """Serve a project on a free port, as a user does; ``path`` is one that answers anybody."""
    with reserved_port() as port:
        process = subprocess.Popen(
            [*CHALICE, "local", "--stage", stage, "--no-autoreload", "--port", str(port)],
            cwd=project.directory,
            env=dict(project.environ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 60
            while post(port, path=path, method="GET") is None:
                assert process.poll() is None, "it has ended"
                assert time.monotonic() < deadline, "it does not answer"
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def reserved_port() -> Iterator[int]:
    """Yield a port that nobody is given by chance; who asks for it by its number may listen there.

    Two may have an address that both of them let be used again, as long as one listens at most.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def post(
    port: int, authorization: str | None = None, path: str = "/tickets", method: str = "POST"
) -> int | None:
    """Return the status; None where there is no answer at all."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {} if authorization is None else {"Authorization": authorization}
    try:
        connection.request(method, path, headers=headers)
        return connection.getresponse().status
    except (http.client.RemoteDisconnected, ConnectionError):
        return None
    finally:
        connection.close()


def test_a_bad_credential_gets_no_answer_where_aws_says_401(
    tmp_path: Path, database: EmbeddedDatabase
) -> None:
    # Whoever is let in is looked up among those who are kept out.
    database.create_table(connection_table("chalice-local"))
    known = {"TABLE_NAME": "chalice-local", "AWS_ENDPOINT_URL_DYNAMODB": database.endpoint_url}
    # The local gateway does as AWS does: tests/end_to_end/test_authorizers.py
    with chalice_local(tmp_path / "granted", CONSOLE="off", **known) as port:
        assert post(port) == 401
        assert post(port, "Bearer wrong") is None
        assert post(port, "Basic aGVsbG8=") is None
        assert post(port, "Bearer hello") == 404, "let in, but this stage has no tickets"
    with chalice_local(tmp_path / "denied", DEFAULT_SCOPES="sendmessage", **known) as port:
        assert post(port, "Bearer hello") == 403
