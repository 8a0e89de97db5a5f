"""How long to wait before connecting again. Pure."""

from __future__ import annotations

_FIRST, _LONGEST = 1.0, 60.0


def delay(failures: int, chance: float) -> float:
    """Return seconds after so many failures in a row; ``chance`` is from 0 to 1.

    Anywhere up to a bound that doubles, so that clients who were dropped together do not come
    back together: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """
    bound = min(_LONGEST, _FIRST * 2.0 ** min(failures, 10))
    return bound * chance
