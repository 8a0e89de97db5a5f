"""A pace holds its rate, and tells a slow receiver from an account over its quota."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.pacing import Pace


def run(pace: Pace, seconds: float, wake_up: float = 0.001) -> int:
    """Begin as often as may be, in a loop that wakes up only so often; return how often."""
    begun, now = 0, 0.0
    while now < seconds:
        while pace.delay(now) == 0:
            pace.begin(now)
            begun += 1
        now += max(wake_up, pace.delay(now))
    return begun


@pytest.mark.parametrize("rate", [1, 10, 237.5, 1000])
@pytest.mark.parametrize("wake_up", [0.0001, 0.01, 0.04])
def test_a_rate_is_held_however_seldom_one_wakes_up(rate: float, wake_up: float) -> None:
    assert run(Pace(rate, 0.0), 10.0, wake_up) == pytest.approx(10 * rate, rel=0.02, abs=1)


def test_there_is_no_burst_at_the_beginning() -> None:
    assert run(Pace(100, 0.0), 0.1) <= 11


def test_what_a_long_sleep_has_missed_is_not_made_good_for_at_once() -> None:
    pace = Pace(100, 0.0)
    begun = 0
    while pace.delay(60.0) == 0:
        pace.begin(60.0)
        begun += 1
    assert begun <= 21


def test_without_a_rate_nothing_waits() -> None:
    pace = Pace(None, 0.0)
    for _ in range(1000):
        assert pace.delay(0.0) == 0
        pace.begin(0.0)


def test_one_receiver_that_is_refused_for_ever_slows_nobody() -> None:
    pace = Pace(None, 0.0)
    for number in range(1000):
        now = number / 1000
        pace.refused(now, is_first=number == 0)
        pace.answered(now)
    assert not pace.throttled
    assert pace.rate is None


def test_refusals_of_many_slow_the_whole_worker_until_they_end() -> None:
    pace = Pace(None, 0.0)
    for number in range(100):
        pace.answered(number / 100)
        if number % 5 == 0:
            pace.refused(number / 100, is_first=True)
    assert pace.throttled
    slowed = pace.rate
    assert slowed is not None
    assert slowed < 100
    for number in range(300):
        pace.answered(1 + number / 100)
    assert not pace.throttled
    assert pace.rate is not None
    assert pace.rate > slowed


def test_a_given_rate_is_slowed_and_never_exceeded_afterwards() -> None:
    pace = Pace(100, 0.0)
    for number in range(60):
        pace.refused(number / 100, is_first=True)
        pace.answered(number / 100)
    assert pace.rate is not None
    assert pace.rate < 100
    for number in range(10_000):
        pace.answered(1 + number / 100)
    assert pace.rate == 100


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 2)), max_size=200),
    st.none() | st.floats(1, 10_000),
)
def test_whatever_happens_there_is_a_rate_above_nothing_and_none_above_the_given(
    answers: list[tuple[bool, bool, float]], rate: float | None
) -> None:
    pace, now = Pace(rate, 0.0), 0.0
    for refused, is_first, seconds in answers:
        now += seconds
        if refused:
            pace.refused(now, is_first=is_first)
        else:
            pace.answered(now)
        now += pace.delay(now)  # who asks also waits
        pace.begin(now)
        assert pace.rate is None or pace.rate >= 1
        assert rate is None or (pace.rate is not None and pace.rate <= rate)
        assert pace.delay(now) <= 1.001
