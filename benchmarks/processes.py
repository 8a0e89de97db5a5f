"""A process and what it has started, as Linux's ``/proc`` shows them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.target import BenchmarkError

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """A process at one moment; pid and start time together are never used twice."""

    pid: int
    parent: int
    started_at: int
    """In clock ticks since the machine started."""
    cpu_seconds: float
    rss: int
    """Resident memory in bytes."""


def available() -> bool:
    """Tell whether this machine has a ``/proc`` to read."""
    return (_PROC / "self" / "stat").exists()


def tree(pid: int) -> list[Process]:
    """Return a process, first, and all its descendants; raises if it has ended."""
    processes = _all()
    found = [process for process in processes if process.pid == pid]
    if not found:
        raise BenchmarkError(f"there is no process {pid}: the server has ended")
    for parent in found:  # grows while it is read
        found += [process for process in processes if process.parent == parent.pid]
    return found


def alive(processes: Iterable[Process]) -> list[Process]:
    """Return those that still run."""
    now = {(process.pid, process.started_at) for process in _all()}
    return [process for process in processes if (process.pid, process.started_at) in now]


def _all() -> list[Process]:
    read = (_read(path) for path in _PROC.iterdir() if path.name.isdigit())
    return [process for process in read if process is not None]


def _read(path: Path) -> Process | None:
    try:
        text = (path / "stat").read_text()
    except OSError:  # it has ended meanwhile
        return None
    # The name before the last bracket may hold anything; fields are counted from 3 on (proc(5)).
    fields = text.rpartition(")")[2].split()
    if fields[0] == "Z":
        return None
    cpu = (int(fields[11]) + int(fields[12])) / _TICKS
    return Process(
        int(path.name), int(fields[1]), int(fields[19]), cpu, rss=int(fields[21]) * _PAGE
    )
