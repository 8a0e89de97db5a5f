"""Notes which functions are called: how a secret is compared shows in no result."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def noted_calls() -> Iterator[list[str]]:
    """Note the name of every function that is called on this thread, in order."""
    called: list[str] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        if event in {"call", "c_call"}:
            called.append(getattr(argument, "__name__", frame.f_code.co_name))

    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)
