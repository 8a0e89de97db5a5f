from __future__ import annotations

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from localgateway import workers
from localgateway.workers import Workers, threads_wanted


def run(work: Callable[[Workers], Coroutine[Any, Any, Any]], pool: Workers) -> Any:
    async def main() -> Any:
        try:
            return await asyncio.wait_for(work(pool), 30)
        finally:
            pool.close()

    return asyncio.run(main())


def threads() -> int:
    return sum(thread.name == "function" for thread in threading.enumerate())


def test_a_call_gives_its_result_or_raises_its_error() -> None:
    async def work(pool: Workers) -> Any:
        assert await pool.run(lambda: 42) == 42
        with pytest.raises(ValueError, match="boom"):
            await pool.run(lambda: int("boom"))
        return await pool.run(lambda: threading.current_thread().name)

    assert run(work, Workers()) == "function"


def test_calls_that_wait_do_not_keep_others_from_starting() -> None:
    arrived = threading.Barrier(101)

    async def work(pool: Workers) -> None:
        waiting = [pool.run(lambda: arrived.wait(60)) for _ in range(100)]
        await asyncio.to_thread(arrived.wait, 60)
        await asyncio.gather(*waiting)

    run(work, Workers(base=2))


def test_a_call_behind_one_that_never_returns_is_carried_out() -> None:
    release = threading.Event()

    async def work(pool: Workers) -> int:
        await pool.run(lambda: None)  # one thread is idle now
        stuck = pool.run(lambda: release.wait(60))
        answer = await pool.run(lambda: 7)
        release.set()
        await stuck
        return int(answer)

    assert run(work, Workers(base=1)) == 7


def test_calls_that_compute_share_few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a machine that lets nothing run for a while, threads would be added.
    monkeypatch.setattr(workers, "_PATIENCE_SECONDS", 60.0)
    seen: set[int] = set()

    def compute() -> None:
        seen.add(threading.get_ident())

    async def work(pool: Workers) -> None:
        for _ in range(50):
            await asyncio.gather(*[pool.run(compute) for _ in range(20)])

    run(work, Workers(base=4))
    assert len(seen) <= 4


@pytest.mark.parametrize(
    ("progress", "busy", "expected"),
    [
        pytest.param(True, False, 1, id="some wait: one more"),
        pytest.param(False, True, 1, id="some compute for long, or hold the interpreter"),
        pytest.param(True, True, 0, id="the interpreter is what is waited for"),
    ],
)
def test_threads_are_added_where_they_help(progress: bool, busy: bool, expected: int) -> None:
    assert threads_wanted(30, 8, progress=progress, busy=busy) == expected


def test_while_nothing_moves_threads_are_doubled_until_every_call_has_one() -> None:
    waiting, added, all_added = 30, 0, []
    while waiting:
        added = threads_wanted(waiting, added, progress=False, busy=False)
        waiting -= added
        all_added.append(added)
    assert all_added == [1, 2, 4, 8, 15]


def test_a_busy_process_gets_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = itertools.count(step=1000)  # CPU seconds, a thousand between any two looks
    monkeypatch.setattr(time, "process_time", lambda: next(computed))
    looks: list[tuple[bool, bool]] = []

    def seen(waiting: int, added: int, *, progress: bool, busy: bool) -> int:
        looks.append((progress, busy))
        return threads_wanted(waiting, added, progress=progress, busy=busy)

    monkeypatch.setattr(workers, "threads_wanted", seen)
    ran_on: set[threading.Thread] = set()

    def call() -> None:
        ran_on.add(threading.current_thread())
        time.sleep(0.003)

    async def work(pool: Workers) -> None:
        while (True, True) not in looks:
            await asyncio.gather(*[pool.run(call) for _ in range(50)])

    run(work, Workers(base=2))
    assert all(busy for _, busy in looks)
    # One more for each look at which nothing had moved: a machine may stand still for a moment.
    assert len(ran_on) <= 2 + looks.count((False, True))


def test_no_more_threads_are_added_than_allowed() -> None:
    running: list[int] = []
    most: list[int] = []

    def wait() -> None:
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()

    async def work(pool: Workers) -> None:
        await asyncio.gather(*[pool.run(wait) for _ in range(30)])

    run(work, Workers(base=8, most=3))
    assert max(most) <= 3


def test_surplus_threads_end_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_IDLE_SECONDS", 0.05)
    all_at_once = threading.Barrier(20)
    met: list[threading.Thread] = []

    def meet() -> None:
        all_at_once.wait(60)
        met.append(threading.current_thread())

    async def work(pool: Workers) -> None:
        await asyncio.gather(*[pool.run(meet) for _ in range(20)])
        while sum(thread.is_alive() for thread in met) > 2:
            await asyncio.sleep(0.02)

    run(work, Workers(base=2))


def test_a_cancelled_call_disturbs_nobody() -> None:
    async def work(pool: Workers) -> int:
        call = pool.run(lambda: time.sleep(0.1))
        call.cancel()
        await asyncio.sleep(0.2)
        return int(await pool.run(lambda: 1))

    assert run(work, Workers(base=1)) == 1


def test_closing_ends_the_threads() -> None:
    before = threads()

    async def work(pool: Workers) -> None:
        await asyncio.gather(*[pool.run(lambda: time.sleep(0.01)) for _ in range(8)])

    run(work, Workers(base=8))
    deadline = time.monotonic() + 30
    while threads() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_result_after_the_loop_has_ended_is_dropped() -> None:
    over = threading.Event()
    begun: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()

    def late() -> None:
        begun.put(threading.current_thread())
        over.wait(60)

    async def work(pool: Workers) -> threading.Thread:
        pool.run(late)
        return await asyncio.to_thread(begun.get, timeout=30)

    thread: threading.Thread = run(work, Workers())
    over.set()
    thread.join(30)  # what it raised in vain would fail this test
    assert not thread.is_alive()
