"""A token bucket: how API Gateway throttles. Time is handed in."""

from __future__ import annotations


class TokenBucket:
    """Takes ``rate`` requests a second, and ``burst`` beyond them at once."""

    def __init__(self, rate: float, burst: float, now: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at = now

    def take(self, now: int) -> bool:
        """Take one token at ``now`` (milliseconds); False when there is none."""
        elapsed = max(0, now - self._filled_at) / 1000
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
