"""The options that every command has, and what they come to."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from wsclient import stages, target
from wsclient.connection import Connection, trust
from wsclient.credentials import TOKEN_VARIABLE, TokenSource
from wsclient.errors import WrongInput
from wsclient.printing import Printer
from wsclient.session import Connected, Keeping, Session
from wsclient.target import Target
from wsclient.tickets import PARAMETER, check_ticket_url, fetch_ticket

URL_VARIABLE = "WSCLIENT_URL"

_FILE = click.Path(path_type=Path, dir_okay=False)
_SECONDS = click.FloatRange(min=0, min_open=True)
Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = [
    click.option("--stage", metavar="NAME", help="Connect to this stage, as Chalice deployed it."),
    click.option(
        "--project-dir",
        metavar="DIR",
        type=click.Path(path_type=Path),
        default=Path(),
        help="Where --stage looks for .chalice/deployed.",
    ),
    click.option(
        "--token",
        metavar="TEXT",
        help="The token. It stays in the shell's history: for trying things out.",
    ),
    click.option(
        "--token-file", metavar="FILE", type=_FILE, help=f"Read it; ${TOKEN_VARIABLE} works too."
    ),
    click.option("--ask-token", is_flag=True, help="Ask for it, without showing what is typed."),
    click.option(
        "--token-in",
        metavar="PLACE",
        help="Where it goes: header:NAME, bearer, query:NAME or protocol. A JWT or an API key is "
        "bearer unless you say, all else header:token.",
    ),
    click.option(
        "--ticket-from",
        metavar="URL",
        help="Show the token to the HTTP API at URL alone, for a ticket to connect with.",
    ),
    click.option("--header", "headers", metavar="NAME:VALUE", multiple=True, help="Repeatable."),
    click.option("--query", "queries", metavar="NAME=VALUE", multiple=True, help="Repeatable."),
    click.option(
        "--subprotocol", "subprotocols", metavar="NAME", multiple=True, help="Repeatable."
    ),
    click.option("--ca-file", metavar="FILE", type=_FILE, help="Trust these certificates instead."),
    click.option(
        "--timeout",
        metavar="SECONDS",
        type=_SECONDS,
        default=35.0,
        show_default=True,
        help="Of a handshake, and for an answer. API Gateway gives up after 29.",
    ),
    click.option(
        "--ping-every",
        metavar="SECONDS",
        type=_SECONDS,
        default=540.0,
        show_default=True,
        help="API Gateway closes what is idle for 600.",
    ),
    click.option(
        "--json/--text",
        "as_json",
        default=None,
        help="JSON lines, or words. JSON where the output is no terminal.",
    ),
    click.option("--color/--no-color", default=None, help="Colour, on a terminal, is the default."),
]

_RECONNECTING = [
    click.option(
        "--reconnect", is_flag=True, help="Connect again when the connection is lost or renewed."
    ),
    click.option(
        "--renew-after",
        metavar="SECONDS",
        type=_SECONDS,
        default=6900.0,
        show_default=True,
        help="With --reconnect. API Gateway closes after 7,200.",
    ),
]

join_option = click.option(
    "--join", "channels", metavar="CHANNEL", multiple=True, help="Join it first. Repeatable."
)
audience_option = click.option(
    "--to",
    "audience",
    metavar="AUDIENCE",
    default="everyone",
    show_default=True,
    help="everyone, principal:ID, channel:NAME or connection:ID.",
)


def connection_options(command: Command) -> Command:
    """Add the options of every command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def reconnecting_options(command: Command) -> Command:
    """Add the options of commands that may run for long."""
    for option in reversed(_RECONNECTING):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Options:
    """What the options of ``connection_options`` said."""

    stage: str | None
    project_dir: Path
    token: str | None = field(repr=False)
    token_file: Path | None
    ask_token: bool
    token_in: str | None
    ticket_from: str | None
    headers: tuple[str, ...] = field(repr=False)
    queries: tuple[str, ...] = field(repr=False)
    subprotocols: tuple[str, ...]
    ca_file: Path | None
    timeout: float
    ping_every: float
    as_json: bool | None
    color: bool | None
    reconnect: bool = False
    renew_after: float = 6900.0

    def session(
        self,
        url: str | None,
        channels: tuple[str, ...],
        environ: Mapping[str, str],
        notice: Callable[[str], None],
    ) -> Session:
        """Return a session that is not open yet; raises WrongInput."""
        return Session(
            self._connect(url, environ, notice),
            Keeping(self.ping_every, self.renew_after, self.reconnect, self.timeout),
            channels,
            notice=notice,
            clock=time.monotonic,
            chance=random.random,
        )

    def printer(
        self, environ: Mapping[str, str], time_of_day: Callable[[], str] | None = None
    ) -> Printer:
        """Return what writes frames to the standard output."""
        is_terminal = sys.stdout.isatty()
        sober = bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
        return Printer(
            stream=sys.stdout,
            as_json=not is_terminal if self.as_json is None else self.as_json,
            colour=is_terminal and not sober if self.color is None else self.color,
            time_of_day=time_of_day,
        )

    def _connect(
        self, url: str | None, environ: Mapping[str, str], notice: Callable[[str], None]
    ) -> Callable[[], Connected]:
        goal = self._target(url, environ)
        context = trust(self.ca_file)
        chosen = None if self.token_in is None else target.check_place(self.token_in)
        ticket_url = None if self.ticket_from is None else check_ticket_url(self.ticket_from)
        source = TokenSource(self.token, self.token_file, self.ask_token)
        token = source.read(environ, ask_for_token)
        place = chosen or target.usual_place(token)
        if token is not None:
            target.check_token(token, "bearer" if ticket_url else place)
        if ticket_url is not None and token is None:
            raise WrongInput("--ticket-from needs a token to show; see --token-file")
        if token is not None and ticket_url is None:
            goal = goal.with_token(token, place)
        if goal.in_the_clear and (token is not None or goal.headers or goal.query):
            notice("ws:// carries credentials in the clear; wss:// does not.")

        def connect() -> Connected:
            aim = goal
            if ticket_url is not None and token is not None:
                ticket = fetch_ticket(ticket_url, token, timeout=self.timeout, context=context)
                aim = goal.with_query(PARAMETER, ticket)
            return Connection.open(aim, timeout=self.timeout, context=context)

        return connect

    def _target(self, url: str | None, environ: Mapping[str, str]) -> Target:
        if url is not None and self.stage is not None:
            raise WrongInput("give a URL or --stage, not both")
        if self.stage is not None:
            url = stages.stage_url(self.stage, self.project_dir)
        elif url is None:
            url = environ.get(URL_VARIABLE) or stages.LOCAL_URL
        return Target(
            target.check_url(url),
            target.parse_headers(self.headers),
            target.parse_query(self.queries),
            target.check_subprotocols(self.subprotocols),
        )


def ask_for_token() -> str:
    """Ask on the terminal, without showing what is typed."""
    token: str = click.prompt("Token", hide_input=True, err=True)
    return token
