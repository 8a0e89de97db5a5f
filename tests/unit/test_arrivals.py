"""How many connections of one principal may be open at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.arrivals import Arrivals
from chalicelib.connections import EVERYONE, Audience, members
from chalicelib.errors import ServiceUnavailable
from tests.factories import NOW, make_connection
from tests.fakes import Clock, InMemoryConnectionRepository, InMemoryRevocations

ALICE = Audience("principal", "alice")


def make_arrivals(most: int) -> tuple[Arrivals, InMemoryConnectionRepository]:
    connections, clock = InMemoryConnectionRepository(), Clock(NOW)
    return Arrivals(connections, InMemoryRevocations(), most, clock, clock.sleep), connections


def arrive(arrivals: Arrivals, number: int, principal_id: str = "alice") -> str | None:
    connected_at = int(NOW * 1000) + number
    name = f"{principal_id}-{number:03}"
    return arrivals.admit(make_connection(name, principal_id, connected_at=connected_at))


def test_the_newest_is_refused_and_nothing_of_it_is_left() -> None:
    arrivals, connections = make_arrivals(3)
    assert [arrive(arrivals, number) for number in range(5)] == [None] * 3 + [
        "too_many_connections"
    ] * 2
    assert connections.count_items() == 3 * 3
    assert arrive(arrivals, 0, "bob") is None


def test_whoever_leaves_makes_room() -> None:
    arrivals, connections = make_arrivals(1)
    assert arrive(arrivals, 0) is None
    connections.remove("alice-000", "alice")
    assert arrive(arrivals, 1) is None


def test_those_who_have_expired_do_not_count() -> None:
    arrivals, connections = make_arrivals(1)
    connections.add(make_connection("old", expires_at=int(NOW)))
    assert arrive(arrivals, 0) is None


def test_without_a_limit_any_number_may_come() -> None:
    arrivals, _ = make_arrivals(0)
    assert {arrive(arrivals, number) for number in range(50)} == {None}


def test_of_many_at_once_never_more_stay() -> None:
    arrivals, connections = make_arrivals(10)
    with ThreadPoolExecutor(64) as executor:
        refusals = list(executor.map(lambda number: arrive(arrivals, number), range(200)))
    present = list(members(connections, ALICE, NOW))
    assert refusals.count(None) == len(present) <= 10
    assert len(list(members(connections, EVERYONE, NOW))) == len(present)


def test_where_it_cannot_be_told_nobody_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    arrivals, connections = make_arrivals(1)

    def fail(_principal_id: str) -> int:
        raise ServiceUnavailable("the store is down")

    monkeypatch.setattr(arrivals.revocations, "not_before", fail)
    with pytest.raises(ServiceUnavailable):
        arrive(arrivals, 0)
    assert connections.count_items() == 0
