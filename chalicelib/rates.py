"""How many messages a principal may send: the generic cell rate algorithm (GCRA), and its store.

One number says it all: when the principal will have sent all it has, at its even rate. Whoever is
further ahead of the clock than a burst allows must wait. https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

_ATTEMPTS = 3


class Standing(Enum):
    """How a principal stands: nothing sent that is not paid for, something, or too much."""

    IDLE = auto()
    BUSY = auto()
    OVER = auto()


@dataclass(frozen=True, slots=True)
class Rate:
    """So many messages per second, and so many at once after a pause."""

    per_second: int
    burst: int

    @property
    def interval(self) -> int:
        """Return the milliseconds a message takes."""
        return -(-1000 // self.per_second)

    def latest(self, now: int) -> int:
        """Return how far the time of a principal may be ahead of ``now``; all in milliseconds."""
        return now + (self.burst - 1) * self.interval

    def standing(self, ahead: int | None, now: int) -> Standing:
        """Judge a principal whose time is ``ahead``; None if it has sent nothing lately."""
        if ahead is None or ahead <= now:
            return Standing.IDLE
        return Standing.BUSY if ahead <= self.latest(now) else Standing.OVER


class RateStore(Protocol):
    """Implementations are held to tests/contract/test_rate_store.py; times in milliseconds.

    All raise ServiceUnavailable when the store does not answer.
    """

    def get(self, principal_id: str) -> int | None:
        """Return the time of a principal."""

    def begin(self, principal_id: str, now: int, interval: int) -> bool:
        """Let the time be ``now`` and an interval, and no refusals; False if it is not idle."""

    def go_on(self, principal_id: str, now: int, latest: int, interval: int) -> bool:
        """Add an interval; False if the time is over already, or later than ``latest``."""

    def refuse(self, principal_id: str) -> int:
        """Return how many messages were refused since the principal was idle, with this one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a message: taken, or refused for so many seconds, so many times now."""

    retry_after: float = 0.0
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class RateLimiter:
    """One read and one conditional write for each message, taken or refused."""

    store: RateStore
    rate: Rate

    def check(self, principal_id: str, now: float) -> Verdict:
        """Count a message; ``now`` is in seconds since the epoch."""
        at, interval = int(now * 1000), self.rate.interval
        latest = self.rate.latest(at)
        ahead: int | None = None
        for _ in range(_ATTEMPTS):  # each that fails has seen another message succeed
            ahead = self.store.get(principal_id)
            standing = self.rate.standing(ahead, at)
            if standing is Standing.OVER:
                break
            if standing is Standing.IDLE and self.store.begin(principal_id, at, interval):
                return Verdict()
            if standing is Standing.BUSY and self.store.go_on(principal_id, at, latest, interval):
                return Verdict()
        wait = max(interval, (ahead or at) - latest)
        return Verdict(wait / 1000, self.store.refuse(principal_id))
