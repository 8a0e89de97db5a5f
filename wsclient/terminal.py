"""A terminal on which lines appear above the one being typed."""

from __future__ import annotations

import codecs
import os
import shutil
import signal
import termios
import tty
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType, TracebackType
from typing import TextIO

from wsclient.line_editor import LineEditor
from wsclient.words import printable


class Terminal:
    """Takes single keys between ``with`` and its end, and puts everything back after."""

    def __init__(self, keyboard: int, screen: TextIO) -> None:
        self.prompt = "> "
        self.editor = LineEditor()
        self._keyboard = keyboard
        self._screen = screen
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._before = termios.tcgetattr(keyboard)
        self._active = False

    def __enter__(self) -> Terminal:
        self._active = True
        self._screen.flush()
        signal.signal(signal.SIGCONT, self._continue)
        self._continue()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._active = False
        signal.signal(signal.SIGCONT, signal.SIG_DFL)
        # What is left of a paste is not for the shell to carry out.
        termios.tcsetattr(self._keyboard, termios.TCSAFLUSH, self._before)
        self._write("\r\x1b[K")

    def above(self, *lines: str) -> None:
        """Write lines above the one being typed, which stays as it is."""
        start = "\r\x1b[K" if self._active else ""
        self._write(start + "".join(f"{line}\n" for line in lines))
        self.redraw()

    def read(self) -> Iterator[str]:
        """Take the keys that are there; yield the lines they finish, each once it can be seen."""
        try:
            data = os.read(self._keyboard, 4096)
        except OSError:  # the terminal has gone
            data = b""
        if not data:
            self.editor.ended = True
        for line in self.editor.feed(self._decoder.decode(data)):
            self._write(f"\r\x1b[K{self.prompt}{printable(line)}\n")
            yield line
        self.redraw()

    def redraw(self) -> None:
        """Write the line being typed."""
        if self._active:
            self._write(self._row())

    def _row(self) -> str:
        return self.editor.shown(self.prompt, shutil.get_terminal_size().columns)

    def _continue(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Take single keys, at the start and after Ctrl-Z: the shell has put its own way back.

        Not by the screen's stream, for it may be in the middle of a write and bears no second one.
        """
        with suppress(OSError, termios.error):  # a terminal that has gone is seen as it is read
            tty.setcbreak(self._keyboard, termios.TCSADRAIN)  # keeps what was typed already
            row = self._row().encode(self._screen.encoding, "backslashreplace")
            os.write(self._screen.fileno(), row)

    def _write(self, text: str) -> None:
        self._screen.write(text)
        self._screen.flush()
