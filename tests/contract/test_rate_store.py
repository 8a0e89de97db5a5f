"""What every RateStore must do: the one that ships, on a real engine, and the fake."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.rate_table import DynamoDBRates
from chalicelib.rates import Rate, RateLimiter, RateStore
from localgateway.database import EmbeddedDatabase
from tests.engine import make_dynamodb
from tests.factories import NOW
from tests.fakes import InMemoryRates

AT = int(NOW * 1000)
_numbers = itertools.count()


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest, database: EmbeddedDatabase) -> RateStore:
    if request.param == "memory":
        return InMemoryRates()
    table = f"rates-{next(_numbers)}"
    return DynamoDBRates(make_dynamodb(database, table), table)


def test_a_principal_begins_once_then_goes_on_until_it_is_too_far_ahead(store: RateStore) -> None:
    assert store.get("alice") is None
    assert not store.go_on("alice", AT, AT + 100, 50)
    assert store.begin("alice", AT, 50)
    assert not store.begin("alice", AT, 50)
    assert store.go_on("alice", AT, AT + 99, 50)
    assert not store.go_on("alice", AT, AT + 99, 50)
    assert store.get("alice") == AT + 100
    assert store.get("bob") is None


def test_once_its_time_has_passed_it_begins_again(store: RateStore) -> None:
    assert store.begin("alice", AT, 50)
    assert not store.go_on("alice", AT + 50, AT + 999, 50)
    assert store.begin("alice", AT + 50, 50)
    assert store.get("alice") == AT + 100


def test_refusals_are_counted_until_it_begins_again(store: RateStore) -> None:
    assert store.refuse("alice") == 0
    assert store.begin("alice", AT, 50)
    assert [store.refuse("alice") for _ in range(3)] == [1, 2, 3]
    assert store.begin("alice", AT + 50, 50)
    assert store.refuse("alice") == 1


def test_of_many_messages_at_once_as_many_pass_as_a_burst_has(store: RateStore) -> None:
    limiter = RateLimiter(store, Rate(2, 5))
    with ThreadPoolExecutor(30) as executor:
        verdicts = list(executor.map(lambda _: limiter.check("alice", NOW), range(30)))
    taken = [it for it in verdicts if not it.refusals]
    assert len(taken) == 5
    assert all(it.retry_after > 0 for it in verdicts if it.refusals)
