"""``python -m wsclient admin``: what operators do over the HTTP API."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from wsclient import stages, target
from wsclient.connection import trust
from wsclient.credentials import TOKEN_VARIABLE, TokenSource
from wsclient.errors import WrongInput
from wsclient.http_api import HttpApi, check_http_url
from wsclient.options import ask_for_token
from wsclient.printing import json_line, output

URL_VARIABLE = "WSCLIENT_HTTP_URL"
POLL_SECONDS = 1.0

Environ = Mapping[str, str]
Command = TypeVar("Command", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False)

_OPTIONS = [
    click.option("--http", "url", metavar="URL", help=f"The HTTP API; ${URL_VARIABLE} works too."),
    click.option("--stage", metavar="NAME", help="Ask this stage, as Chalice deployed it."),
    click.option(
        "--project-dir",
        metavar="DIR",
        type=click.Path(path_type=Path),
        default=Path(),
        help="Where --stage looks for .chalice/deployed.",
    ),
    click.option("--token", metavar="TEXT", help="For trying things out: the history keeps it."),
    click.option(
        "--token-file", metavar="FILE", type=_FILE, help=f"Read it; ${TOKEN_VARIABLE} works too."
    ),
    click.option("--ask-token", is_flag=True, help="Ask for it, without showing what is typed."),
    click.option("--ca-file", metavar="FILE", type=_FILE, help="Trust these certificates instead."),
    click.option(
        "--timeout", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True), default=35.0
    ),
]


def http_options(command: Command) -> Command:
    """Add the options of every command of operators."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group(short_help="Do what operators do, over the HTTP API.")
def admin() -> None:
    """Do what operators do, over the HTTP API; the token needs the scope admin, or publish.

    Answers are lines of JSON. Keys are made with `python -m admin keys`.
    """


@admin.command("connections")
@click.option("--to", "audience", metavar="AUDIENCE", default="everyone", show_default=True)
@click.option("--page", type=click.IntRange(1, 500), default=500, help="Read so many at once.")
@http_options
@click.pass_obj
def list_connections(environ: Environ, /, audience: str, page: int, **options: Any) -> None:
    """List who is in an audience."""
    for connection in _api(environ, **options).connections(audience, page):
        _show(connection)


@admin.command("show")
@click.argument("connection_id")
@http_options
@click.pass_obj
def show_connection(environ: Environ, /, connection_id: str, **options: Any) -> None:
    """Show what the table and API Gateway know of a connection."""
    _show(_api(environ, **options).connection(connection_id))


@admin.command("disconnect", short_help="Close a connection, or all of a principal.")
@click.argument("connection_id", required=False)
@click.option("--principal", metavar="ID", help="Close all connections of this principal.")
@http_options
@click.pass_obj
def disconnect(
    environ: Environ, /, connection_id: str | None, principal: str | None, **options: Any
) -> None:
    """Close a connection, or all of a principal; their clients are told."""
    if (connection_id is None) == (principal is None):
        raise WrongInput("name a CONNECTION_ID or a --principal")
    api = _api(environ, **options)
    if connection_id is not None:
        return _show(api.disconnect(connection_id))
    while True:
        answer = api.disconnect_all(str(principal))
        _show(answer)
        if not answer.get("incomplete") or not answer["closed"] + answer["gone"]:
            return None


@admin.command("revoke")
@click.argument("principal")
@http_options
@click.pass_obj
def revoke(environ: Environ, /, principal: str, **options: Any) -> None:
    """Keep a principal out, and close the connections it has."""
    _show(_api(environ, **options).revoke(principal))


@admin.command("allow")
@click.argument("principal")
@http_options
@click.pass_obj
def allow(environ: Environ, /, principal: str, **options: Any) -> None:
    """Let a principal in again."""
    _show(_api(environ, **options).allow(principal))


@admin.command("publish")
@click.argument("message")
@click.option("--to", "audience", metavar="AUDIENCE", default="everyone", show_default=True)
@click.option("--key", metavar="KEY", help="Repeat the command under it: it is sent once.")
@click.option("--wait", is_flag=True, help="Wait until everybody has been sent to.")
@http_options
@click.pass_obj
def publish(
    environ: Environ,
    /,
    message: str,
    audience: str,
    key: str | None,
    *,
    wait: bool,
    **options: Any,
) -> None:
    """Send a message to an audience."""
    api = _api(environ, **options)
    answer = api.publish(audience, message, key)
    _show(answer)
    if wait and "jobId" in answer:
        _wait(api, answer["jobId"])


@admin.command("job")
@click.argument("job_id")
@click.option("--wait", is_flag=True, help="Wait until it is done.")
@http_options
@click.pass_obj
def show_job(environ: Environ, /, job_id: str, *, wait: bool, **options: Any) -> None:
    """Show what has come of a large delivery."""
    api = _api(environ, **options)
    if wait:
        _wait(api, job_id)
    else:
        _show(api.job(job_id))


def _wait(api: HttpApi, job_id: str) -> None:
    while not (answer := api.job(job_id))["done"]:
        if sys.stderr.isatty():
            click.echo(f"\rsent to {answer['delivery']['targeted']} so far", err=True, nl=False)
        time.sleep(POLL_SECONDS)
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
    _show(answer)


def _show(answer: Mapping[str, Any]) -> None:
    with output():
        click.echo(json_line(dict(answer)))


def _api(
    environ: Environ,
    *,
    url: str | None,
    stage: str | None,
    project_dir: Path,
    token: str | None,
    token_file: Path | None,
    ask_token: bool,
    ca_file: Path | None,
    timeout: float,
) -> HttpApi:
    if url is not None and stage is not None:
        raise WrongInput("give --http or --stage, not both")
    if stage is not None:
        url = stages.http_url(stage, project_dir)
    url = url or environ.get(URL_VARIABLE) or stages.LOCAL_HTTP_URL
    shown = TokenSource(token, token_file, ask_token).read(environ, ask_for_token)
    if shown is not None:
        target.check_token(shown, "bearer")
    return HttpApi(check_http_url(url), shown, timeout, trust(ca_file))
