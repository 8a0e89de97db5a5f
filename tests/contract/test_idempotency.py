"""What every store of answers must do: the one that ships, on an engine, and the fake."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from chalicelib.idempotency import KEPT_SECONDS, LEASE_SECONDS, Attempt, IdempotencyStore, Kept
from chalicelib.idempotency_table import DynamoDBIdempotency
from localgateway.database import EmbeddedDatabase
from tests.engine import make_dynamodb
from tests.factories import NOW
from tests.fakes import InMemoryIdempotency

_numbers = itertools.count()
FIRST = Attempt("alice", "key-1", "what", "owner-1")
SAME = FIRST._replace(owner="owner-2")
OTHER = SAME._replace(fingerprint="something else")


@pytest.fixture
def on_engine(database: EmbeddedDatabase) -> IdempotencyStore:
    table = f"idempotency-{next(_numbers)}"
    return DynamoDBIdempotency(make_dynamodb(database, table), table)


@pytest.fixture(params=["memory", "engine"])
def store(request: pytest.FixtureRequest) -> IdempotencyStore:
    if request.param == "memory":
        return InMemoryIdempotency()
    found: IdempotencyStore = request.getfixturevalue("on_engine")
    return found


def test_the_first_takes_the_key_and_the_next_one_waits(store: IdempotencyStore) -> None:
    assert store.begin(FIRST, NOW) is None
    assert store.begin(SAME, NOW + 1) == Kept("what", None)
    assert store.begin(OTHER, NOW + 1) == Kept("what", None)


def test_the_same_write_twice_is_the_first_one_still(store: IdempotencyStore) -> None:
    store.begin(FIRST, NOW)
    assert store.begin(FIRST, NOW + 1) is None, "its answer may have been lost"


def test_the_answer_is_kept_for_a_day(store: IdempotencyStore) -> None:
    store.begin(FIRST, NOW)
    store.finish(FIRST, "[200, {}]")
    for later in (1, LEASE_SECONDS + 1, KEPT_SECONDS - 1):
        assert store.begin(SAME, NOW + later) == Kept("what", "[200, {}]")
    assert store.begin(OTHER, NOW + KEPT_SECONDS + 1) is None


@pytest.mark.parametrize(
    "other", [{"principal_id": "bob"}, {"key": "key-2"}, {"principal_id": "alice#", "key": "1"}]
)
def test_keys_are_those_of_a_principal(store: IdempotencyStore, other: dict[str, str]) -> None:
    store.begin(FIRST, NOW)
    assert store.begin(SAME._replace(**other), NOW) is None


def test_a_key_that_is_given_back_is_free(store: IdempotencyStore) -> None:
    store.begin(FIRST, NOW)
    store.release(SAME)
    assert store.begin(SAME, NOW) is not None, "only its owner gives it back"
    store.release(FIRST)
    assert store.begin(OTHER, NOW) is None


def test_who_never_ended_is_taken_over_by_the_same_request_only(store: IdempotencyStore) -> None:
    store.begin(FIRST, NOW)
    later = NOW + LEASE_SECONDS + 1
    assert store.begin(OTHER, later) == Kept("what", None)
    assert store.begin(SAME, later) is None
    store.finish(FIRST, "too late")
    store.release(FIRST)
    assert store.begin(FIRST._replace(owner="owner-3"), later) == Kept("what", None)


def test_of_many_at_once_one_takes_it(store: IdempotencyStore) -> None:
    barrier = Barrier(8)

    def begin(number: int) -> Kept | None:
        barrier.wait()
        return store.begin(FIRST._replace(owner=f"owner-{number}"), NOW)

    with ThreadPoolExecutor(8) as executor:
        outcomes = list(executor.map(begin, range(8)))
    assert outcomes.count(None) == 1
