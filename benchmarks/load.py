"""Many clients at once, and what they cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from types import TracebackType

from benchmarks import processes
from benchmarks.client import Client
from benchmarks.target import Target

Figures = dict[str, "float | Figures"]

_QUIET_SHARE = 0.05
_WINDOW_SECONDS = 0.25
_SETTLE_SECONDS = 20.0


async def open_many(
    target: Target, count: int, in_flight: int, *, deflate: bool = False
) -> list[Client]:
    """Open ``count`` connections, ``in_flight`` of them at once."""
    clients: list[Client] = []

    async def worker(share: int) -> None:
        for _ in range(share):
            clients.append(await Client.open(target, deflate=deflate))

    await asyncio.gather(*map(worker, _shares(count, in_flight)))
    return clients


async def close_all(clients: Iterable[Client]) -> None:
    """Close connections, all at once."""
    await asyncio.gather(*(client.close() for client in clients))


async def settle(target: Target) -> None:
    """Wait until the server has nothing left to do, or for a second where that cannot be seen."""
    if target.pid is None or not processes.available():
        return await asyncio.sleep(1.0)
    quiet = 0
    deadline = time.monotonic() + _SETTLE_SECONDS
    while quiet < 2 and time.monotonic() < deadline:
        before = sum(_cpu(target))
        await asyncio.sleep(_WINDOW_SECONDS)
        idle = sum(_cpu(target)) - before < _QUIET_SHARE * _WINDOW_SECONDS
        quiet = quiet + 1 if idle else 0
    return None


class Meter:
    """Takes the time, and the processor time of both sides: the client must not be the limit."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.seconds = 0.0

    def __enter__(self) -> Meter:
        self._cpu = (time.process_time(), *_cpu(self._target))
        self._started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._started
        after = (time.process_time(), *_cpu(self._target))
        self._cpu = tuple(b - a for a, b in zip(self._cpu, after, strict=True))

    def cpu_ms_each(self, count: int) -> Figures:
        """Return milliseconds of processor time for each of ``count`` operations."""
        names = ("client", "server", "server_children")
        figures: Figures = {
            name: seconds * 1000 / count for name, seconds in zip(names, self._cpu, strict=False)
        }
        return figures


def percentiles(seconds: Sequence[float]) -> Figures:
    """Return the median and the 99th percentile by nearest rank, in milliseconds."""
    ranked = sorted(seconds)
    last = len(ranked) - 1
    return {f"p{share}_ms": ranked[round(last * share / 100)] * 1000 for share in (50, 99)}


def _cpu(target: Target) -> tuple[float, ...]:
    """Return the processor time of the server, and of what it has started."""
    if target.pid is None or not processes.available():
        return ()
    first, *others = processes.tree(target.pid)
    return first.cpu_seconds, sum(process.cpu_seconds for process in others)


def _shares(count: int, workers: int) -> list[int]:
    """Divide ``count`` as evenly as it goes."""
    each, more = divmod(count, workers)
    return [each + (number < more) for number in range(workers)]
