"""``python -m wsclient admin``: what operators do over the HTTP API."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from wsclient.connection_ids import TakesConnectionId
from wsclient.errors import WrongInput
from wsclient.http_api import HttpApi
from wsclient.http_options import Environ, http_options, open_api, show
from wsclient.key_commands import keys
from wsclient.progress import counted

POLL_SECONDS = 1.0


@click.group(short_help="Do what operators do, over the HTTP API.")
def admin() -> None:
    """Do what operators do, over the HTTP API; the token needs the scope admin.

    For publish and job it is publish, for keys admin:keys. Answers are lines of JSON.
    """


admin.add_command(keys)


@admin.command("connections")
@click.option("--to", "audience", metavar="AUDIENCE", default="everyone", show_default=True)
@click.option("--page", type=click.IntRange(1, 500), default=500, help="Read so many at once.")
@http_options
@click.pass_obj
def list_connections(environ: Environ, /, audience: str, page: int, **options: Any) -> None:
    """List who is in an audience."""
    for connection in counted(open_api(environ, **options).connections(audience, page)):
        show(connection)


@admin.command("show", cls=TakesConnectionId)
@click.argument("connection_id")
@http_options
@click.pass_obj
def show_connection(environ: Environ, /, connection_id: str, **options: Any) -> None:
    """Show what the table and API Gateway know of a connection."""
    show(open_api(environ, **options).connection(connection_id))


@admin.command(
    "disconnect",
    cls=TakesConnectionId,
    short_help="Close a connection, or all of a principal.",
)
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
    api = open_api(environ, **options)
    if connection_id is not None:
        return show(api.disconnect(connection_id))
    while True:
        answer = api.disconnect_all(str(principal))
        show(answer)
        if not answer.get("incomplete") or not answer["closed"] + answer["gone"]:
            return None


@admin.command("revoke")
@click.argument("principal")
@http_options
@click.pass_obj
def revoke(environ: Environ, /, principal: str, **options: Any) -> None:
    """Keep a principal out, and close the connections it has."""
    show(open_api(environ, **options).revoke(principal))


@admin.command("allow")
@click.argument("principal")
@http_options
@click.pass_obj
def allow(environ: Environ, /, principal: str, **options: Any) -> None:
    """Let a principal in again."""
    show(open_api(environ, **options).allow(principal))


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
    api = open_api(environ, **options)
    answer = api.publish(audience, message, key)
    show(answer)
    if wait and "jobId" in answer:
        _wait(api, answer["jobId"])


@admin.command("job")
@click.argument("job_id")
@click.option("--wait", is_flag=True, help="Wait until it is done.")
@http_options
@click.pass_obj
def show_job(environ: Environ, /, job_id: str, *, wait: bool, **options: Any) -> None:
    """Show what has come of a large delivery."""
    api = open_api(environ, **options)
    if wait:
        _wait(api, job_id)
    else:
        show(api.job(job_id))


def _wait(api: HttpApi, job_id: str) -> None:
    while not (answer := api.job(job_id))["done"]:
        if sys.stderr.isatty():
            click.echo(f"\rsent to {answer['delivery']['targeted']} so far", err=True, nl=False)
        time.sleep(POLL_SECONDS)
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
    show(answer)
