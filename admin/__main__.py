"""``python -m admin``: the command line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from admin.keys import Keys
from admin.stage import stage_environ
from chalicelib import bootstrap
from chalicelib.bootstrap import Services
from chalicelib.errors import PortcullisError
from chalicelib.managed_keys import MAX_DAYS
from chalicelib.principals import PRINCIPAL_RULE, is_principal_id
from chalicelib.settings import Settings

# A connection that is being opened can be closed once that is done.
CLOSING_SECONDS = 15.0


def _named(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not is_principal_id(value):
        raise click.BadParameter(f"a principal is {PRINCIPAL_RULE}")
    return value


_stage = click.option(
    "--stage", required=True, metavar="NAME", help="Chalice stage of config.json."
)
_project_dir = click.option(
    "--project-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, resolve_path=True),
    default=Path(),
    help="The project, where .chalice is.",
)


_principal_id = click.argument("principal_id", metavar="ID", callback=_named)


@click.group()
def main() -> None:
    """Do what operators do, with the AWS credentials of this machine."""


@main.group()
def keys() -> None:
    """API keys. Those who run this need PutItem, UpdateItem and Query on the table."""


@keys.command()
@_stage
@_project_dir
@click.option("--principal", required=True, metavar="ID", help="Whom the key speaks for.")
@click.option("--scopes", metavar="'A B'", help="What it may do; the stage's DEFAULT_SCOPES.")
@click.option("--days", type=click.IntRange(1, MAX_DAYS), help="How long it is good; for ever.")
def create(
    stage: str, project_dir: Path, principal: str, scopes: str | None, days: int | None
) -> None:
    """Make a key and print it. It cannot be shown again."""
    with _keys(stage, project_dir) as keys:
        click.echo(keys.create(principal, scopes, days))
    click.echo("Keep it now: only a digest of it is stored.", err=True)


@keys.command(name="list")
@_stage
@_project_dir
def list_(stage: str, project_dir: Path) -> None:
    """Print id, state, creation, end, principal and scopes of every key."""
    with _keys(stage, project_dir) as keys:
        for line in keys.lines():
            click.echo(line)


@keys.command()
@_stage
@_project_dir
@click.argument("key_id")
def revoke(stage: str, project_dir: Path, key_id: str) -> None:
    """Let a key open no more connections; those that are open end when they would have."""
    with _keys(stage, project_dir) as keys:
        keys.revoke(key_id)
    click.echo(f"{key_id} is revoked.", err=True)


@main.group()
def principals() -> None:
    """Whoever is let in. Those who run this need what the role of api_handler allows."""


@principals.command(name="revoke")
@_stage
@_project_dir
@_principal_id
def revoke_principal(stage: str, project_dir: Path, principal_id: str) -> None:
    """Close all connections of a principal, and keep it out.

    Tokens issued later let in again; keys and shared tokens do not, before `allow`.
    """
    with _services(stage, project_dir) as services:
        revoked = services.revoker().revoke(principal_id, CLOSING_SECONDS)
    click.echo(f"{principal_id} is revoked; {revoked.closed} connections were closed.", err=True)
    if revoked.left:
        click.echo(f"{revoked.left} more are silent, and closed within minutes.", err=True)


@principals.command()
@_stage
@_project_dir
@_principal_id
def allow(stage: str, project_dir: Path, principal_id: str) -> None:
    """Let a principal in again, with whatever credential it has."""
    with _services(stage, project_dir) as services:
        services.revocations.allow(principal_id)
    click.echo(f"{principal_id} is let in.", err=True)


@contextmanager
def _services(stage: str, project_dir: Path) -> Iterator[Services]:
    try:
        environ = stage_environ(project_dir, stage, os.environ)
        settings = Settings.from_environ(environ)
        services = bootstrap.build(settings, bootstrap.credentials_provider(environ))
        with services.executor:
            yield services
    except PortcullisError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _keys(stage: str, project_dir: Path) -> Iterator[Keys]:
    try:
        environ = stage_environ(project_dir, stage, os.environ)
        settings = Settings.from_environ(environ)
        store = bootstrap.key_store(settings, bootstrap.credentials_provider(environ))
        yield Keys(store, settings.default_scopes, time.time)
    except PortcullisError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
