"""How fast requests may begin: a given rate, less while the other side refuses many receivers.

A 429 has two meanings, and nothing in it tells them apart: the account is over its quota, or one
receiver does not read. Refusals of one receiver say nothing of the others; refusals spread over
many are the account's, and only slowing down helps. Pure: every time is passed in, in seconds.
"""

_WINDOW = 0.5
_FEWEST = 5
_SHARE = 0.05
_SLOWER = 0.7
_FASTER = 1.1
# A sleeping selector wakes late: what was missed is made good for, but no more than this.
_CATCH_UP = 0.2


class Pace:
    """Holds a run of requests to a rate, or lets them go until they are refused."""

    __slots__ = (
        "_answered", "_limit", "_next", "_refused", "_since", "_was_refused", "rate", "throttled",
    )  # fmt: skip

    def __init__(self, rate: float | None, now: float) -> None:
        """``rate`` is in requests per second, None for as many as there can be."""
        self._limit = self.rate = rate
        self.throttled = False
        """Whether refusals are the account's."""
        self._next = self._since = now
        self._answered = self._refused = 0
        self._was_refused = False

    def delay(self, now: float) -> float:
        """Return how long to wait before the next may begin."""
        return 0.0 if self.rate is None else max(0.0, self._next - now)

    def begin(self, now: float) -> None:
        """Note that one has begun."""
        if self.rate is not None:
            self._next = max(self._next, now - _CATCH_UP) + 1 / self.rate

    def answered(self, now: float) -> None:
        """Note an answer that is no refusal."""
        self._answered += 1
        if now - self._since >= _WINDOW:
            self._turn(now)

    def refused(self, now: float, *, is_first: bool) -> None:
        """Note a refusal, and whether it is its receiver's first."""
        self._refused += is_first
        self._was_refused = True
        if self._is_spread():
            self.throttled = True
        if now - self._since >= _WINDOW:
            self._turn(now)

    def _is_spread(self) -> bool:
        others = self._answered + self._refused
        return self._refused >= _FEWEST and self._refused > _SHARE * others

    def _turn(self, now: float) -> None:
        """Adjust the rate by what a window has seen, and begin the next."""
        if self._is_spread():
            passed = self._answered / (now - self._since)
            self._set(max(1.0, min(self.rate or passed, passed) * _SLOWER), now)
        elif not self._was_refused:
            self.throttled = False
            if self.rate is not None and self.rate != self._limit:
                self._set(min(self.rate * _FASTER, self._limit or self.rate * _FASTER), now)
        self._since = now
        self._answered = self._refused = 0
        self._was_refused = False

    def _set(self, rate: float, now: float) -> None:
        self.rate = rate
        self._next = min(self._next, now + 1 / rate)
