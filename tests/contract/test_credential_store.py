"""What every store of tickets and keys must do: those that ship, on an engine, and the fakes."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any, NamedTuple

import pytest

from chalicelib.authorizers import Principal
from chalicelib.authorizers.api_key import ApiKey, KeyDescription, new_key
from chalicelib.authorizers.ticket import Ticket, TicketStore
from chalicelib.credential_store import DynamoDBKeys, DynamoDBTickets
from chalicelib.dynamodb import DynamoDB
from chalicelib.errors import ConditionFailed, ConfigurationError
from chalicelib.managed_keys import ManagedKeys, every_key
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
            barrier.wait(60)
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


@pytest.mark.parametrize(("expires_at", "maker"), [(None, None), (int(NOW) + 60, "operator")])
def test_a_key_is_found_as_it_was_added(
    stores: Stores, expires_at: int | None, maker: str | None
) -> None:
    _, key = new_key("alice", Scopes.parse("connect publish"), NOW, expires_at, maker)
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
    assert list(every_key(stores.keys)) == []


def added_keys(stores: Stores, count: int) -> list[ApiKey]:
    """Add keys that differ in all that can be listed; return them in the order of their ids."""
    scopes = Scopes.parse("connect publish")
    made = [
        new_key(f"client-{number}", scopes, NOW + number, None if number % 2 else int(NOW), "ops")
        for number in range(count)
    ]
    for _, key in made:
        stores.keys.add(key)
    return sorted((key for _, key in made), key=lambda key: key.key_id)


def described(key: ApiKey, *, revoked: bool = False) -> KeyDescription:
    return KeyDescription(
        key_id=key.key_id,
        principal_id=key.principal_id,
        scopes=key.scopes,
        created_at=key.created_at,
        expires_at=key.expires_at,
        created_by=key.created_by,
        revoked=revoked,
    )


def test_all_keys_are_listed_as_they_are_expired_and_revoked_ones_too(stores: Stores) -> None:
    keys = added_keys(stores, 5)
    stores.keys.revoke(keys[0].key_id)
    expected = [described(key, revoked=key is keys[0]) for key in keys]
    assert list(every_key(stores.keys)) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_pages_hold_every_key_once_whatever_their_size(stores: Stores, limit: int) -> None:
    keys = added_keys(stores, 4)
    found, after = [], None
    for _ in range(5):
        page = stores.keys.page(after, limit)
        assert len(page.keys) <= limit
        found += [key.key_id for key in page.keys]
        after = page.last
        if after is None:
            break
    assert after is None
    assert found == [key.key_id for key in keys]


def test_every_key_is_found_however_many_pages_there_are(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.managed_keys.PAGE", 2)
    keys = added_keys(stores, 5)
    assert [key.key_id for key in every_key(stores.keys)] == [key.key_id for key in keys]


def test_a_page_may_begin_after_a_key_that_is_none(stores: Stores) -> None:
    keys = added_keys(stores, 3)
    assert [key.key_id for key in stores.keys.page("0" * 16, 9).keys] == [it.key_id for it in keys]
    assert stores.keys.page("f" * 16, 9) == ((), None)


class Counting(DynamoDB):
    """Notes what it is asked for; can refuse the second item of a transaction."""

    asked: list[str]
    written: Any

    def call(self, operation: str, payload: Any) -> dict[str, Any]:
        self.asked.append(operation)
        if operation == "TransactWriteItems":
            self.written = payload
        if operation == "TransactWriteItems" and "refuse" in self.asked:
            payload["TransactItems"][1]["Put"]["ConditionExpression"] = "attribute_exists(pk)"
        return super().call(operation, payload)


@pytest.fixture
def counting(database: EmbeddedDatabase) -> tuple[Counting, DynamoDBKeys]:
    table = f"credentials-{next(_numbers)}"
    dynamodb = make_dynamodb(database, table)
    dynamodb.__class__ = Counting
    assert isinstance(dynamodb, Counting)
    dynamodb.asked = []
    return dynamodb, DynamoDBKeys(dynamodb, table)


def test_a_page_is_one_read_however_many_keys_are_on_it(
    counting: tuple[Counting, DynamoDBKeys],
) -> None:
    dynamodb, keys = counting
    for _ in range(20):
        keys.add(new_key("alice", Scopes(), NOW)[1])
    dynamodb.asked.clear()
    assert len(keys.page(None, 500).keys) == 20
    assert dynamodb.asked == ["Query"]


def test_a_key_that_cannot_be_listed_does_not_come_to_be(
    counting: tuple[Counting, DynamoDBKeys],
) -> None:
    dynamodb, keys = counting
    dynamodb.asked.append("refuse")
    _, key = new_key("alice", Scopes(), NOW)
    with pytest.raises(ConditionFailed):
        keys.add(key)
    assert keys.get(key.key_id) is None
    assert keys.page(None, 9).keys == ()


def test_a_repetition_of_a_call_whose_answer_was_lost_revives_no_key(
    counting: tuple[Counting, DynamoDBKeys],
) -> None:
    dynamodb, keys = counting
    _, key = new_key("alice", Scopes(), NOW)
    keys.add(key)
    assert keys.revoke(key.key_id)
    dynamodb.call("TransactWriteItems", dynamodb.written)
    assert [it.revoked for it in keys.page(None, 9).keys] == [True]
    found = keys.get(key.key_id)
    assert found is not None
    assert found.revoked


@pytest.mark.parametrize("deleted", ["key", "entry"])
def test_of_a_key_that_has_expired_either_item_may_be_deleted_first(
    counting: tuple[Counting, DynamoDBKeys], deleted: str
) -> None:
    dynamodb, keys = counting
    _, key = new_key("alice", Scopes(), NOW, int(NOW) + 60)
    keys.add(key)
    pk, sk = (f"key#{key.key_id}", "key") if deleted == "key" else ("keys", key.key_id)
    gone = {"pk": {"S": pk}, "sk": {"S": sk}}
    dynamodb.call("DeleteItem", {"TableName": keys._table, "Key": gone})
    assert keys.revoke(key.key_id) is (deleted == "entry")
    items = dynamodb.call("Scan", {"TableName": keys._table})["Items"]
    assert len(items) == 1, "revoking brings nothing back, which would have no end"
    found = keys.get(key.key_id)
    assert (found is not None and found.revoked) is (deleted == "entry")


def test_the_list_holds_nothing_that_is_secret(on_engine: Stores) -> None:
    _, key = new_key("alice", Scopes.parse("connect"), NOW, int(NOW) + 60, "operator")
    on_engine.keys.add(key)
    (entry,) = [item for item in on_engine.items() if item["pk"]["S"] == "keys"]
    assert "digest" not in entry
    assert key.digest not in str(entry)
    assert "digest" not in repr(on_engine.keys.page(None, 1))


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
