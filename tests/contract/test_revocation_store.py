"""What every RevocationStore must do: the one that ships, on a real engine, and the fake."""

import itertools

import pytest

from chalicelib.revocation import RevocationStore
from chalicelib.revocation_table import DynamoDBRevocations
from localgateway.database import EmbeddedDatabase
from tests.engine import make_dynamodb
from tests.fakes import InMemoryRevocations

_numbers = itertools.count()


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest, database: EmbeddedDatabase) -> RevocationStore:
    if request.param == "memory":
        return InMemoryRevocations()
    table = f"revocations-{next(_numbers)}"
    return DynamoDBRevocations(make_dynamodb(database, table), table)


def test_who_was_not_revoked_is_not_kept_out(store: RevocationStore) -> None:
    store.revoke("bob", 100)
    store.allow("alice")
    assert store.not_before("alice") is None


def test_revoked_until_allowed(store: RevocationStore) -> None:
    store.revoke("alice", 100)
    assert store.not_before("alice") == 100
    store.allow("alice")
    assert store.not_before("alice") is None


def test_a_clock_that_is_behind_takes_nothing_back(store: RevocationStore) -> None:
    for at, kept in ((100, 100), (90, 100), (100, 100), (110, 110)):
        store.revoke("alice", at)
        assert store.not_before("alice") == kept


@pytest.mark.parametrize("name", ["a#b", 'auth0|"x"', "日本 😀", "x" * 128])
def test_any_principal_can_be_revoked(store: RevocationStore, name: str) -> None:
    store.revoke(name, 100)
    assert store.not_before(name) == 100
