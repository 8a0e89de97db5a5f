"""Notes which functions are called: how a secret is compared shows in no result."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def noted_calls() -> Iterator[list[str]]:
    """Note the name of every function that is called on this thread, in order.

    Meanwhile the garbage collector stands still: it calls finalizers, and whoever asked to be told.
    """
    called: list[str] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        if event in {"call", "c_call"}:
            called.append(getattr(argument, "__name__", frame.f_code.co_name))

    was_collecting = gc.isenabled()
    gc.disable()
    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)
        if was_collecting:
            gc.enable()
