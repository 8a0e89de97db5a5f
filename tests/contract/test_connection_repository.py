"""What every ConnectionRepository must do: the one that ships, on a real engine, and the fake."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol

import pytest

from chalicelib.api import connection_table
from chalicelib.aws import Caller, Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.connections import (
    EVERYONE,
    Audience,
    Connection,
    ConnectionRepository,
    implicit_audiences,
    shard_of,
)
from chalicelib.dynamodb import DynamoDB, DynamoDBConnectionRepository
from chalicelib.errors import ServiceUnavailable
from localgateway.database import EmbeddedDatabase
from tests.factories import NOW, make_connection
from tests.fakes import InMemoryConnectionRepository

SHARDS = 16
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

    def __init__(self, caller: Caller, table: str, executor: ThreadPoolExecutor) -> None:
        self._breakable = BreakableDynamoDB(caller, Backoff())
        super().__init__(self._breakable, table, executor, SHARDS)

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
    with ThreadPoolExecutor(8) as executor:
        yield DynamoDBStore(client, table, executor)
    client.close()


@pytest.fixture
def memory() -> InMemoryConnectionRepository:
    return InMemoryConnectionRepository()


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> Store:
    store: Store = request.getfixturevalue(request.param)
    return store


def ids(store: Store, audience: Audience, now: float = NOW) -> list[str]:
    return sorted(member.connection_id for member in store.members(audience, now))


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
    assert list(store.members(EVERYONE, NOW)) == [renewed.member()]


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
    assert list(store.members(ALICE, NOW)) == [connection.member()]


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
    for member in store.members(EVERYONE, NOW):
        store.remove(member.connection_id, member.principal_id)
    assert store.count_items() == 0


def test_a_connection_is_a_member_of_the_channels_it_joined(store: Store) -> None:
    connection = joined(store, CHANNEL)
    store.join(connection, CHANNEL)
    assert list(store.members(CHANNEL, NOW)) == [connection.member()]
    assert ids(store, CHANNEL, connection.expires_at) == []


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
        store.join(connection, channel)
    return connection
