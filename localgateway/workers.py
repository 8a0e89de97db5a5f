"""Threads that run functions: few while they compute, as many as it takes while they wait.

Python runs one thread at a time, and dozens that all want to compute only hinder each other: eight
threads answer 1.5 times as many messages as sixty-four. But functions that wait (for a database,
for a colleague at a breakpoint) must not keep others from starting, as on Lambda they do not. So a
thread is added whenever a call has waited for one for a moment, unless the process was busy all the
while: then it is the interpreter that is waited for. Surplus threads end when idle.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

BASE_THREADS = 8
MAX_THREADS = 1000
"""AWS runs as many at once in a new account."""
_PATIENCE_SECONDS = 0.01
_PATIENCE_WITH_PROGRESS_SECONDS = 0.05
"""While calls are started, if not at once, there is time: a thread stays for seconds."""
_BUSY_SHARE = 0.8
"""Of a CPU's time: whoever uses as much is kept by no other process from using more."""
_IDLE_SECONDS = 2.0

_Outcome = tuple["asyncio.Future[Any]", Any, Exception | None]
_Call = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Workers:
    """A pool for one event loop; ``run`` is called there, and nowhere else."""

    def __init__(self, base: int = BASE_THREADS, most: int = MAX_THREADS) -> None:
        self._base = min(base, most)
        self._most = most
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._started = 0
        self._added = 0
        self._lock = threading.Lock()
        self._watch: asyncio.TimerHandle | None = None
        self._settled: deque[_Outcome] = deque()
        self._waking = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return self._calls.qsize()

    def run(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run ``call`` on a thread; the future has its result, or what it raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._calls.put((call, future, loop))
        if self._threads < self._base and self._calls.qsize() > self._idle:
            self._add_thread()
        elif self._watch is None:
            # Even if a thread seems idle: it may just have taken another call, or be about to end.
            self._look_later(loop, _PATIENCE_SECONDS)
        return future

    def close(self) -> None:
        """Take no more calls, nor those that wait; those that run are not waited for."""
        self._closed = True
        for _ in range(self._threads):
            self._calls.put(None)

    def _look_later(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        seen = (self._started, time.perf_counter(), time.process_time())
        self._watch = loop.call_later(seconds, self._look, loop, *seen)

    def _look(
        self, loop: asyncio.AbstractEventLoop, started: int, since: float, cpu: float
    ) -> None:
        """Add threads if calls wait; what is handed in was so when the last look was taken."""
        self._watch = None
        waiting = self._calls.qsize()
        if self._closed or not waiting:
            return
        busy = time.process_time() - cpu > _BUSY_SHARE * (time.perf_counter() - since)
        progress = self._started != started
        self._added = threads_wanted(waiting, self._added, progress=progress, busy=busy)
        for _ in range(min(self._added, self._most - self._threads)):
            self._add_thread()
        self._look_later(loop, _PATIENCE_WITH_PROGRESS_SECONDS if progress else _PATIENCE_SECONDS)

    def _add_thread(self) -> None:
        with self._lock:
            self._threads += 1
        threading.Thread(target=self._work, name="function", daemon=True).start()

    def _work(self) -> None:
        while True:
            call = self._next()
            if call is None:
                return
            self._started += 1
            # Given up while it waited, by who has called or by all: it must not run any more.
            if not call[1].cancelled() and not self._closed:
                self._carry_out(*call)
            del call  # or the last event and its answer live until the next call

    def _next(self) -> _Call | None:
        """Return the next call; None when this thread is to end."""
        while True:
            with self._lock:
                self._idle += 1
            try:
                call = self._calls.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                call = None
            with self._lock:
                self._idle -= 1
                surplus = self._threads > self._base and self._calls.empty()
                if call is None and (self._closed or surplus):
                    self._threads -= 1
                    return None
            if call is not None:
                return call

    def _carry_out(
        self,
        call: Callable[[], Any],
        future: asyncio.Future[Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        try:
            outcome: _Outcome = (future, call(), None)
        except Exception as raised:  # it is the caller's, who asks the future
            outcome = (future, None, raised)
        except BaseException as raised:  # what would end a process must not end a thread
            outcome = (future, None, RuntimeError(f"{type(raised).__name__}: {raised}"))
        self._settled.append(outcome)
        del future, outcome  # an error knows this frame: all that its function used would stay
        if not self._waking:
            # One wake-up for all that ends before the loop gets to it: each is a system call.
            self._waking = True
            with suppress(RuntimeError):  # the loop has ended: nobody waits for this any more
                loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._waking = False  # before looking: what is added from now on wakes the loop again
        while self._settled:
            future, result, error = self._settled.popleft()
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


def threads_wanted(waiting: int, added: int, *, progress: bool, busy: bool) -> int:
    """Return how many threads to add for calls that wait; ``added`` is what it was last time.

    ``progress``: some other call was started meanwhile. ``busy``: the process has used a CPU up.
    Both: no thread would help. Neither: every thread waits for something, or the whole process was
    kept from running for a moment, so it takes several looks until each call gets a thread.
    """
    if progress or busy:
        return 0 if progress and busy else 1
    return min(waiting, max(1, 2 * added))
