"""The terminal goes on wherever it was stopped."""

from __future__ import annotations

import io
import os
import pty
import signal
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from wsclient.terminal import Terminal


class StoppedInAWrite(io.RawIOBase):
    """A screen; at its second write the shell has had it meanwhile, and gives it back."""

    def __init__(self, screen: int, before: Any) -> None:
        self._screen = screen
        self._before = before
        self._writes = 0

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._screen

    def write(self, data: object) -> int:
        self._writes += 1
        if self._writes == 2:
            termios.tcsetattr(self._screen, termios.TCSANOW, self._before)
            signal.raise_signal(signal.SIGCONT)
        assert isinstance(data, (bytes, memoryview))
        return os.write(self._screen, data)


@pytest.fixture
def pseudo_terminal() -> Iterator[tuple[int, int]]:
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def takes_single_keys(terminal: int) -> bool:
    return not termios.tcgetattr(terminal)[3] & termios.ICANON


def test_it_goes_on_where_it_was_stopped_in_the_middle_of_a_write(
    pseudo_terminal: tuple[int, int],
) -> None:
    ours, theirs = pseudo_terminal
    before = termios.tcgetattr(theirs)
    screen = io.TextIOWrapper(io.BufferedWriter(StoppedInAWrite(theirs, before)))
    with Terminal(theirs, screen) as terminal:
        terminal.above("one")
        terminal.above("two")
        assert takes_single_keys(theirs)
    assert termios.tcgetattr(theirs) == before
    shown = ""
    while "two" not in shown:  # a terminal passes on what is written later
        shown += os.read(ours, 4096).decode()
    assert "one" in shown
    assert signal.getsignal(signal.SIGCONT) is signal.SIG_DFL
