from __future__ import annotations

from wsclient.backoff import delay


def test_the_bound_doubles_up_to_a_minute() -> None:
    assert [delay(failures, 1.0) for failures in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert delay(10_000, 1.0) == 60


def test_chance_spreads_over_the_whole_of_it() -> None:
    assert delay(3, 0.0) == 0
    assert delay(3, 0.5) == 4
