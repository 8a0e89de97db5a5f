"""The sweep: closes whoever has expired, and nobody else."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.connections import EVERYONE, Member, Page, members
from chalicelib.errors import ConnectionGone, ServiceUnavailable
from chalicelib.sweep import GRACE_SECONDS, Sweep
from tests.factories import NOW, make_connection
from tests.fakes import Clock
from tests.unit.test_closing import Closings


@pytest.fixture
def it() -> Iterator[Closings]:
    with ThreadPoolExecutor(4) as executor:
        yield Closings(executor)


def run(it: Closings, seconds: float = 20) -> tuple[int, int, int, int]:
    counts = Sweep(it.closer, clock=it.clock).run(seconds)
    return counts["closed"], counts["left"], counts["renewed"], counts["unread"]


def expired(seconds: int) -> int:
    return int(NOW) - seconds


def test_those_whose_time_is_over_are_closed_with_the_reason(it: Closings) -> None:
    it.add("over", expires_at=expired(GRACE_SECONDS))
    it.add("revoked")
    it.connections.expire("revoked", "alice")
    it.add("just over", expires_at=expired(GRACE_SECONDS - 1))
    it.add("alive")
    assert run(it) == (2, 0, 0, 0)
    assert it.posts("over") == [{"type": "closing", "code": 4401, "reason": "expired"}]
    assert it.posts("revoked") == [{"type": "closing", "code": 4403, "reason": "revoked"}]
    left = {member.connection_id for member in members(it.connections, EVERYONE, -1)}
    assert left == {"just over", "alive"}
    assert it.posts("alive") == it.posts("just over") == []


def test_a_renewal_that_stopped_half_way_is_completed_not_closed(it: Closings) -> None:
    connection = it.add("renewed")
    old = connection.member()._replace(expires_at=expired(60))
    it.connections._members[EVERYONE]["renewed"] = old
    assert run(it) == (0, 0, 1, 0)
    assert it.posts("renewed") == []
    assert list(members(it.connections, EVERYONE, NOW)) == [connection.member()]


def test_one_that_fails_does_not_stop_the_others(it: Closings) -> None:
    for name in ("young", "broken", "good"):
        it.add(name, age=1 if name == "young" else 60, expires_at=expired(60))
    it.management_api.fail("young", ConnectionGone("young"))
    it.management_api.fail("broken", ServiceUnavailable("500"))
    assert run(it) == (1, 2, 0, 0)
    it.management_api.errors.clear()
    it.clock.now += 60
    assert run(it) == (2, 0, 0, 0)
    assert it.connections.count_items() == 0


def test_what_there_is_no_time_for_is_left_to_the_next_minute(
    it: Closings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        it.add(f"connection-{number}", expires_at=expired(60))
    monkeypatch.setattr("chalicelib.sweep._AT_ONCE", 1)
    close = it.management_api.delete_connection

    def take_a_second(connection_id: str) -> None:
        it.clock.now += 1
        close(connection_id)

    monkeypatch.setattr(it.management_api, "delete_connection", take_a_second)
    closed, left, _, unread = run(it, 20)
    assert (closed, left, unread) == (20, 0, 1)
    assert run(it, 1000) == (80, 0, 0, 0)


class ShardedReading:
    """Remembers in which order shards are read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def shards(self, _audience: object) -> int:
        return 4

    def expired(self, shard: int, start: str | None, _limit: int, _by: float) -> Page:
        self.read.append(shard)
        found = (Member(f"{shard}-{start}", "alice", 0, 0),)
        return Page(found, "next" if start is None else None)

    def get(self, _name: str, _now: float) -> None:
        return None

    def remove(self, _name: str, _principal_id: str) -> None:
        return None


def test_every_page_of_every_shard_is_read_from_another_one_on_each_minute(it: Closings) -> None:
    orders = []
    for minute in range(4):
        reading = ShardedReading()
        clock = Clock(minute * 60)
        closer = type(it.closer)(reading, it.api_of, it.closer.executor, clock)  # type: ignore[arg-type]
        Sweep(closer, clock=clock).run(20)
        orders.append(reading.read[::2])
        assert reading.read[::2] == reading.read[1::2]
    assert orders == [[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]]


def test_nothing_to_do_is_nothing_done(it: Closings) -> None:
    it.connections.add(make_connection())
    assert run(it) == (0, 0, 0, 0)
