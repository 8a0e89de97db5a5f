"""``python -m wsclient admin keys``: API keys, over the HTTP API."""

from __future__ import annotations

import re
from typing import Any

import click

from wsclient.errors import ExitCode, RequestFailed, WrongInput
from wsclient.http_api import part
from wsclient.http_options import Environ, http_options, open_api, show, show_text
from wsclient.progress import bar_over, counted
from wsclient.words import printable

_KEY_ID = re.compile(r"[0-9a-f]{16}")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys; the token needs the scope admin:keys.

    The first key of a stage is made with `python -m admin keys`, which needs AWS credentials.
    """


@keys.command("create")
@click.option("--principal", required=True, metavar="ID", help="Whom the key speaks for.")
@click.option("--scopes", required=True, metavar="'A B'", help="What it may do, of what you may.")
@click.option("--days", type=click.IntRange(1, 3650), help="How long it is good; for ever.")
@http_options
@click.pass_obj
def create_key(
    environ: Environ, /, principal: str, scopes: str, days: int | None, **options: Any
) -> None:
    """Make a key and print it, and nothing else. It cannot be shown again."""
    answer = open_api(environ, **options).create_key(principal, scopes.split(), days)
    show_text(printable(str(part(answer, "key"))))
    click.echo("wsclient: keep it now: only a digest of it is stored.", err=True)


@keys.command("list")
@click.option("--page", type=click.IntRange(1, 500), default=500, help="Read so many at once.")
@http_options
@click.pass_obj
def list_keys(environ: Environ, /, page: int, **options: Any) -> None:
    """List all keys, revoked and expired ones too, without their secrets."""
    for key in counted(open_api(environ, **options).keys(page)):
        show(key)


@keys.command("revoke")
@click.argument("key_ids", metavar="KEY_ID...", nargs=-1, required=True)
@http_options
@click.pass_obj
def revoke_keys(environ: Environ, /, key_ids: tuple[str, ...], **options: Any) -> ExitCode:
    """Let keys admit nobody any more; one that is unknown does not stop the others."""
    if not all(map(_KEY_ID.fullmatch, key_ids)):
        # Not repeated: it may be a whole key.
        raise WrongInput("the id of a key has 16 characters: those after pk_")
    api, outcome = open_api(environ, **options), ExitCode.OK
    with bar_over(key_ids, "Revoking") as rest:
        for key_id in rest:
            try:
                show(api.revoke_key(key_id))
            except RequestFailed as problem:
                outcome = problem.exit_code
                click.echo(f"\rwsclient: {key_id}: {problem}", err=True)
    return outcome
