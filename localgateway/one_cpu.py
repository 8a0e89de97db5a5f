"""Keeps the process on one CPU at a time: one interpreter lock has no use for a second.

A thread lets go of the lock in every system call. With a second CPU another thread takes it there
and then, and the first, back after a microsecond, has to be put to sleep and woken again: half of
what a message cost. On one CPU the other thread has not begun to run by then.

The CPU is no fixed one. Every few seconds the loop's thread may roam for a moment, the system moves
it if there is a better place, and the others follow: another busy process, or a CPU slower than its
neighbours, is left behind.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_STAY_SECONDS = 3.0
_ROAM_SECONDS = 0.03
_PROCESSOR = 39 - 3
"""Place of the CPU's number among the fields of proc(5) ``stat`` that follow the name."""


def is_possible() -> bool:
    """Tell whether there are several CPUs, and a system that can be told which to use: Linux."""
    return hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1


async def stay_on_one_cpu(stay: float = _STAY_SECONDS, roam: float = _ROAM_SECONDS) -> None:
    """Run until cancelled, on the loop's thread; times are in seconds.

    Ends by itself where the system refuses, as some sandboxes do, or has no proc(5).
    """
    allowed = os.sched_getaffinity(0)
    with suppress(OSError):
        try:
            while True:
                _move({_here()})
                await asyncio.sleep(stay)
                os.sched_setaffinity(0, allowed)
                await asyncio.sleep(roam)
        finally:
            _move(allowed)


def _here() -> int:
    stat = Path("/proc/thread-self/stat").read_text()
    return int(stat.rpartition(")")[2].split()[_PROCESSOR])


def _move(cpus: Iterable[int]) -> None:
    """Move all threads of the process; those that begin later inherit it."""
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 - not a path for each
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread), cpus)
