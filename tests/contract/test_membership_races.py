"""Joining, leaving, removing and revoking at the same time: every order of their calls.

On a real engine. Whatever the order, nobody stays a member of a channel who is no longer
connected, and nothing of a principal lives that was revoked.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import combinations, count
from typing import Any

import pytest

from chalicelib.api import connection_table
from chalicelib.arrivals import Arrivals
from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.closing import Closer
from chalicelib.connection_table import DynamoDBConnectionRepository
from chalicelib.connections import REVOKED, Audience, implicit_audiences, members
from chalicelib.dynamodb import DynamoDB
from chalicelib.errors import ConnectionGone
from chalicelib.revocation import Revoker
from chalicelib.revocation_table import DynamoDBRevocations
from localgateway.database import EmbeddedDatabase
from tests.factories import NOW, make_connection
from tests.fakes import Clock, FakeManagementAPI
from tests.stepped import Here

CHANNEL = Audience("channel", "news")
NAME = "abc="

_numbers = count()


class SteppedDynamoDB(DynamoDB):
    """Each thread makes its next call only when its letter comes in the order given."""

    order = ""

    def begin(self, order: str) -> None:
        self.order = order
        self._place = 0
        self._condition = threading.Condition()
        self._ended: set[str] = set()

    def end(self) -> None:
        with self._condition:
            self._ended.add(threading.current_thread().name)
            self._condition.notify_all()

    def call(self, operation: str, payload: Any) -> dict[str, Any]:
        if not self.order:
            return super().call(operation, payload)
        with self._condition:
            assert self._condition.wait_for(self._is_my_turn, timeout=60)
            self._place += 1
            try:
                return super().call(operation, payload)
            finally:
                self._condition.notify_all()

    def _is_my_turn(self) -> bool:
        while self._place < len(self.order) and self.order[self._place] in self._ended:
            self._place += 1
        if self._place >= len(self.order):
            return True  # who makes more calls than expected makes them last
        return self.order[self._place] == threading.current_thread().name


@pytest.fixture(scope="module")
def dynamodb(database: EmbeddedDatabase) -> Iterator[SteppedDynamoDB]:
    credentials = Credentials("testing", "testing")
    signer = Signer("us-east-1", "dynamodb")
    client = SignedClient(database.endpoint_url, signer, lambda: credentials, time.time)
    yield SteppedDynamoDB(client, Backoff())
    client.close()


def store_of(database: EmbeddedDatabase, dynamodb: SteppedDynamoDB) -> DynamoDBConnectionRepository:
    table = f"races-{next(_numbers)}"
    database.create_table(connection_table(table))
    store = DynamoDBConnectionRepository(dynamodb, table, 1, 1)
    store.add(make_connection(NAME))
    return store


def run(dynamodb: SteppedDynamoDB, order: str, **threads: Callable[[], object]) -> None:
    def work(function: Callable[[], object]) -> None:
        with suppress(ConnectionGone):
            function()
        dynamodb.end()

    dynamodb.begin(order)
    running = [
        threading.Thread(target=work, args=(function,), name=name)
        for name, function in threads.items()
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(90)
        assert not thread.is_alive()
    dynamodb.order = ""


def orders(first: str, calls: int, second: str, others: int) -> list[str]:
    places = combinations(range(calls + others), calls)
    return [
        "".join(first if place in chosen else second for place in range(calls + others))
        for chosen in places
    ]


def count_items(store: DynamoDBConnectionRepository) -> int:
    query = {"TableName": store._table, "Select": "COUNT"}
    return int(store._dynamodb.call("Scan", query)["Count"])


@pytest.mark.parametrize("order", orders("j", 3, "r", 4))
def test_a_removal_beside_a_join_leaves_nothing(
    database: EmbeddedDatabase, dynamodb: SteppedDynamoDB, order: str
) -> None:
    store = store_of(database, dynamodb)
    run(
        dynamodb,
        order,
        j=lambda: store.join(NAME, CHANNEL, NOW, 50),
        r=lambda: store.remove(NAME, "alice"),
    )
    assert count_items(store) == 0


@pytest.mark.parametrize("order", orders("l", 1, "r", 4))
def test_a_removal_beside_a_leave_leaves_nothing(
    database: EmbeddedDatabase, dynamodb: SteppedDynamoDB, order: str
) -> None:
    store = store_of(database, dynamodb)
    store.join(NAME, CHANNEL, NOW, 50)
    run(
        dynamodb,
        order,
        l=lambda: store.leave(NAME, CHANNEL),
        r=lambda: store.remove(NAME, "alice"),
    )
    assert count_items(store) == 0


@pytest.mark.parametrize("order", orders("j", 2, "k", 2))
def test_two_joins_at_once_are_one(
    database: EmbeddedDatabase, dynamodb: SteppedDynamoDB, order: str
) -> None:
    store = store_of(database, dynamodb)
    items = count_items(store)
    run(
        dynamodb,
        order,
        j=lambda: store.join(NAME, CHANNEL, NOW, 50),
        k=lambda: store.join(NAME, CHANNEL, NOW, 50),
    )
    assert count_items(store) == items + 2
    assert store.join(NAME, Audience("channel", "other"), NOW, 2)
    assert not store.join(NAME, Audience("channel", "third"), NOW, 2)


@pytest.mark.parametrize("order", orders("j", 2, "l", 1))
def test_a_join_beside_a_leave_ends_with_both_sides_agreed(
    database: EmbeddedDatabase, dynamodb: SteppedDynamoDB, order: str
) -> None:
    store = store_of(database, dynamodb)
    run(
        dynamodb,
        order,
        j=lambda: store.join(NAME, CHANNEL, NOW, 50),
        l=lambda: store.leave(NAME, CHANNEL),
    )
    member_side = store.count(CHANNEL, 0, None, NOW)
    assert [CHANNEL] * member_side == list(store.channels(NAME))


def ends(store: DynamoDBConnectionRepository, *audiences: Audience) -> list[int]:
    return [it.expires_at for audience in audiences for it in members(store, audience, -1)]


@pytest.mark.parametrize("order", orders("e", 4, "n", 4))
def test_a_renewal_beside_an_end_for_ever_leaves_nothing_that_lives(
    database: EmbeddedDatabase, dynamodb: SteppedDynamoDB, order: str
) -> None:
    store = store_of(database, dynamodb)
    later = int(NOW) + 9000
    run(
        dynamodb,
        order,
        e=lambda: store.expire(NAME, "alice"),
        n=lambda: store.renew(make_connection(NAME), later, {}, NOW),
    )
    assert store.get(NAME, REVOKED) is None
    assert ends(store, *implicit_audiences("alice")) == [REVOKED, REVOKED]


# Of the renewal's calls the first two matter; the rest change memberships one by one.
@pytest.mark.parametrize("order", orders("j", 2, "n", 6))
def test_whoever_joins_beside_a_renewal_is_a_member_for_as_long_as_it_is_connected(
    database: EmbeddedDatabase, dynamodb: SteppedDynamoDB, order: str
) -> None:
    store = store_of(database, dynamodb)
    later = int(NOW) + 9000
    run(
        dynamodb,
        order,
        j=lambda: store.join(NAME, CHANNEL, NOW, 50),
        n=lambda: store.renew(make_connection(NAME), later, {}, NOW),
    )
    assert ends(store, CHANNEL, *implicit_audiences("alice")) == [later] * 3
    assert store.channels(NAME) == [CHANNEL]


def living(store: DynamoDBConnectionRepository) -> list[object]:
    """Return what is left of alice that is not marked."""
    audiences = (*implicit_audiences("alice"), CHANNEL)
    found = [end for end in ends(store, *audiences) if end != REVOKED]
    return [*found, *filter(None, [store.get(NAME, REVOKED)])]


def revoker_of(store: DynamoDBConnectionRepository) -> Revoker:
    """Return one to whom API Gateway says that the connection is not there yet."""
    management_api = FakeManagementAPI()
    management_api.fail(NAME, ConnectionGone(NAME))
    clock = Clock(NOW)
    closer = Closer(store, lambda *_: management_api, Here(), clock, clock, clock.sleep)
    revocations = DynamoDBRevocations(store._dynamodb, store._table)
    return Revoker(revocations, store, closer, clock)


# Connecting: two writes, then the look. Revoking: a write, a look, and four calls of marking.
# Whoever is refused then takes three calls to forget, beside the marking.
_CONNECTING = [*orders("c", 3, "v", 6), *(f"ccvvc{rest}" for rest in orders("c", 3, "v", 4))]


@pytest.mark.parametrize("order", _CONNECTING)
def test_whoever_connects_beside_a_revocation_is_refused_or_marked(
    database: EmbeddedDatabase, dynamodb: SteppedDynamoDB, order: str
) -> None:
    store = store_of(database, dynamodb)
    store.remove(NAME, "alice")
    revoker = revoker_of(store)
    arrivals = Arrivals(store, revoker.revocations, 0, lambda: NOW, lambda _: None)
    young = make_connection(NAME, connected_at=int(NOW * 1000))
    refused: list[object] = []
    run(
        dynamodb,
        order,
        c=lambda: refused.append(arrivals.admit(young)),
        v=lambda: revoker.revoke("alice", 0),
    )
    assert living(store) == []
    assert refused in (["revoked"], [None])
    if refused == ["revoked"]:
        assert count_items(store) == 1, "the revocation alone"


@pytest.mark.parametrize("order", orders("j", 2, "v", 8))
def test_whoever_joins_beside_a_revocation_is_in_no_channel_that_is_not_marked(
    database: EmbeddedDatabase, dynamodb: SteppedDynamoDB, order: str
) -> None:
    store = store_of(database, dynamodb)
    store.add(make_connection(NAME, connected_at=int(NOW * 1000)))
    run(
        dynamodb,
        order,
        j=lambda: store.join(NAME, CHANNEL, NOW, 50),
        v=lambda: revoker_of(store).revoke("alice", 0),
    )
    assert living(store) == []
