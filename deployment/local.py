"""``python -m deployment.local``: deploy a stage to an emulator, and try it as a client does."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from deployment.local_client import LocalClient
from deployment.local_emulator import EmulatorFailed, LocalEmulator
from deployment.local_project import LocalProject

ALLOWED_ORIGIN = "https://allowed.example.com"
DEVIATIONS = (
    "MiniStack is not API Gateway: a wrong credential is answered 500 (AWS: 401), mapping "
    "templates are not rendered, deployments take no snapshots, roles are not enforced."
)


@click.command(context_settings={"show_default": True})
@click.option("--stage", default="dev", help="Chalice's stage.")
@click.option(
    "--project-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True, resolve_path=True),
    default=Path(),
    help="The Chalice project.",
)
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="0: a free one.")
@click.option("--message", default='{"action": "sendmessage", "message": "hello"}')
@click.option(
    "--refuse-origin",
    metavar="ORIGIN",
    help="Allow pages of another origin only, and see that those of this one get 403.",
)
@click.option(
    "--credential-in",
    metavar="PLACE",
    default="route.request.header.token",
    help="Where the credential goes if the authorizer names no identity source.",
)
@click.option("--keep", is_flag=True, help="Leave it running until Ctrl-C.")
def main(
    *,
    stage: str,
    project_dir: Path,
    port: int,
    message: str,
    refuse_origin: str | None,
    credential_in: str,
    keep: bool,
) -> None:
    """Deploy with the unmodified `chalice deploy`. Exit: 0 if all went right, 1 if not."""
    try:
        with _emulator(port) as emulator, tempfile.TemporaryDirectory() as directory:
            environ = emulator.environ(os.environ)
            project = LocalProject.copy(project_dir, Path(directory), stage, environ)
            client = _deploy(emulator, project, refuse_origin, credential_in)
            went_right = _try(client, message, refuse_origin)
            if keep:
                _keep(client)
    except EmulatorFailed as failure:
        raise click.ClickException(f"the emulator did not start: {failure}") from None
    except subprocess.CalledProcessError as failure:
        raise click.ClickException(f"chalice deploy failed ({failure.returncode})") from None
    sys.exit(not went_right)


@contextmanager
def _emulator(port: int) -> Iterator[LocalEmulator]:
    with LocalEmulator(os.environ, port) as emulator:
        click.echo(f"emulator: {emulator.endpoint_url}")
        click.echo(DEVIATIONS)
        yield emulator


def _deploy(
    emulator: LocalEmulator, project: LocalProject, refuse_origin: str | None, credential_in: str
) -> LocalClient:
    if refuse_origin is not None:
        project.set_variable("ALLOWED_ORIGINS", ALLOWED_ORIGIN)
    credential = secrets.token_urlsafe(24)
    clients = emulator.client("ssm"), emulator.client("secretsmanager")
    for place in project.store_secrets(*clients, credential):
        click.echo(f"stored a random credential: {place}")
    click.echo(f"$ chalice deploy --stage {project.stage}")
    for line in project.chalice("deploy"):
        click.echo(f"  {line}")
    api_id, stage = project.websocket_api()
    authorizers = emulator.client("apigatewayv2").get_authorizers(ApiId=api_id)["Items"]
    identity_sources = [source for it in authorizers for source in it["IdentitySource"]]
    places = identity_sources or [credential_in]
    url = emulator.websocket_url(api_id, stage)
    return LocalClient(url, identity_sources, places, credential)


def _try(client: LocalClient, message: str, refuse_origin: str | None) -> bool:
    click.echo(f"WebSocket URL here: {client.url}")
    went_right = True
    for step in client.steps(message, refuse_origin):
        click.echo(step.line())
        went_right = went_right and step.is_right
    click.echo("all as it should be" if went_right else "NOT as it should be")
    return went_right


def _keep(client: LocalClient) -> None:
    caught: list[int] = []  # no Event: whoever waits for it holds the lock that setting it needs
    for number in (signal.SIGINT, signal.SIGTERM):  # before it says what they are good for
        signal.signal(number, lambda number, _: caught.append(number))
    click.echo(f"running until Ctrl-C; the credential is {client.credential}, expected in")
    for place in client.places:
        click.echo(f"  {place}")
    while not caught:
        time.sleep(0.1)


if __name__ == "__main__":
    main()
