"""What every ConnectionRepository must do: the one that ships, on a real engine, and the fake."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import pytest

from chalicelib.api import connection_table
from chalicelib.aws import Caller, Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.connection_table import DynamoDBConnectionRepository
from chalicelib.connections import (
    EVERYONE,
    REVOKED,
    Audience,
    Connection,
    ConnectionRepository,
    Member,
    implicit_audiences,
    members,
    shard_of,
)
from chalicelib.dynamodb import DynamoDB
from chalicelib.errors import ConnectionGone, ServiceUnavailable
from localgateway.database import EmbeddedDatabase
from tests.factories import NOW, make_connection
from tests.fakes import InMemoryConnectionRepository

SHARDS = 16
CHANNEL_SHARDS = 2
MOST = 50
ALICE = Audience("principal", "alice")
CHANNEL = Audience("channel", "news")

_numbers = itertools.count()


class Store(ConnectionRepository, Protocol):
    """A repository, and what a test needs to look behind it and to break it."""

    def fail_after(self, writes: int | None) -> None: ...

    def count_items(self) -> int: ...


class BreakableDynamoDB(DynamoDB):
    """Raises ServiceUnavailable once a number of writing calls has been made."""

    writes_left: int | None = None

    def call(self, operation: str, payload: Any) -> dict[str, Any]:
        if self.writes_left is not None and operation not in {"Query", "GetItem"}:
            if self.writes_left == 0:
                raise ServiceUnavailable("the store is down")
            self.writes_left -= 1
        return super().call(operation, payload)


class DynamoDBStore(DynamoDBConnectionRepository):
    """The repository that ships, on a table of its own."""

    def __init__(self, caller: Caller, table: str) -> None:
        self._breakable = BreakableDynamoDB(caller, Backoff())
        super().__init__(self._breakable, table, SHARDS, CHANNEL_SHARDS)

    def fail_after(self, writes: int | None) -> None:
        self._breakable.writes_left = writes

    def count_items(self) -> int:
        answer = self._breakable.call("Scan", {"TableName": self._table, "Select": "COUNT"})
        return int(answer["Count"])


@pytest.fixture
def dynamodb(database: EmbeddedDatabase) -> Iterator[DynamoDBStore]:
    table = f"contract-{next(_numbers)}"
    database.create_table(connection_table(table))
    credentials = Credentials("testing", "testing")
    signer = Signer("us-east-1", "dynamodb")
    client = SignedClient(database.endpoint_url, signer, lambda: credentials, time.time)
    yield DynamoDBStore(client, table)
    client.close()


@pytest.fixture
def memory() -> InMemoryConnectionRepository:
    return InMemoryConnectionRepository(SHARDS, CHANNEL_SHARDS)


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> Store:
    store: Store = request.getfixturevalue(request.param)
    return store


def ids(store: Store, audience: Audience, now: float = NOW) -> list[str]:
    return sorted(member.connection_id for member in members(store, audience, now))


def test_a_connection_that_was_added_is_found_as_it_was(store: Store) -> None:
    connection = make_connection()
    store.add(connection)
    assert store.get(connection.connection_id, NOW) == connection


def test_an_unknown_connection_is_none(store: Store) -> None:
    assert store.get("nobody", NOW) is None


def test_adding_again_replaces(store: Store) -> None:
    store.add(make_connection(expires_at=int(NOW) + 10))
    renewed = make_connection(expires_at=int(NOW) + 99, context={})
    store.add(renewed)
    assert store.get(renewed.connection_id, NOW) == renewed
    assert list(members(store, EVERYONE, NOW)) == [renewed.member()]


@pytest.mark.parametrize(("seconds", "found"), [(-1, True), (0, False), (1, False)])
def test_a_connection_ends_at_the_second_it_expires(
    store: Store, seconds: int, found: bool
) -> None:
    connection = make_connection()
    store.add(connection)
    now = connection.expires_at + seconds
    assert (store.get(connection.connection_id, now) is not None) is found
    assert bool(ids(store, EVERYONE, now)) is found


def test_a_connection_is_a_member_of_everyone_and_of_its_principal(store: Store) -> None:
    connection = make_connection()
    store.add(connection)
    store.add(make_connection("of-bob", "bob"))
    assert ids(store, EVERYONE) == sorted([connection.connection_id, "of-bob"])
    assert list(members(store, ALICE, NOW)) == [connection.member()]


def test_an_audience_nobody_is_in_is_empty(store: Store) -> None:
    assert ids(store, Audience("principal", "nobody")) == []


def test_expired_members_are_left_out_and_the_others_are_not(store: Store) -> None:
    store.add(make_connection("expired", expires_at=int(NOW)))
    store.add(make_connection("alive"))
    assert ids(store, EVERYONE) == ids(store, ALICE) == ["alive"]


def test_members_come_from_every_shard(store: Store) -> None:
    names = [f"connection-{number}" for number in range(60)]
    assert {shard_of(name, SHARDS) for name in names} == set(range(SHARDS))
    for name in names:
        store.add(make_connection(name))
    assert ids(store, EVERYONE) == sorted(names)


def test_members_come_from_every_page(store: Store) -> None:
    # DynamoDB ends a page at 1 MB.
    names = [f"{number:04}".ljust(1000, "x") for number in range(1100)]
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(store.add, (make_connection(name) for name in names)))
    assert ids(store, ALICE) == names


@pytest.mark.parametrize(
    "principal_id",
    [
        pytest.param('auth0|it\'s "me"\\', id="quotes and a backslash"),
        pytest.param("a#b#0", id="what separates parts of a key"),
        pytest.param("Zoë 日本 😀\n\u2028", id="non-ASCII text and line ends"),
        pytest.param("x" * 1024, id="as long as an audience may be"),
    ],
)
def test_any_principal_can_be_stored_addressed_and_removed(store: Store, principal_id: str) -> None:
    connection = make_connection(principal_id=principal_id)
    store.add(connection)
    assert store.get(connection.connection_id, NOW) == connection
    assert ids(store, Audience("principal", principal_id)) == [connection.connection_id]
    store.remove(connection.connection_id, principal_id)
    assert store.count_items() == 0


def test_removing_leaves_nothing_of_a_connection_and_all_of_the_others(store: Store) -> None:
    removed, kept = make_connection("removed"), make_connection("kept")
    store.add(kept)
    items = store.count_items()
    store.add(removed)
    store.remove(removed.connection_id, removed.principal_id)
    assert store.get("removed", NOW) is None
    assert store.count_items() == items
    assert ids(store, EVERYONE) == ids(store, ALICE) == ["kept"]


def test_removing_twice_or_an_unknown_connection_changes_nothing(store: Store) -> None:
    connection = make_connection()
    store.remove("nobody", "alice")
    store.add(connection)
    for _ in range(2):
        store.remove(connection.connection_id, connection.principal_id)
    assert store.count_items() == 0


def test_removing_while_reading_disturbs_neither(store: Store) -> None:
    for number in range(30):
        store.add(make_connection(f"connection-{number}"))
    for member in members(store, EVERYONE, NOW):
        store.remove(member.connection_id, member.principal_id)
    assert store.count_items() == 0


def test_a_connection_is_a_member_of_the_channels_it_joined(store: Store) -> None:
    connection = joined(store, CHANNEL)
    assert store.join(connection.connection_id, CHANNEL, NOW, MOST)
    assert list(members(store, CHANNEL, NOW)) == [connection.member()]
    assert ids(store, CHANNEL, connection.expires_at) == []


def test_joining_and_leaving_may_repeat(store: Store) -> None:
    connection = make_connection()
    store.add(connection)
    items = store.count_items()
    for _ in range(2):
        assert store.join(connection.connection_id, CHANNEL, NOW, MOST)
    assert store.count_items() == items + 2
    assert store.channels(connection.connection_id) == [CHANNEL]
    for _ in range(2):
        store.leave(connection.connection_id, CHANNEL)
    assert store.count_items() == items
    assert store.channels(connection.connection_id) == []
    assert ids(store, CHANNEL) == []


def test_leaving_one_channel_keeps_the_others(store: Store) -> None:
    other = Audience("channel", "chat")
    connection = joined(store, CHANNEL, other)
    store.leave(connection.connection_id, CHANNEL)
    assert store.channels(connection.connection_id) == [other]
    assert ids(store, other) == [connection.connection_id]
    store.leave("nobody", other)
    assert ids(store, other) == [connection.connection_id]


def test_the_channels_of_a_connection_are_bounded_and_leaving_makes_room(store: Store) -> None:
    first, second, third = (Audience("channel", name) for name in ("a", "b", "c"))
    name = joined(store).connection_id
    assert store.join(name, first, NOW, 2)
    assert store.join(name, second, NOW, 2)
    assert not store.join(name, third, NOW, 2)
    assert store.join(name, first, NOW, 2)  # it is in there already
    assert ids(store, third) == []
    store.leave(name, first)
    assert store.join(name, third, NOW, 2)
    assert store.channels(name) == [second, third]


def test_the_bound_holds_however_many_join_at_once(store: Store) -> None:
    name = joined(store).connection_id
    channels = [Audience("channel", f"channel-{number}") for number in range(12)]
    with ThreadPoolExecutor(12) as executor:
        let_in = list(executor.map(lambda it: store.join(name, it, NOW, 5), channels))
    assert sum(let_in) == len(store.channels(name)) == 5


@pytest.mark.parametrize("expires_in", [None, 0, -5])
def test_who_is_unknown_or_has_expired_joins_nothing(store: Store, expires_in: int | None) -> None:
    if expires_in is not None:
        store.add(make_connection("late", expires_at=int(NOW) + expires_in))
    items = store.count_items()
    with pytest.raises(ConnectionGone):
        store.join("late", CHANNEL, NOW, MOST)
    assert store.count_items() == items


def test_a_connection_is_an_audience_of_one(store: Store) -> None:
    connection = joined(store)
    audience = Audience("connection", connection.connection_id)
    assert list(members(store, audience, NOW)) == [connection.member()]
    assert store.count(audience, 0, None, NOW) == 1
    assert ids(store, audience, connection.expires_at) == []
    assert ids(store, Audience("connection", "nobody")) == []


def test_pages_follow_each_other_from_wherever_one_starts(store: Store) -> None:
    for number in range(40):
        store.add(make_connection(f"connection-{number:02}"))
    shard = shard_of("connection-00", SHARDS)
    whole = store.read(EVERYONE, shard, None, 1000, NOW)
    names = [member.connection_id for member in whole.members]
    assert len(names) >= 2
    assert names == sorted(names)
    assert whole.last is None
    first = store.read(EVERYONE, shard, None, 1, NOW)
    assert (first.members, first.last) == (whole.members[:1], names[0])
    assert store.read(EVERYONE, shard, names[0], 1000, NOW) == (whole.members[1:], None)
    assert store.count(EVERYONE, shard, names[0], NOW) == len(names) - 1
    assert store.count(EVERYONE, shard, names[-1], NOW) == 0


def test_a_channel_is_spread_over_its_shards(store: Store) -> None:
    assert (store.shards(CHANNEL), store.shards(EVERYONE), store.shards(ALICE)) == (2, 16, 1)
    names = [f"connection-{number}" for number in range(10)]
    for name in names:
        store.add(make_connection(name))
        store.join(name, CHANNEL, NOW, MOST)
    in_each = [store.count(CHANNEL, shard, None, NOW) for shard in range(2)]
    assert min(in_each) > 0
    assert sum(in_each) == 10


def test_removing_leaves_all_joined_channels(store: Store) -> None:
    # More than DynamoDB takes in one batch.
    channels = [Audience("channel", f"channel-{number}") for number in range(30)]
    connection = joined(store, *channels)
    store.remove(connection.connection_id, connection.principal_id)
    assert [ids(store, channel) for channel in channels] == [[]] * 30
    assert store.count_items() == 0


@pytest.mark.parametrize("writes", range(5))
def test_a_removal_that_stopped_half_way_is_completed_by_the_next(
    store: Store, writes: int
) -> None:
    connection = joined(store, CHANNEL)
    store.fail_after(writes)
    with suppress(ServiceUnavailable):
        store.remove(connection.connection_id, connection.principal_id)
    store.fail_after(None)
    store.remove(connection.connection_id, connection.principal_id)
    assert store.count_items() == 0


@pytest.mark.parametrize("writes", range(4))
def test_whoever_is_found_can_also_be_addressed_even_if_a_write_failed(
    store: Store, writes: int
) -> None:
    connection = make_connection()
    store.fail_after(writes)
    with suppress(ServiceUnavailable):
        store.add(connection)
    store.fail_after(None)
    found = store.get(connection.connection_id, NOW)
    for audience in implicit_audiences(connection.principal_id):
        assert found is None or ids(store, audience) == [connection.connection_id]


def ends(store: Store, *audiences: Audience) -> list[list[int]]:
    """Return when the members of audiences expire, the revoked ones too."""
    return [[member.expires_at for member in members(store, it, -1)] for it in audiences]


def test_a_connection_is_renewed_in_all_its_audiences(store: Store) -> None:
    connection = joined(store, CHANNEL)
    later, context = connection.expires_at + 1000, {"scopes": "connect"}
    assert store.renew(connection, later, context, NOW)
    renewed = replace(connection, expires_at=later, context=context)
    assert store.get(connection.connection_id, NOW) == renewed
    assert ends(store, EVERYONE, ALICE, CHANNEL) == [[later]] * 3
    other = Audience("channel", "other")
    assert store.join(connection.connection_id, other, NOW, MOST)
    assert ends(store, other) == [[later]]
    assert store.channels(connection.connection_id) == [CHANNEL, other]


@pytest.mark.parametrize("late", [0, 1])
def test_what_has_expired_or_was_never_there_is_not_renewed(store: Store, late: int) -> None:
    connection = joined(store, CHANNEL)
    now = connection.expires_at + late
    items = store.count_items()
    assert not store.renew(connection, now + 1000, {}, now)
    assert not store.renew(make_connection("nobody"), now + 1000, {}, NOW)
    assert not store.renew(replace(connection, principal_id="bob"), now + 1000, {}, NOW)
    assert store.count_items() == items
    assert store.get(connection.connection_id, NOW) == connection
    assert ends(store, EVERYONE, ALICE, CHANNEL) == [[connection.expires_at]] * 3


def test_a_connection_that_is_expired_stays_so_but_is_not_forgotten(store: Store) -> None:
    connection = joined(store, CHANNEL)
    other = make_connection("of-alice-too")
    store.add(other)
    for _ in range(2):
        store.expire(connection.connection_id, connection.principal_id)
    assert store.get(connection.connection_id, 1) is None
    assert [ids(store, it) for it in (EVERYONE, ALICE, CHANNEL)] == [[other.connection_id]] * 2 + [
        []
    ]
    kept = store.get(connection.connection_id, -1)
    assert kept is not None
    assert kept.expires_at == REVOKED
    assert ends(store, CHANNEL) == [[REVOKED]]
    assert not store.renew(connection, connection.expires_at, {}, NOW)
    assert not store.renew(connection, connection.expires_at, {}, REVOKED)
    with pytest.raises(ConnectionGone):
        store.join(connection.connection_id, Audience("channel", "other"), NOW, MOST)


def test_expiring_brings_nothing_back(store: Store) -> None:
    connection = joined(store, CHANNEL)
    store.remove(connection.connection_id, connection.principal_id)
    store.expire(connection.connection_id, connection.principal_id)
    assert store.count_items() == 0


def test_those_who_have_expired_are_found_in_their_shards_page_by_page(store: Store) -> None:
    names = [f"connection-{number}" for number in range(60)]
    for number, name in enumerate(names):
        store.add(make_connection(name, expires_at=int(NOW) - number % 2))
    store.expire(names[0], "alice")
    found: list[Member] = []
    for shard in range(SHARDS):
        page = store.expired(shard, None, 2, NOW - 1)
        found += page.members
        while page.last is not None:
            page = store.expired(shard, page.last, 2, NOW - 1)
            found += page.members
    assert sorted(it.connection_id for it in found) == sorted([names[0], *names[1::2]])


def test_a_store_that_is_down_says_so(store: Store) -> None:
    store.fail_after(0)
    with pytest.raises(ServiceUnavailable):
        store.add(make_connection())
    with pytest.raises(ServiceUnavailable):
        store.remove("anyone", "alice")


def joined(store: Store, *channels: Audience) -> Connection:
    connection = make_connection()
    store.add(connection)
    for channel in channels:
        assert store.join(connection.connection_id, channel, NOW, MOST)
    return connection
