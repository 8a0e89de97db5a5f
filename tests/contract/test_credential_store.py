"""What every store of tickets and keys must do: those that ship, on an engine, and the fakes."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any, NamedTuple, Protocol

import pytest

from chalicelib.authorizers import Principal
from chalicelib.authorizers.api_key import ApiKey, KeyStore, new_key
from chalicelib.authorizers.ticket import Ticket, TicketStore
from chalicelib.credential_store import DynamoDBKeys, DynamoDBTickets
from chalicelib.dynamodb import DynamoDB
from chalicelib.errors import ConfigurationError
from chalicelib.scopes import Scopes
from localgateway.database import EmbeddedDatabase
from tests.engine import make_dynamodb
from tests.factories import NOW
from tests.fakes import InMemoryKeys, InMemoryTickets

_numbers = itertools.count()

ALICE = Principal(
    "alice", "ticket", int(NOW) + 600, Scopes.parse("connect join:channel:*"), {"jti": "6f1e"}, True
)
DIGEST = "ab" * 32


class ManagedKeys(KeyStore, Protocol):
    """A KeyStore, and what those who manage keys need."""

    def add(self, key: ApiKey) -> None: ...

    def revoke(self, key_id: str) -> bool: ...

    def all(self) -> Iterator[ApiKey]: ...


class Stores(NamedTuple):
    tickets: TicketStore
    keys: ManagedKeys
    items: Any
    """Returns what is in the table."""


@pytest.fixture
def on_engine(database: EmbeddedDatabase) -> Stores:
    table = f"credentials-{next(_numbers)}"
    dynamodb = make_dynamodb(database, table)

    def items() -> list[Any]:
        found: list[Any] = dynamodb.call("Scan", {"TableName": table})["Items"]
        return found

    return Stores(DynamoDBTickets(dynamodb, table), DynamoDBKeys(dynamodb, table), items)


@pytest.fixture(params=["memory", "engine"])
def stores(request: pytest.FixtureRequest) -> Stores:
    if request.param == "memory":
        return Stores(InMemoryTickets(), InMemoryKeys(), list)
    stores: Stores = request.getfixturevalue("on_engine")
    return stores


def ticket(origin: str | None = None, seconds: int = 30) -> Ticket:
    return Ticket(ALICE, origin, int(NOW) + seconds)


@pytest.mark.parametrize("origin", [None, "https://app.example.com"])
def test_a_ticket_is_taken_as_it_was_added_and_once(stores: Stores, origin: str | None) -> None:
    stores.tickets.add(DIGEST, ticket(origin))
    assert stores.tickets.take(DIGEST, NOW) == ticket(origin)
    assert stores.tickets.take(DIGEST, NOW) is None


def test_a_ticket_says_when_its_credential_was_issued(stores: Stores) -> None:
    """Revocation asks for it; who does not say it stays out."""
    added = Ticket(replace(ALICE, issued_at=int(NOW) - 60, demonstration=False), None, int(NOW) + 9)
    stores.tickets.add(DIGEST, added)
    assert stores.tickets.take(DIGEST, NOW) == added


def test_an_unknown_ticket_is_none(stores: Stores) -> None:
    stores.tickets.add("cd" * 32, ticket())
    assert stores.tickets.take(DIGEST, NOW) is None


@pytest.mark.parametrize(("after", "taken"), [(29, True), (29.9, True), (30, False), (9000, False)])
def test_a_ticket_that_has_expired_is_none(stores: Stores, after: float, taken: bool) -> None:
    stores.tickets.add(DIGEST, ticket())
    assert (stores.tickets.take(DIGEST, NOW + after) is not None) is taken


def test_of_a_hundred_who_take_a_ticket_at_once_exactly_one_gets_it(stores: Stores) -> None:
    for number in range(3):
        digest = f"{number:064}"
        stores.tickets.add(digest, ticket())
        barrier = Barrier(100)

        def take(_: int, digest: str = digest, barrier: Barrier = barrier) -> Ticket | None:
            barrier.wait(10)
            return stores.tickets.take(digest, NOW)

        with ThreadPoolExecutor(100) as executor:
            taken = list(executor.map(take, range(100)))
        assert len([it for it in taken if it is not None]) == 1


def test_a_ticket_expires_in_the_table_and_its_text_is_not_there(on_engine: Stores) -> None:
    on_engine.tickets.add(DIGEST, ticket("https://app.example.com"))
    (item,) = on_engine.items()
    assert item["pk"] == {"S": f"ticket#{DIGEST}"}
    assert item["expiresAt"] == {"N": str(int(NOW) + 30)}
    on_engine.tickets.take(DIGEST, NOW)
    assert on_engine.items() == []


@pytest.mark.parametrize("expires_at", [None, int(NOW) + 60])
def test_a_key_is_found_as_it_was_added(stores: Stores, expires_at: int | None) -> None:
    _, key = new_key("alice", Scopes.parse("connect publish"), NOW, expires_at)
    assert stores.keys.get(key.key_id) is None
    stores.keys.add(key)
    assert stores.keys.get(key.key_id) == key
    assert stores.keys.get(key.key_id[::-1]) is None


def test_a_key_without_scopes_is_kept_too(stores: Stores) -> None:
    _, key = new_key("alice", Scopes(), NOW)
    stores.keys.add(key)
    assert stores.keys.get(key.key_id) == key


def test_a_key_that_is_revoked_stays_so(stores: Stores) -> None:
    _, key = new_key("alice", Scopes.parse("connect"), NOW)
    stores.keys.add(key)
    for _ in range(2):
        assert stores.keys.revoke(key.key_id)
        found = stores.keys.get(key.key_id)
        assert found is not None
        assert found.revoked
        assert found.principal_id == "alice"


def test_revoking_an_unknown_key_makes_none(stores: Stores) -> None:
    assert not stores.keys.revoke("0" * 16)
    assert stores.keys.get("0" * 16) is None
    assert list(stores.keys.all()) == []


def test_all_keys_are_listed_revoked_ones_as_such(stores: Stores) -> None:
    keys = [new_key(f"client-{number}", Scopes.parse("connect"), NOW)[1] for number in range(5)]
    for key in keys:
        stores.keys.add(key)
    stores.keys.revoke(keys[0].key_id)
    listed = {key.key_id: key.revoked for key in stores.keys.all()}
    assert listed == {key.key_id: key is keys[0] for key in keys}


class OnePage(DynamoDB):
    """A table whose pages hold one item."""

    def call(self, operation: str, payload: Any) -> dict[str, Any]:
        if operation == "Query":
            payload = {**payload, "Limit": 1}
        return super().call(operation, payload)


def test_more_keys_than_one_page_holds_are_listed(database: EmbeddedDatabase) -> None:
    table = f"credentials-{next(_numbers)}"
    paged = make_dynamodb(database, table)
    paged.__class__ = OnePage
    store = DynamoDBKeys(paged, table)
    keys = [new_key("alice", Scopes(), NOW)[1] for _ in range(4)]
    for key in keys:
        store.add(key)
    assert {key.key_id for key in store.all()} == {key.key_id for key in keys}


def test_a_key_in_the_table_does_not_tell_its_secret(on_engine: Stores) -> None:
    text, key = new_key("alice", Scopes.parse("connect"), NOW, int(NOW) + 60)
    on_engine.keys.add(key)
    items = on_engine.items()
    assert text.split("_", 2)[2] not in str(items)
    assert {item["expiresAt"]["N"] for item in items} == {str(int(NOW) + 60)}


def test_a_table_that_is_not_there_is_a_fault_of_ours(database: EmbeddedDatabase) -> None:
    dynamodb = make_dynamodb(database, f"credentials-{next(_numbers)}")
    for ask in (
        lambda: DynamoDBTickets(dynamodb, "no-such-table").take(DIGEST, NOW),
        lambda: DynamoDBKeys(dynamodb, "no-such-table").get("0" * 16),
        lambda: DynamoDBKeys(dynamodb, "no-such-table").revoke("0" * 16),
    ):
        with pytest.raises(ConfigurationError, match="ResourceNotFoundException"):
            ask()
