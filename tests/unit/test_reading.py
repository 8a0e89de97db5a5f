"""An audience that is read while it is sent to: nobody twice, nobody lost, nobody waited for."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.connections import EVERYONE, Audience, Page
from chalicelib.reading import Reading
from tests.factories import NOW, make_connection
from tests.fakes import Clock, InMemoryConnectionRepository


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


def reading_of(
    connections: InMemoryConnectionRepository, executor: ThreadPoolExecutor, **options: Any
) -> Reading:
    places = [(shard, None) for shard in range(connections.shards(EVERYONE))]
    defaults = {"places": places, "now": Clock(NOW)}
    return Reading(connections, executor, EVERYONE, **{**defaults, **options})


def taken(reading: Reading) -> list[str]:
    found: list[str] = []
    for member in reading.members():
        if member is None:
            time.sleep(0)  # or those who read would have to wait for this thread
        else:
            found.append(member.connection_id)
    return found


def populated(members: int, shards: int) -> InMemoryConnectionRepository:
    connections = InMemoryConnectionRepository(everyone_shards=shards)
    for number in range(members):
        connections.add(make_connection(f"connection-{number:04}"))
    return connections


@given(
    members=st.integers(0, 60),
    shards=st.integers(1, 5),
    page=st.integers(1, 20),
    most=st.none() | st.integers(1, 70),
)
@settings(max_examples=200, deadline=None)
def test_whoever_is_not_taken_is_in_the_rest_and_nobody_is_in_both(
    executor: ThreadPoolExecutor, members: int, shards: int, page: int, most: int | None
) -> None:
    connections = populated(members, shards)
    reading = reading_of(connections, executor, page=page, most=most)
    first = taken(reading)
    rest = reading.rest()
    assert len(first) == min(members, members if most is None else most)
    assert (rest == []) or len(first) == most
    second = taken(reading_of(connections, executor, places=rest)) if rest else []
    assert sorted(first + second) == [f"connection-{number:04}" for number in range(members)]


def test_a_small_audience_of_many_shards_is_read_at_once_and_leaves_no_rest(
    executor: ThreadPoolExecutor,
) -> None:
    asked: list[int] = []

    class Watched(InMemoryConnectionRepository):
        def read(
            self, audience: Audience, shard: int, start: str | None, limit: int, now: float
        ) -> Page:
            asked.append(limit)
            return super().read(audience, shard, start, limit, now)

    connections = Watched(everyone_shards=16)
    for number in range(10):
        connections.add(make_connection(f"connection-{number:04}"))
    reading = reading_of(connections, executor, most=500)
    assert len(taken(reading)) == 10
    assert reading.rest() == []
    assert asked == [32] * 16


def test_who_expires_between_reading_and_sending_is_counted_and_not_taken(
    executor: ThreadPoolExecutor,
) -> None:
    connections, clock = populated(3, 1), Clock(NOW)
    connections.add(make_connection("connection-0001", expires_at=int(NOW) + 5))
    reading = reading_of(connections, executor, now=clock)
    members = reading.members()
    found = [next(it for it in members if it is not None).connection_id]
    clock.now += 10
    found += [member.connection_id for member in members if member is not None]
    assert found == ["connection-0000", "connection-0002"]
    assert reading.expired == 1


def test_while_a_page_is_read_there_is_none_yet_and_then_the_next(
    executor: ThreadPoolExecutor,
) -> None:
    may_go_on = threading.Event()

    class Slow(InMemoryConnectionRepository):
        def read(
            self, audience: Audience, shard: int, start: str | None, limit: int, now: float
        ) -> Page:
            if start is not None:
                may_go_on.wait(60)
            return super().read(audience, shard, start, limit, now)

    connections = Slow()
    for name in ("a", "b"):
        connections.add(make_connection(name))
    members = reading_of(connections, executor, page=1).members()
    first = next(it for it in members if it is not None)
    assert (first.connection_id, next(members), next(members)) == ("a", None, None)
    may_go_on.set()
    assert next(it for it in members if it is not None).connection_id == "b"


def test_a_page_is_read_ahead_of_those_who_take_it(executor: ThreadPoolExecutor) -> None:
    read = threading.Semaphore(0)

    class Watched(InMemoryConnectionRepository):
        def read(
            self, audience: Audience, shard: int, start: str | None, limit: int, now: float
        ) -> Page:
            read.release()
            return super().read(audience, shard, start, limit, now)

    connections = Watched()
    for name in ("a", "b", "c", "d"):
        connections.add(make_connection(name))
    members = reading_of(connections, executor, page=2).members()
    next(it for it in members if it is not None)
    assert read.acquire(timeout=60)
    assert read.acquire(timeout=60)


def test_each_page_is_announced_before_any_of_it_is_taken(executor: ThreadPoolExecutor) -> None:
    announced: list[str] = []
    reading = reading_of(
        populated(5, 1),
        executor,
        page=2,
        announce=lambda page: announced.extend(it.connection_id for it in page.members),
    )
    for member in reading.members():
        assert member is None or member.connection_id in announced


def test_once_it_is_over_nobody_is_taken_and_all_are_left(executor: ThreadPoolExecutor) -> None:
    over: list[bool] = []
    reading = reading_of(populated(10, 1), executor, page=4, is_over=lambda: bool(over))
    members = reading.members()
    next(it for it in members if it is not None)
    over.append(True)
    assert list(members) == []
    assert reading.rest() == [(0, "connection-0000")]
