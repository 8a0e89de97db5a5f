"""Runs functions beside each other, one step of one of them at a time, in a given order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from itertools import combinations
from typing import Any


def interleavings(first: str, steps: int, second: str, others: int) -> list[list[str]]:
    """Return every order in which two functions can take so many steps each."""
    total = range(steps + others)
    return [
        [first if place in chosen else second for place in total]
        for chosen in combinations(total, steps)
    ]


class Steps:
    """Lets each thread take its next step only when its name comes in the order given.

    A step lasts until its thread asks for the next one, or ends. Who takes more steps than the
    order has takes them whenever it likes.
    """

    def __init__(self, order: Sequence[str]) -> None:
        self._order = list(order)
        self._ended: set[str] = set()
        self._holder: str | None = None
        self._turn = threading.Condition()

    def take(self) -> None:
        """End the step before, and wait for one's turn."""
        name = threading.current_thread().name
        with self._turn:
            self._release(name)
            assert self._turn.wait_for(lambda: self._is_turn_of(name), timeout=60)
            self._holder = name
            if self._order:
                self._order.pop(0)

    def _release(self, name: str) -> None:
        if self._holder == name:
            self._holder = None
        self._turn.notify_all()

    def run(self, **functions: Callable[[], object]) -> None:
        """Run functions to their end; raises what any of them raises."""
        problems: list[BaseException] = []

        def work(name: str) -> None:
            try:
                functions[name]()
            except BaseException as problem:
                problems.append(problem)
            with self._turn:
                self._ended.add(name)
                self._release(name)

        threads = [threading.Thread(target=work, args=(name,), name=name) for name in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
        if problems:
            raise problems[0]

    def _is_turn_of(self, name: str) -> bool:
        while self._order and self._order[0] in self._ended:
            self._order.pop(0)
        return self._holder is None and (not self._order or self._order[0] == name)


class Here(Executor):
    """Runs what it is given at once, so that its steps are those of whoever gave it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future
