"""The commands, and what ends them as exit codes."""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from wsclient import sending
from wsclient.admin_commands import admin
from wsclient.chat import Chat
from wsclient.errors import ClientError, ExitCode, OutputFailed, OutputGone, WrongInput
from wsclient.listening import listen as listen_to
from wsclient.options import (
    Options,
    audience_option,
    connection_options,
    join_option,
    reconnecting_options,
)
from wsclient.printing import Printer
from wsclient.protocol import Frame, is_error
from wsclient.session import Session
from wsclient.target import check_url, is_url
from wsclient.terminal import Terminal
from wsclient.words import printable

Environ = Mapping[str, str]
_SETTINGS: Any = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}


def run(arguments: Sequence[str], environ: Environ) -> int:
    """Carry out a command line; return the exit code."""
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        result = cli.main(
            list(arguments), prog_name="python -m wsclient", standalone_mode=False, obj=environ
        )
        return int(result or 0)
    except click.Abort:
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ClientError as error:
        if isinstance(error, (OutputGone, OutputFailed)):  # or Python fails as it flushes
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, OutputGone):
            _notice(str(error))
        return error.exit_code


def _open_what_is_closed() -> None:
    """Have all three standard streams: what a shell has closed (``>&-``) is as ``/dev/null``.

    A connection would else take the free descriptor, and be written to.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


_HELP = """Use a WebSocket API from the command line, as a client does.

URL is ws://… or wss://…; without one, and without --stage, it is $WSCLIENT_URL or what `make run`
serves here.

\b
Exit codes:
  0  done                      4  no connection (unreachable, TLS, 429, 5xx)
  1  answered with an error    5  closed by the server, or lost
  2  wrong usage               6  no answer in time
  3  refused: 401 or 403       130  Ctrl-C

\b
Examples:
  python -m wsclient chat --ask-token
  python -m wsclient send "it is me" --to channel:news --token-file token.txt
  tail -f app.log | python -m wsclient send
  python -m wsclient listen --join news --count 1 | jq .message
"""


@click.group(context_settings=_SETTINGS, help=_HELP)
def cli() -> None:
    """Hold the commands together."""


@cli.command(context_settings=_SETTINGS, short_help="Talk on a terminal.")
@click.argument("arguments", metavar="[URL]", nargs=-1)
@audience_option
@join_option
@connection_options
@reconnecting_options
@click.pass_obj
def chat(
    environ: Environ,
    /,
    arguments: tuple[str, ...],
    audience: str,
    channels: tuple[str, ...],
    **options: Any,
) -> None:
    """Talk: lines typed are sent, frames are shown as they come. /help lists its commands."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise WrongInput("chat is for a terminal; scripts use send and listen")
    chosen = Options(**options)
    printer = chosen.printer(environ, lambda: time.strftime("%H:%M:%S"))
    keyboard = sys.stdin.fileno()
    terminal = Terminal(keyboard, sys.stdout)

    def notice(text: str) -> None:
        terminal.above(f"wsclient: {printable(text)}")

    session = chosen.session(_url_alone(arguments), channels, environ, notice)
    with _open(session):
        Chat(session, terminal, printer, audience).run(keyboard)


@cli.command(
    context_settings=_SETTINGS, short_help="Send a message, or piped lines, and print the answers."
)
@click.argument("arguments", metavar="[URL] [MESSAGE]", nargs=-1)
@audience_option
@join_option
@connection_options
@click.pass_obj
def send(
    environ: Environ,
    /,
    arguments: tuple[str, ...],
    audience: str,
    channels: tuple[str, ...],
    **options: Any,
) -> ExitCode:
    """Send MESSAGE and print its answer; -, or piped input, sends line by line.

    Each line waits for the answer to the one before, so they arrive in order. A first argument
    that begins with ws:// or wss:// is the URL.
    """
    url, message = _url_and_message(arguments)
    chosen = Options(**options)
    printer = chosen.printer(environ)
    session = chosen.session(url, channels, environ, _notice)
    with _open(session):
        if message is not None:
            return sending.send_message(session, message, audience, printer.show)
        return _send_input(session, audience, printer)


@cli.command(context_settings=_SETTINGS, short_help="Print frames as they come.")
@click.argument("arguments", metavar="[URL]", nargs=-1)
@join_option
@click.option("--count", metavar="N", type=click.IntRange(min=1), help="End after N frames.")
@click.option(
    "--for",
    "seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="End after so long; with --count, it is exit code 6 when fewer came.",
)
@connection_options
@reconnecting_options
@click.pass_obj
def listen(
    environ: Environ,
    /,
    arguments: tuple[str, ...],
    channels: tuple[str, ...],
    count: int | None,
    seconds: float | None,
    **options: Any,
) -> ExitCode:
    """Print frames as they come, until Ctrl-C."""
    return _listen(
        environ, _url_alone(arguments), channels, Options(**options), count=count, seconds=seconds
    )


@cli.command(context_settings=_SETTINGS, short_help="Join channels and listen.")
@click.argument("arguments", metavar="[URL] CHANNEL...", nargs=-1)
@click.option("--count", metavar="N", type=click.IntRange(min=1), help="End after N frames.")
@click.option("--for", "seconds", metavar="SECONDS", type=click.FloatRange(min=0))
@connection_options
@reconnecting_options
@click.pass_obj
def join(
    environ: Environ,
    /,
    arguments: tuple[str, ...],
    count: int | None,
    seconds: float | None,
    **options: Any,
) -> ExitCode:
    """Join channels and print frames as they come: listen --join CHANNEL."""
    url = arguments[0] if arguments and is_url(arguments[0]) else None
    channels = arguments if url is None else arguments[1:]
    if not channels:
        raise WrongInput("name a CHANNEL")
    return _listen(environ, url, channels, Options(**options), count=count, seconds=seconds)


cli.add_command(admin)


def _listen(
    environ: Environ,
    url: str | None,
    channels: tuple[str, ...],
    options: Options,
    *,
    count: int | None,
    seconds: float | None,
) -> ExitCode:
    printer = options.printer(environ, lambda: time.strftime("%H:%M:%S"))
    session = options.session(url, channels, environ, _notice)
    with _open(session):
        return listen_to(session, printer.show, count=count, seconds=seconds, clock=time.monotonic)


def _send_input(session: Session, audience: str, printer: Printer) -> ExitCode:
    descriptor = sys.stdin.fileno()
    lines = sending.read_lines(descriptor, sending.wait_on(session))
    is_piped = not sys.stdin.isatty()
    # Words and a bar share a terminal; JSON lines want it for themselves.
    has_bar = is_piped and sys.stderr.isatty() and not (printer.as_json and sys.stdout.isatty())
    if not has_bar:
        return sending.send_lines(session, lines, audience, printer.show, lambda _: None)
    counts = {True: 0, False: 0}

    def show(answer: Frame) -> None:
        counts[is_error(answer)] += 1
        if printer.as_json:
            printer.show(answer)
        elif is_error(answer):
            click.echo(f"\r\x1b[K{printer.line(answer)}", err=True, color=printer.colour)

    size = _size(descriptor)
    sending_bar: Any = click.progressbar(length=size, label="Sending", file=sys.stderr)
    with sending_bar as bar:
        outcome = sending.send_lines(session, lines, audience, show, bar.update)
    _notice(f"{counts[False]} sent, {counts[True]} answered with an error.")
    return outcome


def _size(descriptor: int) -> int | None:
    """Return how many bytes are to come, where that is known: of a file."""
    status = os.fstat(descriptor)
    return status.st_size or None if stat.S_ISREG(status.st_mode) else None


def _terminate(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does: the connection closed, the terminal as it was."""
    sys.exit(ExitCode.TERMINATED)


@contextmanager
def _open(session: Session) -> Iterator[None]:
    try:
        session.open()
        yield
    finally:
        session.close()


def _url_alone(arguments: tuple[str, ...]) -> str | None:
    if len(arguments) > 1:
        raise WrongInput("one URL is enough")
    return check_url(arguments[0]) if arguments else None


def _url_and_message(arguments: tuple[str, ...]) -> tuple[str | None, str | None]:
    has_url = bool(arguments) and is_url(arguments[0])
    url = arguments[0] if has_url else None
    messages = arguments[1:] if has_url else arguments
    if messages and messages[0].startswith(("http://", "https://")) and len(messages) > 1:
        check_url(messages[0])  # says how one is written
    if len(messages) > 1:
        raise WrongInput("a message of several words goes in quotes")
    if messages and messages[0] != "-":
        return url, messages[0]
    if not messages and sys.stdin.isatty():
        raise WrongInput("name a MESSAGE, or - to type lines")
    return url, None


def _notice(text: str) -> None:
    click.echo(f"wsclient: {printable(text)}", err=True)
