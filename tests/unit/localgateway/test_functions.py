"""Functions run as Lambda would run them: events in, JSON out, failures reported."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from localgateway import lambda_context
from localgateway.errors import FunctionError, FunctionTimedOut
from localgateway.functions import Functions, Handler

Start = Callable[..., Functions]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start functions that are closed in the end."""
    started: list[Functions] = []

    def start_functions(
        timeout: float = 30.0, concurrency: int = 4, **handlers: Handler
    ) -> Functions:
        started.append(Functions(handlers, timeout=timeout, concurrency=concurrency))
        return started[-1]

    yield start_functions
    for functions in started:
        functions.close()


def answering(value: Any) -> Handler:
    return lambda _event, _context: value


def raising(error: BaseException) -> Handler:
    def handler(_event: Any, _context: Any) -> Any:
        raise error

    return handler


def run(work: Awaitable[Any]) -> Any:
    async def waited() -> Any:
        return await work

    return asyncio.run(waited())


class Loop(asyncio.SelectorEventLoop):
    """A loop whose time a test can let pass."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def run_on(loop: Loop, work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(asyncio.wait_for(work, 900))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(None, None, id="nothing"),
        pytest.param("text", "text", id="text"),
        pytest.param({"statusCode": 200}, {"statusCode": 200}, id="an object"),
        pytest.param((1, 2), [1, 2], id="a tuple is a list"),
        pytest.param({1: "a", None: "b"}, {"1": "a", "null": "b"}, id="keys are strings"),
        pytest.param("größe 😀", "größe 😀", id="letters of any language"),
    ],
)
def test_an_answer_is_what_its_json_reads(start: Start, answer: Any, expected: Any) -> None:
    assert run(start(f=answering(answer)).invoke("f", {})) == expected


def circular() -> list[Any]:
    around: list[Any] = []
    around.append(around)
    return around


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(object(), id="an object of a class"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param({"a": {1, 2}}, id="a set"),
        pytest.param(float("nan"), id="not a number"),
        pytest.param([float("inf")], id="infinity"),
        pytest.param({("a", "b"): 1}, id="a tuple for a key"),
        pytest.param(circular(), id="a list in itself"),
    ],
)
def test_an_answer_that_is_no_json_is_the_functions_fault(start: Start, answer: Any) -> None:
    with pytest.raises(FunctionError, match=r"^f: "):
        run(start(f=answering(answer)).invoke("f", {}))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(Exception("Unauthorized"), "Unauthorized", id="a refusal"),
        pytest.param(ValueError("bad value"), "bad value", id="an error"),
        pytest.param(KeyError("Unauthorized"), "'Unauthorized'", id="a key error, in quotes"),
        pytest.param(RuntimeError(), "", id="an error without words"),
        pytest.param(StopIteration("done"), "done", id="the end of an iterator"),
        pytest.param(SystemExit(3), "3", id="an exit"),
    ],
)
def test_an_error_reports_its_words(start: Start, error: BaseException, message: str) -> None:
    with pytest.raises(FunctionError) as raised:
        run(start(f=raising(error)).invoke("f", {}))
    assert raised.value.message == message
    assert raised.value.__cause__ is error
    assert not isinstance(raised.value, FunctionTimedOut)


def test_a_function_that_ends_the_process_ends_only_its_invocation(start: Start) -> None:
    def leave(_event: Any, _context: Any) -> None:
        sys.exit()

    functions = start(leave=leave, f=answering(1))
    with pytest.raises(FunctionError):
        run(functions.invoke("leave", {}))
    assert run(functions.invoke("f", {})) == 1


def test_a_function_that_does_not_exist_fails(start: Start) -> None:
    with pytest.raises(FunctionError, match="'other'"):
        run(start(f=answering(1)).invoke("other", {}))


def test_an_error_is_logged_with_its_traceback(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("bad value")
    with pytest.raises(FunctionError):
        run(start(f=raising(error)).invoke("f", {}))
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "f raised")
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_what_outlives_the_end_fails_unheard(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def outlive(_event: Any, _context: Any) -> None:
        begun.set()
        ended.wait(60)
        raise ConnectionRefusedError

    functions = start(timeout=60.0, outlive=outlive)

    async def end() -> None:
        running = asyncio.create_task(functions.invoke("outlive", {}))
        await asyncio.to_thread(begun.wait, 60)
        functions.close()
        ended.set()
        await running

    with pytest.raises(FunctionError):
        run(end())
    assert caplog.records == []


def test_a_refusal_is_no_error_in_the_log(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(FunctionError):
        run(start(f=raising(Exception("Unauthorized"))).invoke("f", {}))
    assert caplog.records == []


def test_a_function_gets_the_event_and_a_lambda_context(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()  # one goes by whenever somebody looks
    clock = SimpleNamespace(monotonic=lambda: next(seconds))
    monkeypatch.setattr(lambda_context, "time", clock)
    seen: list[Any] = []

    def handler(event: Any, context: Any) -> None:
        seen.extend([event, context.function_name, context.get_remaining_time_in_millis()])
        seen.append(threading.current_thread() is threading.main_thread())

    run(start(timeout=37.5, f=handler).invoke("f", {"a": 1}))
    assert seen == [{"a": 1}, "f", 36_500, False]


def test_functions_run_at_once(start: Start) -> None:
    both = threading.Barrier(2, timeout=60)

    def meet(_event: Any, _context: Any) -> bool:
        both.wait()
        return True

    functions = start(concurrency=2, f=meet, g=meet)

    async def together() -> list[Any]:
        return list(await asyncio.gather(functions.invoke("f", {}), functions.invoke("g", {})))

    assert asyncio.run(together()) == [True, True]


def test_no_more_functions_run_at_once_than_were_allowed(start: Start) -> None:
    running = []
    most = []
    lock = threading.Lock()
    both = threading.Barrier(2, timeout=60)

    def handler(_event: Any, _context: Any) -> None:
        with lock:
            running.append(1)
            most.append(len(running))
        both.wait()
        time.sleep(0.01)  # for whoever would be one too many
        with lock:
            running.pop()

    functions = start(concurrency=2, timeout=90, f=handler)

    async def together() -> None:
        await asyncio.gather(*(functions.invoke("f", {}) for _ in range(6)))

    asyncio.run(together())
    assert max(most) == 2


def test_a_function_past_its_time_limit_times_out_and_runs_on(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    begun = threading.Event()
    go_on = threading.Event()
    finished = threading.Event()

    def handler(_event: Any, _context: Any) -> None:
        begun.set()
        assert go_on.wait(60)
        finished.set()

    functions = start(timeout=600.5, f=handler)
    loop = Loop()

    async def past_its_limit() -> None:
        call = asyncio.ensure_future(functions.invoke("f", {}))
        assert await asyncio.to_thread(begun.wait, 30)
        loop.ahead = 300.0
        await asyncio.sleep(0.001)  # and a turn of the loop, in which timers are looked at
        assert not call.done()
        loop.ahead = 600.5
        with pytest.raises(FunctionTimedOut, match=r"^f: .*600\.50 s"):
            await call

    run_on(loop, past_its_limit())
    assert caplog.messages == ["f is still running after 600.5 s"]
    assert not finished.is_set()
    go_on.set()
    assert finished.wait(30)


def test_an_error_after_the_time_limit_disturbs_nobody(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    begun = threading.Event()
    go_on = threading.Event()

    def late(_event: Any, _context: Any) -> None:
        begun.set()
        assert go_on.wait(60)
        raise ValueError("too late")

    functions = start(timeout=600.5, late=late, f=answering(1))
    loop = Loop()

    async def both() -> Any:
        call = asyncio.ensure_future(functions.invoke("late", {}))
        assert await asyncio.to_thread(begun.wait, 30)
        loop.ahead = 600.5
        with pytest.raises(FunctionTimedOut):
            await call
        go_on.set()
        while "late raised" not in caplog.messages:
            await asyncio.sleep(0.005)
        return await functions.invoke("f", {})

    assert run_on(loop, both()) == 1
    assert caplog.messages == ["late is still running after 600.5 s", "late raised"]
