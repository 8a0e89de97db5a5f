"""Progress is for a person who does not see the answers, and counts nothing twice."""

from __future__ import annotations

import io
import os
import pty
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsclient.progress import EVERY, bar_over, counted


class Terminal(io.StringIO):
    """Somebody watches."""

    def isatty(self) -> bool:
        return True


class Elsewhere(io.StringIO):
    """A standard output that goes to what a descriptor is of."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    with (tmp_path / "lines").open("w") as file:
        yield file.fileno()


def watch(monkeypatch: pytest.MonkeyPatch, stdout: int) -> Terminal:
    """Have a terminal as standard error; the output goes where the descriptor says.

    No fixture: pytest changes the streams once more between those and their test.
    """
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", Elsewhere(stdout))
    return screen


def test_what_has_no_known_end_is_counted_and_the_count_taken_away(
    monkeypatch: pytest.MonkeyPatch, file: int
) -> None:
    screen = watch(monkeypatch, file)
    assert list(counted(range(2 * EVERY + 1))) == list(range(2 * EVERY + 1))
    assert screen.getvalue() == f"\r{EVERY} so far\r{2 * EVERY} so far\r\x1b[K"


def test_a_count_is_taken_away_where_it_is_broken_off(
    monkeypatch: pytest.MonkeyPatch, file: int
) -> None:
    screen = watch(monkeypatch, file)
    items = counted(iter(range(EVERY + 1)))
    for _ in range(EVERY + 1):
        next(items)
    items.close()
    assert screen.getvalue().endswith("\r\x1b[K")


def test_a_bar_goes_over_several(monkeypatch: pytest.MonkeyPatch, file: int) -> None:
    screen = watch(monkeypatch, file)
    with bar_over(["a", "b"], "Revoking") as items:
        assert list(items) == ["a", "b"]
    assert "Revoking" in screen.getvalue()
    assert "100%" in screen.getvalue()


def test_one_needs_no_bar(monkeypatch: pytest.MonkeyPatch, file: int) -> None:
    screen = watch(monkeypatch, file)
    with bar_over(["a"], "Revoking") as items:
        assert list(items) == ["a"]
    assert screen.getvalue() == ""


@pytest.mark.parametrize("seen", ["a terminal", "a pipe"])
def test_whoever_may_see_the_answers_is_told_nothing_else(
    monkeypatch: pytest.MonkeyPatch, seen: str
) -> None:
    ends = pty.openpty() if seen == "a terminal" else os.pipe()
    try:
        screen = watch(monkeypatch, ends[1])
        go_through_both()
        assert screen.getvalue() == ""
    finally:
        for end in ends:
            os.close(end)


def test_a_script_is_told_nothing(monkeypatch: pytest.MonkeyPatch, file: int) -> None:
    watch(monkeypatch, file)
    unwatched = io.StringIO()
    monkeypatch.setattr(sys, "stderr", unwatched)
    go_through_both()
    assert unwatched.getvalue() == ""


def go_through_both() -> None:
    assert len(list(counted(range(EVERY)))) == EVERY
    with bar_over(["a", "b"], "Revoking") as items:
        assert len(list(items)) == 2
