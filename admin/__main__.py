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
from chalicelib.errors import PortcullisError
from chalicelib.settings import Settings

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


@click.group()
def main() -> None:
    """Do what operators do, with the AWS credentials of this machine."""


@main.group()
def keys() -> None:
    """API keys. Those who run this need GetItem, PutItem, UpdateItem and Query on the table."""


@keys.command()
@_stage
@_project_dir
@click.option("--principal", required=True, metavar="ID", help="Whom the key speaks for.")
@click.option("--scopes", metavar="'A B'", help="What it may do; the stage's DEFAULT_SCOPES.")
@click.option("--days", type=click.IntRange(1, 3650), help="How long it is good; for ever.")
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
