from __future__ import annotations

import pytest

from localgateway.errors import StartError
from localgateway.limits import Limits
from localgateway.rate import TokenBucket


def test_aws_own_quotas_hold_unless_told_otherwise() -> None:
    limits = Limits.parse([])
    assert limits.message_size == 131_072
    assert limits.frame_size == 32_768
    assert limits.idle_timeout == 600
    assert limits.max_duration == 7200
    assert limits.integration_timeout == 29
    assert limits.connects_per_second is None


def test_a_limit_is_changed_by_its_name() -> None:
    limits = Limits.parse(["idle_timeout=0.5", "frame_size=10", "connects_per_second=500"])
    assert (limits.idle_timeout, limits.frame_size, limits.connects_per_second) == (0.5, 10, 500)


@pytest.mark.parametrize(
    "setting",
    [
        "nothing=1",
        "idle_timeout",
        "idle_timeout=x",
        "frame_size=1.5",
        "frame_size=0",
        "idle_timeout=nan",
    ],
)
def test_a_wrong_limit_is_refused_and_the_right_ones_are_named(setting: str) -> None:
    with pytest.raises(StartError, match="connects_per_second") as caught:
        Limits.parse([setting])
    assert setting in str(caught.value)


def test_a_bucket_takes_its_burst_at_once_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=10, burst=3, now=0)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(100)
    assert not bucket.take(150)
    assert bucket.take(200)


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(rate=10, burst=2, now=0)
    assert [bucket.take(3_600_000) for _ in range(3)] == [True, True, False]


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(rate=10, burst=1, now=1000)
    assert bucket.take(1000)
    assert not bucket.take(0)
