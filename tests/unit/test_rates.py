"""How many messages a rate lets pass, by its numbers."""

from __future__ import annotations

import pytest

from chalicelib.rates import Rate, RateLimiter
from tests.factories import NOW
from tests.fakes import InMemoryRates


class Counting(InMemoryRates):
    """Counts the writes that are tried."""

    def __init__(self) -> None:
        super().__init__()
        self.tried = 0

    def begin(self, principal_id: str, now: int, interval: int) -> bool:
        self.tried += 1
        return super().begin(principal_id, now, interval)

    def go_on(self, principal_id: str, now: int, latest: int, interval: int) -> bool:
        self.tried += 1
        return super().go_on(principal_id, now, latest, interval)


@pytest.mark.parametrize("per_second", [1, 2, 3, 7, 60, 300, 501, 700, 999, 1000])
def test_no_more_pass_in_a_second_than_the_rate_says(per_second: int) -> None:
    limiter = RateLimiter(InMemoryRates(), Rate(per_second, 1))
    moments = (NOW + millisecond / 1000 for millisecond in range(5000))
    taken = [moment for moment in moments if not limiter.check("alice", moment).refusals]
    assert 0 < len(taken) <= 5 * per_second


@pytest.mark.parametrize("burst", [1, 2, 10])
def test_as_many_pass_at_once_as_a_burst_has_and_one_more_after_an_interval(burst: int) -> None:
    limiter = RateLimiter(InMemoryRates(), Rate(2, burst))
    for number in range(burst + 3):
        assert bool(limiter.check("alice", NOW).refusals) is (number >= burst)
    assert limiter.check("alice", NOW).retry_after == 0.5
    assert not limiter.check("alice", NOW + 0.501).refusals
    assert limiter.check("alice", NOW + 0.501).refusals


def test_whoever_is_over_its_rate_costs_no_write_but_the_count() -> None:
    store = Counting()
    limiter = RateLimiter(store, Rate(1, 1))
    assert not limiter.check("alice", NOW).refusals
    assert [limiter.check("alice", NOW).refusals for _ in range(5)] == [1, 2, 3, 4, 5]
    assert store.tried == 1
