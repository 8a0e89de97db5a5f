"""A shell on a terminal, into which commands are pasted as a reader does."""

from __future__ import annotations

import codecs
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.client_process import ON_ITS_TERMINAL

_PROMPT = "<exit $?> "
_PROMPTED = re.compile(r"<exit (\d+)> $")
# Colours, and what a program asks a terminal about itself.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?>]*[A-Za-z]|[P\]].*?(?:\x07|\x1b\\))")
_WHERE, _HERE = "\x1b[6n", "\x1b[1;1R"  # the cursor
_OPTIONS = ("--noprofile", "--norc", "--noediting", "-i")
_SECONDS = 60.0
"""How long anything is waited for that comes at once on a quiet machine."""
# By these a make or a git that is run by one knows it, and says more or works elsewhere.
_OF_THE_CALLER = re.compile(r"MAKEFLAGS|MAKELEVEL|MFLAGS|GIT_.*")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command has shown, and its exit code."""

    code: int
    output: str


class Terminal:
    """A bash that keeps its variables from one command to the next."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        _without_echo(slave)
        self.shell = subprocess.Popen(
            [sys.executable, "-c", ON_ITS_TERMINAL, shutil.which("bash") or "", *_OPTIONS],
            cwd=directory,
            env={**own(environ), "PS1": _PROMPT, "PS2": "", "TERM": "dumb", "HISTFILE": ""},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._shown = ""
        self.prompt()

    def run(self, command: str, seconds: float = 600.0) -> Ran:
        """Run a command to its end."""
        self.paste(command)
        return self.prompt(seconds)

    def paste(self, text: str) -> None:
        """Type lines, the last one's end included."""
        self._shown = ""
        os.write(self._master, f"{text}\n".encode())

    def press(self, key: str) -> None:
        """Press a key, and go on looking at what was shown."""
        os.write(self._master, key.encode())

    def wait_for(self, pattern: str, seconds: float = _SECONDS) -> str:
        """Return what was shown since the last paste, once that is among it."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.shown):
            assert time.monotonic() < deadline, f"no {pattern!r} in: {self.shown}"
            self._read(0.1)
        return self.shown

    def prompt(self, seconds: float = _SECONDS) -> Ran:
        """Wait for the shell's prompt, which has the exit code of what was run."""
        shown = self.wait_for(_PROMPTED.pattern, seconds)
        match = _PROMPTED.search(shown)
        assert match is not None
        return Ran(int(match[1]), shown[: match.start()])

    @property
    def shown(self) -> str:
        """What was shown since the last paste, without colours and returns."""
        return _SEQUENCE.sub("", self._shown).replace("\r", "")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._master)  # whatever runs on it hears SIGHUP
        try:
            self.shell.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.shell.pid, signal.SIGKILL)
            self.shell.wait()

    def _read(self, seconds: float) -> None:
        while select.select([self._master], [], [], seconds)[0]:
            asked = self._shown.count(_WHERE)
            self._shown += self._decoder.decode(os.read(self._master, 65_536))
            # Chalice's command line asks the terminal this, and waits ten seconds for an answer.
            os.write(self._master, _HERE.encode() * (self._shown.count(_WHERE) - asked))
            seconds = 0


def own(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what the tests' caller has put there for itself."""
    return {name: it for name, it in environ.items() if not _OF_THE_CALLER.fullmatch(name)}


def _without_echo(terminal: int) -> None:
    settings = termios.tcgetattr(terminal)
    settings[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, settings)
