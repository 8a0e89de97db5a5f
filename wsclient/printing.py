"""Frames as people read them, and as JSON lines. Pure, but for ``Printer``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import click

from wsclient.errors import OutputFailed, OutputGone
from wsclient.protocol import Frame, error_of, is_error
from wsclient.words import closing, printable

_OUTCOMES = ("gone", "expired", "slow", "failed", "deferred")


@contextmanager
def output() -> Iterator[None]:
    """Name what goes wrong while something is written: raises OutputGone or OutputFailed."""
    try:
        yield
    except BrokenPipeError:
        raise OutputGone("the reader of the output has gone") from None
    except OSError as error:
        raise OutputFailed(f"the output cannot be written: {error.strerror}.") from None


def json_line(frame: Frame) -> str:
    """Return a frame as one line, in ASCII: nothing in it can command a terminal."""
    return json.dumps(frame, separators=(",", ":"))


def readable(frame: Frame) -> str:
    """Return a frame in words, coloured; one line, and nothing in it can command a terminal."""
    if is_error(frame):
        code, text = error_of(frame)
        named = f"{printable(code)}: " if code else ""
        return click.style("error ", fg="red") + named + printable(text)
    kind = frame.get("type")
    if kind == "message":
        return _message(frame)
    if kind == "reply":
        return click.style(_result(frame.get("result")), fg="green")
    if kind == "closing":
        return click.style(_closing(frame), fg="yellow")
    if kind == "unreadable":
        return printable(str(frame.get("text", "")))
    return json_line(frame)


def _message(frame: Frame) -> str:
    sender = click.style(printable(str(frame.get("from", "somebody"))), fg="cyan")
    audience = str(frame.get("to", "everyone"))
    named = "" if audience == "everyone" else f" (to {printable(audience)})"
    return f"{sender}{named}: {_text(frame.get('message', ''))}"


def _result(result: Any) -> str:
    if not isinstance(result, dict):
        return "ok" if result is None else _text(result)
    delivery = result.get("delivery")
    if isinstance(delivery, dict):
        return _delivery(delivery)
    return ", ".join(f"{printable(name)} {_text(value)}" for name, value in result.items()) or "ok"


def _delivery(delivery: Mapping[str, Any]) -> str:
    delivered, targeted = delivery.get("delivered"), delivery.get("targeted")
    if delivered == targeted:
        return f"delivered to {_text(delivered)}"
    others = [f"{_text(delivery[name])} {name}" for name in _OUTCOMES if delivery.get(name)]
    more = f" ({', '.join(others)})" if others else ""
    return f"delivered to {_text(delivered)} of {_text(targeted)}{more}"


def _closing(frame: Frame) -> str:
    code, reason = frame.get("code"), frame.get("reason")
    if not isinstance(code, int):
        return "closing"
    return f"closing: {closing(code, reason if isinstance(reason, str) else '')}"


def _text(value: Any) -> str:
    return printable(value) if isinstance(value, str) else json_line(value)


@dataclass(frozen=True, slots=True)
class Printer:
    """Writes frames to a stream: JSON lines, or words with the time of day before them."""

    stream: IO[str]
    as_json: bool
    colour: bool
    time_of_day: Callable[[], str] | None = None

    def line(self, frame: Frame) -> str:
        """Return what ``show`` writes, without its line's end."""
        if self.as_json:
            return json_line(frame)
        clock = f"{click.style(self.time_of_day(), dim=True)}  " if self.time_of_day else ""
        text = clock + readable(frame)
        return text if self.colour else click.unstyle(text)

    def show(self, frame: Frame) -> None:
        """Write a frame, at once; raises as ``output``."""
        with output():
            self.stream.write(self.line(frame) + "\n")
            self.stream.flush()
