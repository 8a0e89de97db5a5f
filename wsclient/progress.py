"""How far long work is, told to a person whose output goes elsewhere."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

EVERY = 100
"""Of what is counted, so many go by until a person is told."""

Item = TypeVar("Item")


def has_progress() -> bool:
    """Tell whether somebody watches who does not see the answers themselves.

    What is piped may come to the same terminal, as with ``| jq``.
    """
    mode = os.fstat(sys.stdout.fileno()).st_mode
    is_seen = sys.stdout.isatty() or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    return sys.stderr.isatty() and not is_seen


def counted(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Yield items of which nobody knows how many come, and say how many have come so far."""
    is_shown = has_progress()
    try:
        for number, item in enumerate(items, 1):
            yield item
            if is_shown and number % EVERY == 0:
                click.echo(f"\r{number} so far", err=True, nl=False)
    finally:
        if is_shown:
            click.echo("\r\x1b[K", err=True, nl=False)


@contextmanager
def bar_over(items: Collection[Item], label: str) -> Iterator[Iterable[Item]]:
    """Go through items that are all there, with a bar where there are several."""
    if len(items) < 2 or not has_progress():
        yield items
        return
    bar: Any = click.progressbar(items, label=label, file=sys.stderr)
    with bar as moving:
        yield moving
