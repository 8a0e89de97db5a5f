"""What each message must pass."""

from contextlib import suppress

import pytest

from chalicelib.connections import REVOKED
from chalicelib.endings import Closing, Ended
from chalicelib.errors import ClientError
from chalicelib.gate import MOST_REFUSALS, Gate
from chalicelib.rates import Rate, RateLimiter
from tests.factories import CONNECTION_ID, NOW, make_connection
from tests.fakes import Clock, InMemoryConnectionRepository, InMemoryRates


def make_gate(clock: Clock, rate: Rate | None = None, expires_at: int = int(NOW) + 60) -> Gate:
    connections = InMemoryConnectionRepository()
    connections.add(make_connection(expires_at=expires_at))
    connections.add(make_connection("of-bob", "bob"))
    limiter = None if rate is None else RateLimiter(InMemoryRates(), rate)
    return Gate(connections, limiter, clock)


def test_a_connection_that_lives_passes_and_is_known() -> None:
    gate = make_gate(Clock(NOW + 59.9))
    expected = make_connection(expires_at=int(NOW) + 60)
    assert gate.admit(CONNECTION_ID, "alice") == expected


@pytest.mark.parametrize(
    ("expires_at", "closing"),
    [
        (int(NOW), Closing.EXPIRED),
        (int(NOW) - 1, Closing.EXPIRED),
        (REVOKED, Closing.REVOKED),
    ],
)
def test_from_the_second_it_expires_on_nothing_passes(expires_at: int, closing: Closing) -> None:
    gate = make_gate(Clock(NOW), expires_at=expires_at)
    with pytest.raises(Ended) as caught:
        gate.admit(CONNECTION_ID, "alice")
    assert (caught.value.closing, caught.value.code) == (closing, closing.reason)


def test_nothing_passes_of_a_connection_that_is_not_known_any_more() -> None:
    with pytest.raises(Ended) as caught:
        make_gate(Clock(NOW)).admit("nobody", "alice")
    assert caught.value.closing is Closing.EXPIRED


def taken(gate: Gate, messages: int, name: str = CONNECTION_ID, principal: str = "alice") -> int:
    number = 0
    for _ in range(messages):
        with suppress(ClientError):
            gate.admit(name, principal)
            number += 1
    return number


def test_a_burst_passes_then_the_even_rate() -> None:
    clock = Clock(NOW)
    gate = make_gate(clock, Rate(10, 5))
    assert taken(gate, 8) == 5
    clock.now += 0.1
    assert taken(gate, 3) == 1
    clock.now += 10
    assert taken(gate, 8) == 5


def test_whoever_waits_as_long_as_it_is_told_passes() -> None:
    clock = Clock(NOW)
    gate = make_gate(clock, Rate(7, 3))
    assert taken(gate, 3) == 3
    with pytest.raises(ClientError) as caught:
        gate.admit(CONNECTION_ID, "alice")
    assert caught.value.code == "rate_limited"
    wait = caught.value.details["retryAfter"]
    assert isinstance(wait, float)
    assert 0 < wait <= 0.2
    clock.now += wait - 0.002
    assert taken(gate, 1) == 0
    clock.now += 0.002
    assert taken(gate, 1) == 1


def test_one_principal_does_not_slow_another_down() -> None:
    gate = make_gate(Clock(NOW), Rate(1, 1))
    assert taken(gate, 5) == 1
    assert taken(gate, 5, "of-bob", "bob") == 1


def test_whoever_goes_on_in_spite_of_refusals_is_closed() -> None:
    clock = Clock(NOW)
    gate = make_gate(clock, Rate(1, 1))
    assert taken(gate, MOST_REFUSALS) == 1
    with pytest.raises(Ended) as caught:
        gate.admit(CONNECTION_ID, "alice")
    assert caught.value.closing is Closing.TOO_FAST


def test_refusals_are_forgiven_after_a_pause() -> None:
    clock = Clock(NOW)
    gate = make_gate(clock, Rate(1, 1))
    for _ in range(3):
        assert taken(gate, MOST_REFUSALS) == 1
        clock.now += 1


def test_without_a_limit_nothing_is_counted() -> None:
    assert taken(make_gate(Clock(NOW)), 1000) == 1000
