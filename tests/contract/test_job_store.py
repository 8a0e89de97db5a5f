"""What every JobStore must do: the one that ships, on a real engine, and the fake."""

import itertools
import time
from collections.abc import Iterator

import pytest

from chalicelib.api import connection_table
from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.connections import EVERYONE, Audience
from chalicelib.dynamodb import DynamoDB
from chalicelib.errors import JobBusy
from chalicelib.job_table import DynamoDBJobStore
from chalicelib.jobs import Job, JobStore, Progress, Task
from localgateway.database import EmbeddedDatabase
from tests.factories import NOW
from tests.fakes import InMemoryJobStore

JOB = Job("0199-job", EVERYONE, "a1", "dev", int(NOW) + 900)
PAYLOAD = bytes(range(256)) * 512  # as long as a payload may be, and no text
FIRST, SECOND = Task(JOB, 0, None), Task(JOB, 7, "connection-5")
PLACES = [(0, None), (7, "connection-5")]

_numbers = itertools.count()


@pytest.fixture
def dynamodb(database: EmbeddedDatabase) -> Iterator[DynamoDBJobStore]:
    table = f"jobs-{next(_numbers)}"
    database.create_table(connection_table(table))
    credentials = Credentials("testing", "testing")
    signer = Signer("us-east-1", "dynamodb")
    client = SignedClient(database.endpoint_url, signer, lambda: credentials, time.time)
    yield DynamoDBJobStore(DynamoDB(client, Backoff()), table)
    client.close()


@pytest.fixture
def memory() -> InMemoryJobStore:
    return InMemoryJobStore()


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> JobStore:
    store: JobStore = request.getfixturevalue(request.param)
    store.create(JOB, PAYLOAD, PLACES)
    return store


def test_the_payload_comes_back_as_it_was(store: JobStore) -> None:
    assert store.payload(JOB.job_id) == PAYLOAD
    assert store.payload("another") is None


def test_a_slice_is_claimed_where_it_begins(store: JobStore) -> None:
    first = store.claim(FIRST, "a", NOW, NOW + 28)
    second = store.claim(SECOND, "a", NOW, NOW + 28)
    assert first is not None
    assert second is not None
    assert (first.after, second.after) == (None, "connection-5")
    assert sum(first.counts.values()) == 0


def test_a_slice_is_one_workers_until_its_lease_ends(store: JobStore) -> None:
    store.claim(FIRST, "a", NOW, NOW + 28)
    with pytest.raises(JobBusy):
        store.claim(FIRST, "b", NOW + 27.9, NOW + 60)
    assert store.claim(FIRST, "a", NOW + 1, NOW + 28) is not None  # its own call, repeated
    assert store.claim(FIRST, "b", NOW + 28, NOW + 60) is not None
    with pytest.raises(JobBusy):
        store.note(FIRST, "a", Progress("z"))


def test_what_was_noted_is_where_the_next_goes_on(store: JobStore) -> None:
    store.claim(FIRST, "a", NOW, NOW + 28)
    store.note(FIRST, "a", Progress("m", "p", {"delivered": 3, "repeated": 1}))
    with pytest.raises(JobBusy):
        store.claim(FIRST, "b", NOW, NOW + 28)
    progress = store.claim(FIRST, "b", NOW + 28, NOW + 60)
    assert progress is not None
    assert (progress.after, progress.reach) == ("m", "p")
    assert {name: n for name, n in progress.counts.items() if n} == {"delivered": 3, "repeated": 1}


def test_a_note_that_is_repeated_counts_once(store: JobStore) -> None:
    store.claim(FIRST, "a", NOW, NOW + 28)
    for _ in range(2):
        store.note(FIRST, "a", Progress("m", "m", {"delivered": 3}), is_released=True)
    report = store.report(JOB.job_id)
    assert report is not None
    assert report.counts["delivered"] == 3


def test_a_slice_that_was_released_can_be_had_at_once(store: JobStore) -> None:
    store.claim(FIRST, "a", NOW, NOW + 28)
    store.note(FIRST, "a", Progress("m", "m"), is_released=True)
    assert store.claim(FIRST, "b", NOW, NOW + 28) is not None


def test_a_slice_that_is_done_is_nobodys(store: JobStore) -> None:
    store.claim(FIRST, "a", NOW, NOW + 28)
    store.note(FIRST, "a", Progress("z", "z"), is_released=True, is_done=True)
    assert store.claim(FIRST, "a", NOW, NOW + 28) is None
    assert store.claim(FIRST, "b", NOW + 99, NOW + 128) is None


def test_what_is_not_known_is_nobodys(store: JobStore) -> None:
    assert store.claim(Task(JOB, 3, None), "a", NOW, NOW + 28) is None


def test_a_job_is_done_when_all_its_slices_are_and_its_counts_are_their_sum(
    store: JobStore,
) -> None:
    for task, counts in ((FIRST, {"delivered": 3, "gone": 1}), (SECOND, {"deferred": 5})):
        report = store.report(JOB.job_id)
        assert report is not None
        assert not report.is_done
        store.claim(task, "a", NOW, NOW + 28)
        store.note(task, "a", Progress("z", "z", counts), is_released=True, is_done=True)
    report = store.report(JOB.job_id)
    assert report is not None
    assert (report.job, report.is_done) == (JOB, True)
    assert {name: number for name, number in report.counts.items() if number} == {
        "targeted": 9,
        "delivered": 3,
        "gone": 1,
        "deferred": 5,
    }
    assert store.report("another") is None


def test_jobs_do_not_know_of_each_other(store: JobStore) -> None:
    other = Job("0199-other", Audience("channel", "news"), "a1", "dev", JOB.deadline)
    store.create(other, b"other", [(0, None)])
    store.claim(FIRST, "a", NOW, NOW + 28)
    assert store.claim(Task(other, 0, None), "b", NOW, NOW + 28) is not None
    report = store.report(other.job_id)
    assert report is not None
    assert report.job == other
