"""The options of every command of operators, what they come to, and how answers are printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from wsclient import stages, target
from wsclient.connection import trust
from wsclient.credentials import TOKEN_VARIABLE, TokenSource
from wsclient.errors import WrongInput
from wsclient.http_api import HttpApi
from wsclient.http_url import check_http_url
from wsclient.options import ask_for_token
from wsclient.printing import json_line, output

URL_VARIABLE = "WSCLIENT_HTTP_URL"

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


def show(answer: Mapping[str, Any]) -> None:
    """Print an answer as a line of JSON; raises as ``show_text``."""
    show_text(json_line(dict(answer)))


def show_text(text: str) -> None:
    """Print a line; raises OutputGone or OutputFailed."""
    with output():
        click.echo(text)


def open_api(
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
    """Return the HTTP API that the options name; raises WrongInput."""
    if url is not None and stage is not None:
        raise WrongInput("give --http or --stage, not both")
    if stage is not None:
        url = stages.http_url(stage, project_dir)
    url = url or environ.get(URL_VARIABLE) or stages.LOCAL_HTTP_URL
    shown = TokenSource(token, token_file, ask_token).read(environ, ask_for_token)
    if shown is not None:
        target.check_token(shown, "bearer")
    return HttpApi(check_http_url(url), shown, timeout, trust(ca_file))
