"""Sending over HTTP: repeated requests, lost answers, batches that run out of time."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import Any, NoReturn

import pytest

from chalicelib.authorizers import Principal
from chalicelib.connections import Audience
from chalicelib.errors import ClientError, Forbidden, PayloadTooLarge, ServiceUnavailable
from chalicelib.http_answers import Answer
from chalicelib.http_publishing import Publisher, get_job
from chalicelib.http_requests import Call
from chalicelib.idempotency import KEPT_SECONDS, LEASE_SECONDS
from chalicelib.jobs import Job
from chalicelib.scopes import Scopes
from tests.factories import NOW
from tests.fakes import Clock, InMemoryIdempotency, InMemoryJobStore


class Audiences:
    """A broadcast that remembers what was sent; ``problem`` stops it."""

    def __init__(self, clock: Clock) -> None:
        self.sent: list[dict[str, Any]] = []
        self.told: dict[str, Any] = {"delivery": {"targeted": 1}}
        self.problem: Exception | None = None
        self.seconds_each = 0.0
        self.clock = clock

    def __call__(self, seconds: float) -> "Audiences":
        return self

    def broadcast(self, audience: Audience, payload: bytes, message_id: str) -> Mapping[str, Any]:
        self.clock.now += self.seconds_each
        if self.problem is not None:
            raise self.problem
        self.sent.append(json.loads(payload))
        return self.told


@pytest.fixture
def audiences() -> Audiences:
    return Audiences(Clock(NOW))


@pytest.fixture
def store() -> InMemoryIdempotency:
    return InMemoryIdempotency()


def principal(name: str) -> Principal:
    return Principal(name, "jwt", int(NOW) + 900, Scopes.parse("publish connect"))


class OnlyNews:
    """Policies that remember what they were asked, and permit one audience."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def allow(self, principal_id: str, action: str, audience: Audience, scopes: Scopes) -> bool:
        self.asked.append((principal_id, action, str(audience), str(scopes)))
        return str(audience) == "channel:news"


def make_publisher(
    audiences: Audiences, store: InMemoryIdempotency, policies: OnlyNews | None = None
) -> Publisher:
    numbers = iter(range(10_000))
    return Publisher(
        principal("alice"),
        policies,
        lambda seconds: audiences.broadcast,
        store,
        audiences.clock,
        lambda bits: next(numbers),
        audiences.clock,
    )


@pytest.fixture
def publisher(audiences: Audiences, store: InMemoryIdempotency) -> Publisher:
    return make_publisher(audiences, store)


def call(body: Any, key: str | None = None, route: str = "POST/messages") -> Call:
    headers = {} if key is None else {"idempotency-key": key}
    return Call(route, body=json.dumps(body).encode(), headers=headers)


HELLO = {"to": "everyone", "message": "hello"}


def code_of(publisher: Publisher, asked: Call) -> str:
    with pytest.raises(ClientError) as refused:
        publisher.post(asked)
    return refused.value.code


def test_where_a_job_goes_on_it_is_accepted(publisher: Publisher, audiences: Audiences) -> None:
    audiences.told = {"delivery": {}, "jobId": "a"}
    answer = publisher.post(call(HELLO))
    assert (answer.status, answer.body["jobId"]) == (202, "a")


def test_the_same_request_is_answered_again_and_not_sent_again(
    publisher: Publisher, audiences: Audiences
) -> None:
    first = publisher.post(call(HELLO, "a"))
    again = publisher.post(call(HELLO, '"a"'))
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers == {"Idempotency-Replayed": "true"}
    assert len(audiences.sent) == 1
    audiences.clock.now += KEPT_SECONDS
    assert publisher.post(call(HELLO, "a")).body != first.body


@pytest.mark.parametrize(
    "other", [call({**HELLO, "id": 1}, "a"), call(HELLO, "a", "POST/messages/batch")]
)
def test_a_key_is_good_for_one_request(
    publisher: Publisher, audiences: Audiences, other: Call
) -> None:
    publisher.post(call(HELLO, "a"))
    assert code_of(publisher, other) == "idempotency_key_reused"
    assert len(audiences.sent) == 1


def test_another_principal_may_have_the_same_key(
    publisher: Publisher, audiences: Audiences, store: InMemoryIdempotency
) -> None:
    publisher.post(call(HELLO, "a"))
    other = replace(publisher, principal=principal("bob"), random_bits=lambda bits: 1)
    other.post(call(HELLO, "a"))
    assert [message["from"] for message in audiences.sent] == ["alice", "bob"]


def test_a_request_that_runs_is_not_carried_out_twice(
    audiences: Audiences, store: InMemoryIdempotency
) -> None:
    running, go_on = Event(), Event()

    def broadcast(audience: Audience, payload: bytes, message_id: str) -> Mapping[str, Any]:
        running.set()
        assert go_on.wait(60)
        return {"delivery": {}}

    slow = replace(
        make_publisher(audiences, store),
        broadcast=lambda seconds: broadcast,
        random_bits=lambda bits: 1,
    )
    with ThreadPoolExecutor(1) as executor:
        first = executor.submit(slow.post, call(HELLO, "a"))
        assert running.wait(60)
        try:
            assert code_of(make_publisher(audiences, store), call(HELLO, "a")) == (
                "request_in_flight"
            )
        finally:
            go_on.set()
        assert first.result(60).status == 200
    assert audiences.sent == []


@pytest.mark.parametrize("problem", [ServiceUnavailable("down"), PayloadTooLarge("much")])
def test_what_was_not_done_can_be_asked_for_again(
    publisher: Publisher, audiences: Audiences, problem: Exception
) -> None:
    audiences.problem = problem
    with pytest.raises((ServiceUnavailable, ClientError)):
        publisher.post(call(HELLO, "a"))
    audiences.problem = None
    assert publisher.post(call(HELLO, "a")).status == 200


def test_a_request_whose_function_died_can_be_repeated_after_a_while(
    publisher: Publisher, audiences: Audiences, store: InMemoryIdempotency
) -> None:
    store.is_down = True  # when the answer is to be kept, as if it had died then
    assert publisher.post(call(HELLO, "a")).status == 200
    store.is_down = False
    assert code_of(publisher, call(HELLO, "a")) == "request_in_flight"
    audiences.clock.now += LEASE_SECONDS
    assert publisher.post(call(HELLO, "a")).status == 200
    assert len(audiences.sent) == 2


def test_a_batch_that_runs_out_of_time_says_what_was_not_sent(
    publisher: Publisher, audiences: Audiences
) -> None:
    audiences.seconds_each = 10.0
    batch = {"messages": [{**HELLO, "id": number} for number in range(5)]}
    results = publisher.post_batch(call(batch)).body["results"]
    codes = [result.get("error", {}).get("code") for result in results]
    assert codes == [None, None, None, "out_of_time", "out_of_time"]
    assert [result["id"] for result in results] == list(range(5))
    assert len(audiences.sent) == 3


def test_nothing_of_a_batch_is_begun_in_the_last_half_second(
    publisher: Publisher, audiences: Audiences
) -> None:
    audiences.seconds_each = 24.6  # of 25
    results = publisher.post_batch(call({"messages": [HELLO, HELLO]})).body["results"]
    assert results[1]["error"]["code"] == "out_of_time"
    assert len(audiences.sent) == 1


def test_one_of_a_batch_that_fails_does_not_stop_the_others(
    publisher: Publisher, audiences: Audiences
) -> None:
    audiences.problem = ServiceUnavailable("down")
    results = publisher.post_batch(call({"messages": [HELLO, HELLO]})).body["results"]
    assert [result["error"]["code"] for result in results] == ["service_unavailable"] * 2


NEWS = {"to": "channel:news", "message": "hello"}


def test_what_policies_do_not_permit_is_refused_before_anything_is_done(
    audiences: Audiences, store: InMemoryIdempotency
) -> None:
    policies = OnlyNews()
    publisher = make_publisher(audiences, store, policies)
    with pytest.raises(Forbidden, match="forbidden_audience"):
        publisher.post(call(HELLO, "a"))
    assert policies.asked == [("alice", "publish", "everyone", "connect publish")]
    assert publisher.post(call(NEWS, "a")).status == 200  # the key was not used up
    assert [message["to"] for message in audiences.sent] == ["channel:news"]


def test_one_of_a_batch_that_policies_do_not_permit_has_its_own_error(
    audiences: Audiences, store: InMemoryIdempotency
) -> None:
    publisher = make_publisher(audiences, store, OnlyNews())
    batch = {"messages": [NEWS, {**HELLO, "id": 7}, NEWS]}
    results = publisher.post_batch(call(batch)).body["results"]
    assert [result.get("error", {}).get("code") for result in results] == [None, "forbidden", None]
    assert results[1]["id"] == 7
    assert [message["to"] for message in audiences.sent] == ["channel:news"] * 2


def test_a_job_says_how_far_it_is() -> None:
    store = InMemoryJobStore()
    job = Job("job-1", Audience.parse("channel:news"), "api", "stage", int(NOW) + 900)
    store.create(job, b"{}", [(0, None)])
    answer: Answer = get_job(store, Call("GET/jobs/*", path={"job_id": "job-1"}))
    assert answer.body["delivery"]["targeted"] == 0
    assert (answer.body["done"], answer.body["to"]) == (False, "channel:news")
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_job_with_a_name_too_long_for_the_table_is_not_looked_for() -> None:
    class Table(InMemoryJobStore):
        def report(self, job_id: str) -> NoReturn:
            raise AssertionError("DynamoDB refuses keys of more than two kilobytes")

    for job_id in ("", "a" * 3000):
        with pytest.raises(ClientError, match="not_found"):
            get_job(Table(), Call("GET/jobs/*", path={"job_id": job_id}))
