"""Answers of HTTP authorizers, kept as API Gateway keeps them: for a time, for what was shown."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_ANSWERS = 1000
"""So that whoever shows something new each time does not fill this process."""


@dataclass(slots=True)
class KeptAnswers:
    """``clock`` returns seconds, of any beginning."""

    clock: Callable[[], float]
    _kept: dict[str, tuple[float, Any]] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def get(self, key: str) -> Any:
        """Return the answer kept under a key, None where none is or its time is over."""
        with self._lock:
            until, answer = self._kept.get(key, (0.0, None))
            if answer is not None and self.clock() >= until:
                del self._kept[key]
                return None
            return answer

    def keep(self, key: str, answer: Any, seconds: float) -> None:
        """Keep an answer for some seconds from now; where there are too many the oldest goes."""
        with self._lock:
            self._kept.pop(key, None)
            if len(self._kept) >= MAX_ANSWERS:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = (self.clock() + seconds, answer)


def key_of(authorizer: str, shown: Sequence[Sequence[str]]) -> str:
    """Return the key for the values of all identity sources, in their order; no value is in it."""
    return hashlib.sha256(json.dumps([authorizer, *shown]).encode()).hexdigest()
