"""When to try again."""

import pytest

from chalicelib.backoff import Backoff
from tests.fakes import Clock


def test_pauses_grow_up_to_the_longest_and_end_before_the_deadline() -> None:
    clock = Clock(0)
    backoff = Backoff(clock.sleep, lambda: 1.0, clock, first=0.1, longest=0.5, deadline=2.0)
    attempts = list(backoff.attempts())
    assert attempts == list(range(len(attempts)))
    assert clock.slept == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])


def test_pauses_are_jittered_over_their_whole_length() -> None:
    clock = Clock(0)
    randoms = iter([0.0, 0.5, 1.0])
    backoff = Backoff(
        clock.sleep, lambda: next(randoms), clock, first=1.0, longest=9.0, deadline=9.0
    )
    for attempt in backoff.attempts():
        if attempt == 3:
            break
    assert clock.slept == pytest.approx([0.0, 1.0, 4.0])
