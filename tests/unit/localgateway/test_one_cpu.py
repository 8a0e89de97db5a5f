from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from localgateway import one_cpu


def test_a_system_that_cannot_be_told_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    assert not one_cpu.is_possible()


if sys.platform == "linux":

    @pytest.fixture
    def idle_thread() -> Iterator[int]:
        """A thread that was there before; its id as the system has it."""
        end = threading.Event()
        thread = threading.Thread(target=end.wait)
        thread.start()
        assert thread.native_id is not None
        yield thread.native_id
        end.set()
        thread.join()

    async def born_now() -> set[int]:
        return await asyncio.to_thread(os.sched_getaffinity, 0)

    def test_one_cpu_is_nothing_to_choose_from(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _thread: {5})
        assert not one_cpu.is_possible()
        monkeypatch.setattr(os, "sched_getaffinity", lambda _thread: {5, 7})
        assert one_cpu.is_possible()

    def test_all_threads_share_a_cpu_until_it_is_over(idle_thread: int) -> None:
        allowed = os.sched_getaffinity(0)

        async def main() -> None:
            staying = asyncio.create_task(one_cpu.stay_on_one_cpu(stay=600.0))
            await asyncio.sleep(0)
            cpus = os.sched_getaffinity(0)
            assert len(cpus) == 1
            assert cpus <= allowed
            assert os.sched_getaffinity(idle_thread) == cpus
            assert await born_now() == cpus
            staying.cancel()
            await asyncio.gather(staying, return_exceptions=True)

        asyncio.run(main())
        assert os.sched_getaffinity(0) == os.sched_getaffinity(idle_thread) == allowed

    def test_the_loops_thread_may_roam_and_the_others_follow(
        idle_thread: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        allowed = os.sched_getaffinity(0)
        place = min(allowed)
        monkeypatch.setattr(one_cpu, "_here", lambda: place)

        async def others_at(cpu: int) -> None:
            while os.sched_getaffinity(idle_thread) != {cpu}:
                await asyncio.sleep(0.001)

        async def main() -> None:
            nonlocal place
            staying = asyncio.create_task(one_cpu.stay_on_one_cpu(stay=0.0, roam=0.01))
            await others_at(min(allowed))
            while os.sched_getaffinity(0) != allowed:
                await asyncio.sleep(0)
            place = max(allowed)
            await others_at(max(allowed))
            staying.cancel()
            await asyncio.gather(staying, return_exceptions=True)

        asyncio.run(asyncio.wait_for(main(), 30))

    def test_it_starts_where_the_scheduler_has_put_it() -> None:
        allowed = os.sched_getaffinity(0)
        try:
            for cpu in allowed:
                os.sched_setaffinity(0, {cpu})
                assert one_cpu._here() == cpu
        finally:
            os.sched_setaffinity(0, allowed)

    def test_a_sandbox_that_refuses_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_thread: int, _cpus: object) -> None:
            raise PermissionError("not here")

        monkeypatch.setattr(os, "sched_setaffinity", refuse)
        asyncio.run(asyncio.wait_for(one_cpu.stay_on_one_cpu(), 30))

    def test_a_thread_that_has_ended_meanwhile_disturbs_nobody(
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        allowed = os.sched_getaffinity(0)
        listed = [*(path.name for path in Path("/proc/self/task").iterdir()), "4194305"]
        monkeypatch.setattr(os, "listdir", lambda _path: listed)
        one_cpu._move(allowed)
