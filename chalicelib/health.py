"""Whether what the API depends on answers, asked no more often than every few seconds."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from chalicelib.errors import PortcullisError

# Anybody may ask, and each look is paid for.
KEPT_SECONDS = 5.0


class Database(Protocol):
    """Whatever holds tables."""

    def call(self, operation: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Carry out an operation; raises PortcullisError."""


class TableHealth:
    """Looks for an item that is not there; ``dynamodb`` must not wait for long."""

    def __init__(
        self, dynamodb: Database, table: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._clock = clock
        self._looked_at = float("-inf")
        self._answers = False
        self._lock = threading.Lock()

    def __call__(self) -> bool:
        """Return whether the table answers, or did a moment ago."""
        with self._lock:
            if self._clock() - self._looked_at >= KEPT_SECONDS:
                self._answers = self._look()
                self._looked_at = self._clock()
            return self._answers

    def _look(self) -> bool:
        key = {"pk": {"S": "health#"}, "sk": {"S": "health"}}
        try:
            self._dynamodb.call("GetItem", {"TableName": self._table, "Key": key})
        except PortcullisError:
            return False
        return True
