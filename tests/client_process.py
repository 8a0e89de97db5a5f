"""The command line client as a user runs it: a process of its own, piped or on a terminal."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from tests.gateway_process import ROOT
from tests.gateway_under_test import NET

COMMAND = (sys.executable, "-m", "wsclient")
# Ctrl-C reaches what the terminal belongs to.
ON_ITS_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_LAST = "\0that was all\0"
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment, with nothing that changes the client's ways."""
    theirs = re.compile(r"WSCLIENT_.*|(?i:.*_proxy)")
    others = {name: value for name, value in os.environ.items() if not theirs.fullmatch(name)}
    return {**others, "TERM": "xterm", "NO_COLOR": "", **variables}


def run(
    *arguments: str,
    stdin: str | bytes = "",
    cwd: Path = ROOT,
    variables: Mapping[str, str] | None = None,
    path: str = str(ROOT),
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, all of it piped."""
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env={**environment(**(variables or {})), "PYTHONPATH": path},
        input=data,
        capture_output=True,
        timeout=2 * NET,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


class PipedClient:
    """Runs while the test goes on; what it prints is read line by line."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=ROOT,
            env=environment(**variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._unread = {self.process.stdout: b"", self.process.stderr: b""}

    def write(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def line(self, seconds: float = NET) -> str:
        """Return the next line it prints; fails when none comes."""
        return self._line(self.process.stdout, seconds)

    def notice(self, seconds: float = NET) -> str:
        """Return the next line of its standard error; fails when none comes."""
        return self._line(self.process.stderr, seconds)

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """Do what `kill` does."""
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> tuple[int, str, str]:
        """Return its exit code and the rest of what it printed."""
        output, errors = self.process.communicate(timeout=NET)
        return (
            self.process.returncode,
            self._unread[self.process.stdout].decode() + output,
            self._unread[self.process.stderr].decode() + errors,
        )

    def __enter__(self) -> PipedClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                stream.close()
        self.process.wait(NET)

    def _line(self, stream: IO[str] | None, seconds: float) -> str:
        assert stream is not None
        # Not by the stream: it takes all there is, and what it keeps nobody sees who waits.
        while b"\n" not in self._unread[stream]:
            assert select.select([stream], [], [], seconds)[0], "it printed nothing"
            if not (read := os.read(stream.fileno(), 65_536)):
                break
            self._unread[stream] += read
        line, _, self._unread[stream] = self._unread[stream].partition(b"\n")
        return line.decode()


class TerminalClient:
    """Runs on a pseudo-terminal of 80 columns, which keeps all that was shown.

    Its input may come from a file, and its output go to one.
    """

    def __init__(
        self,
        *arguments: str,
        stdin: Path | None = None,
        stdout: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        source = None if stdin is None else stdin.open("rb")
        sink = None if stdout is None else stdout.open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_ITS_TERMINAL, *COMMAND, *arguments],
            cwd=ROOT,
            env=environment(**(variables or {})),
            stdin=slave if source is None else source,
            stdout=slave if sink is None else sink,
            stderr=slave,
            start_new_session=True,
        )
        for file in (source, sink):
            if file is not None:
                file.close()
        self.output = ""
        # A letter may come in two parts.
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode

    @property
    def rows(self) -> list[str]:
        """Return what a person sees: rows, as far as returns and erasures go."""
        rows = []
        for row in self.output.replace("\r\n", "\n").split("\n"):
            rows.append(_ESCAPE.sub("", row.rpartition("\r")[2]))
        return rows

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def wait_for(self, pattern: str, seconds: float = NET) -> None:
        """Return once a row is like this; fails when none is."""
        deadline = time.monotonic() + seconds
        while not any(re.search(pattern, row) for row in self.rows):
            assert time.monotonic() < deadline, self.output
            self._read(0.05)

    def end(self) -> int:
        """Return its exit code, once it has ended."""
        deadline = time.monotonic() + NET
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.output
            self._read(0.05)
        os.write(self._slave, _LAST.encode())  # a terminal passes on what is written later
        while not self.output.endswith(_LAST):
            assert time.monotonic() < deadline, self.output
            self._read(0.05)
        self.output = self.output.removesuffix(_LAST)
        return self.process.returncode

    def put_back(self) -> None:
        """Set the terminal as it was in the beginning."""
        termios.tcsetattr(self._slave, termios.TCSANOW, self.before)

    @property
    def takes_single_keys(self) -> bool:
        """Return whether keys arrive without a line's end."""
        return not termios.tcgetattr(self._slave)[3] & termios.ICANON

    def settings(self) -> list[object]:
        """Return how the terminal is set now."""
        return list(termios.tcgetattr(self._slave))

    def __enter__(self) -> TerminalClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(NET)
        os.close(self._slave)
        os.close(self._master)

    def _read(self, seconds: float) -> None:
        while select.select([self._master], [], [], seconds)[0]:
            self.output += self._decode(os.read(self._master, 65_536))
            seconds = 0
