from __future__ import annotations

import asyncio
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
            return await asyncio.wait_for(work(pool), 5)
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
        waiting = [pool.run(lambda: arrived.wait(8)) for _ in range(100)]
        await asyncio.to_thread(arrived.wait, 8)
        await asyncio.gather(*waiting)

    run(work, Workers(base=2))


def test_a_call_behind_one_that_never_returns_is_carried_out() -> None:
    release = threading.Event()

    async def work(pool: Workers) -> int:
        await pool.run(lambda: None)  # one thread is idle now
        stuck = pool.run(lambda: release.wait(20))
        answer = await pool.run(lambda: 7)
        release.set()
        await stuck
        return int(answer)

    assert run(work, Workers(base=1)) == 7


def test_calls_that_compute_share_few_threads() -> None:
    seen: set[int] = set()

    def compute() -> None:
        seen.add(threading.get_ident())

    async def work(pool: Workers) -> None:
        for _ in range(50):
            await asyncio.gather(*[pool.run(compute) for _ in range(20)])

    run(work, Workers(base=4))
    assert len(seen) <= 8


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
    # All of one CPU, as far as the pool can see, while no call is kept waiting for long.
    monkeypatch.setattr(time, "process_time", time.perf_counter)
    most = 0

    async def work(pool: Workers) -> None:
        nonlocal most
        before = threads()
        calls = [pool.run(lambda: time.sleep(0.003)) for _ in range(400)]
        while not calls[-1].done():
            most = max(most, threads() - before)
            await asyncio.sleep(0.01)

    run(work, Workers(base=2))
    assert most <= 4  # without regard to that it is about 12


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

    async def work(pool: Workers) -> None:
        before = threads()
        await asyncio.gather(*[pool.run(lambda: time.sleep(0.1)) for _ in range(20)])
        assert threads() - before > 2
        while threads() - before > 2:
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
    deadline = time.monotonic() + 5
    while threads() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_result_after_the_loop_has_ended_is_dropped() -> None:
    finished = threading.Event()

    def late() -> None:
        time.sleep(0.2)
        finished.set()

    async def work(pool: Workers) -> None:
        pool.run(late)

    run(work, Workers())
    assert finished.wait(5)
