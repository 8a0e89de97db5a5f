"""One line that is typed while other lines are printed above it. Pure: keys in, text out.

A readline that waits for keys cannot be told to print something meanwhile and then go on.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

_KEY = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Za-z]|\x1b[^\[O]|.", re.DOTALL)
_PARTIAL_KEY = re.compile(r"\x1b(?:\[[0-9;]*|O)?\Z")
_END_OF_INPUT = "\x04"


@dataclass(slots=True)
class LineEditor:
    """What has been typed, and where the cursor is in it; arrows up and down recall lines."""

    text: str = ""
    cursor: int = 0
    ended: bool = False
    """Ctrl-D on an empty line."""
    _partial: str = ""
    _history: list[str] = field(default_factory=list)
    _recalled: int = 0

    def feed(self, keys: str) -> list[str]:
        """Take keys as a terminal sends them; return the lines they finish."""
        keys = self._partial + keys
        partial = _PARTIAL_KEY.search(keys)
        self._partial = partial[0] if partial else ""
        keys = keys.removesuffix(self._partial) if self._partial else keys
        lines = (self._press(key) for key in _KEY.findall(keys))
        return [line for line in lines if line is not None]

    def shown(self, prompt: str, width: int) -> str:
        """Return what redraws the row: the part of the line around the cursor, and the cursor."""
        room = max(1, width - _columns(prompt) - 1)
        start = 0
        while _columns(self.text[start : self.cursor]) > room:
            start += 1
        end = start
        while end < len(self.text) and _columns(self.text[start : end + 1]) <= room:
            end += 1
        behind = _columns(self.text[self.cursor : end])
        back = f"\x1b[{behind}D" if behind else ""
        return f"\r\x1b[K{prompt}{self.text[start:end]}{back}"

    def _press(self, key: str) -> str | None:
        if key in "\r\n":
            return self._finish()
        if key == _END_OF_INPUT:
            self.ended = self.ended or not self.text
        elif key in _EDITS:
            self.text, self.cursor = _EDITS[key](self.text, self.cursor)
        elif key in _RECALLS:
            self._recall(_RECALLS[key])
        elif key.isprintable():
            self.text = self.text[: self.cursor] + key + self.text[self.cursor :]
            self.cursor += 1
        return None

    def _finish(self) -> str:
        line, self.text, self.cursor = self.text, "", 0
        if line and line not in self._history[-1:]:
            self._history.append(line)
        self._recalled = len(self._history)
        return line

    def _recall(self, step: int) -> None:
        self._recalled = min(max(0, self._recalled + step), len(self._history))
        at_end = self._recalled == len(self._history)
        self.text = "" if at_end else self._history[self._recalled]
        self.cursor = len(self.text)


def _columns(text: str) -> int:
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _before_word(text: str, cursor: int) -> int:
    head = text[:cursor].rstrip()
    return head.rfind(" ") + 1


def _erase_word(text: str, cursor: int) -> tuple[str, int]:
    start = _before_word(text, cursor)
    return text[:start] + text[cursor:], start


def _backspace(text: str, cursor: int) -> tuple[str, int]:
    start = max(0, cursor - 1)
    return text[:start] + text[cursor:], start


def _start(text: str, _: int) -> tuple[str, int]:
    return text, 0


def _end(text: str, _: int) -> tuple[str, int]:
    return text, len(text)


def _left(text: str, cursor: int) -> tuple[str, int]:
    return text, max(0, cursor - 1)


def _right(text: str, cursor: int) -> tuple[str, int]:
    return text, min(len(text), cursor + 1)


def _delete(text: str, cursor: int) -> tuple[str, int]:
    return text[:cursor] + text[cursor + 1 :], cursor


_EDITS = {
    "\x7f": _backspace,
    "\x08": _backspace,
    "\x17": _erase_word,
    "\x15": lambda text, cursor: (text[cursor:], 0),
    "\x0b": lambda text, cursor: (text[:cursor], cursor),
    "\x01": _start,
    "\x1b[H": _start,
    "\x1bOH": _start,
    "\x05": _end,
    "\x1b[F": _end,
    "\x1bOF": _end,
    "\x02": _left,
    "\x1b[D": _left,
    "\x1bOD": _left,
    "\x06": _right,
    "\x1b[C": _right,
    "\x1bOC": _right,
    "\x1b[3~": _delete,
}
_RECALLS = {"\x10": -1, "\x1b[A": -1, "\x1bOA": -1, "\x0e": 1, "\x1b[B": 1, "\x1bOB": 1}
