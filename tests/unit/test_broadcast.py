"""A broadcast reaches whom it can, and accounts for everybody."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.broadcast import (
    MAX_PAYLOAD_BYTES,
    Broadcaster,
    Delivery,
    ManagementAPI,
    Outcome,
    Posted,
    Sending,
    Sent,
)
from chalicelib.connections import EVERYONE, Audience, ConnectionRepository, Member, Page
from chalicelib.errors import (
    ConfigurationError,
    ConnectionGone,
    LimitExceeded,
    PayloadTooLarge,
    PortcullisError,
    ServiceUnavailable,
)
from chalicelib.exchanges import Limits
from chalicelib.management_api import APIGatewayManagementAPI
from chalicelib.reading import Place
from tests.factories import NOW, make_connection
from tests.fakes import Clock, FakeManagementAPI, InMemoryConnectionRepository, JumpingClock
from tests.faulty_server import FaultyServer

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret")


@pytest.fixture
def connections() -> InMemoryConnectionRepository:
    return InMemoryConnectionRepository()


@pytest.fixture
def management_api() -> FakeManagementAPI:
    return FakeManagementAPI()


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture
def broadcaster(
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
    executor: ThreadPoolExecutor,
    clock: Clock,
) -> Broadcaster:
    return make_broadcaster(connections, management_api, executor, clock)


def make_broadcaster(
    connections: ConnectionRepository,
    management_api: ManagementAPI,
    executor: ThreadPoolExecutor,
    clock: Clock,
    **options: Any,
) -> Broadcaster:
    return Broadcaster(Sending(connections, management_api, executor, clock, clock), **options)


def test_everyone_gets_the_payload_once(
    broadcaster: Broadcaster,
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
) -> None:
    names = [f"connection-{number}" for number in range(50)]
    for name in names:
        connections.add(make_connection(name))
    assert broadcaster.broadcast(EVERYONE, b"hello", "m1") == Sent(Delivery(delivered=50))
    assert management_api.posts == {name: [b"hello"] for name in names}


def test_only_the_audience_gets_the_payload(
    broadcaster: Broadcaster,
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
) -> None:
    connections.add(make_connection("of-alice", "alice"))
    connections.add(make_connection("of-bob", "bob"))
    assert (
        broadcaster.broadcast(Audience("principal", "bob"), b"hello", "m1").delivery.targeted == 1
    )
    assert list(management_api.posts) == ["of-bob"]


def test_an_empty_audience_is_no_fault(broadcaster: Broadcaster) -> None:
    assert broadcaster.broadcast(EVERYONE, b"hello", "m1") == Sent(Delivery())


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConnectionGone("broken"), Outcome.GONE),
        (LimitExceeded("429"), Outcome.SLOW),
        (ServiceUnavailable("503"), Outcome.FAILED),
        (ConfigurationError("403"), Outcome.FAILED),
        (PayloadTooLarge("413"), Outcome.FAILED),
    ],
)
def test_one_broken_receiver_never_stops_the_rest(
    broadcaster: Broadcaster,
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
    error: PortcullisError,
    outcome: Outcome,
) -> None:
    for name in ("first", "broken", "last"):
        connections.add(make_connection(name))
    management_api.fail("broken", error)
    delivery = broadcaster.broadcast(EVERYONE, b"hello", "m1").delivery
    assert delivery == Delivery(**{"delivered": 2, outcome.value: 1})
    assert delivery.targeted == 3
    assert sorted(management_api.posts) == ["first", "last"]


@pytest.mark.parametrize(
    ("age", "removed"),
    [
        pytest.param(60, True, id="a stale connection is removed"),
        pytest.param(10, True, id="ten seconds old"),
        pytest.param(9, False, id="one whose handshake may not have ended is kept"),
        pytest.param(-5, False, id="one from a clock ahead of ours is kept"),
    ],
)
def test_who_has_gone_is_removed_unless_it_is_young(
    broadcaster: Broadcaster,
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
    age: int,
    removed: bool,
) -> None:
    connections.add(make_connection("sender"))
    connections.add(make_connection("gone", connected_at=int(NOW - age) * 1000))
    management_api.fail("gone", ConnectionGone("gone"))
    assert broadcaster.broadcast(EVERYONE, b"hello", "m1") == Sent(Delivery(delivered=1, gone=1))
    assert (connections.get("gone", NOW) is None) is removed
    assert connections.get("sender", NOW) is not None


def test_a_store_that_cannot_forget_does_not_stop_the_rest(
    broadcaster: Broadcaster,
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
) -> None:
    for name in ("gone", "alive"):
        connections.add(make_connection(name))
    management_api.fail("gone", ConnectionGone("gone"))
    connections.fail_after(0)
    assert broadcaster.broadcast(EVERYONE, b"hello", "m1") == Sent(Delivery(delivered=1, gone=1))


@pytest.mark.parametrize(
    ("size", "sent"), [(MAX_PAYLOAD_BYTES, True), (MAX_PAYLOAD_BYTES + 1, False)]
)
def test_a_payload_api_gateway_would_refuse_is_refused_before_anything_is_sent(
    broadcaster: Broadcaster,
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
    size: int,
    sent: bool,
) -> None:
    connections.add(make_connection("receiver"))
    if sent:
        broadcaster.broadcast(EVERYONE, b"x" * size, "m1")
    else:
        with pytest.raises(PayloadTooLarge):
            broadcaster.broadcast(EVERYONE, b"x" * size, "m1")
    assert bool(management_api.posts) is sent


class SlowManagementAPI(FakeManagementAPI):
    """Every post takes ten seconds of a clock, and there is time for two."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def post_to_members(
        self,
        members: Iterable[Member | None],
        data: bytes,
        budget: float,
        rate: float | None = None,
    ) -> Iterator[Posted]:
        end = self._clock() + budget
        for member in members:
            if member is None:
                time.sleep(0.001)
            elif self._clock() >= end:
                yield Posted(member, Outcome.DEFERRED)
            else:
                yield Posted(member, self._outcome(member.connection_id, data))
                self._clock.now += 10


def test_what_does_not_fit_into_the_time_is_deferred_and_what_ended_meanwhile_expired(
    connections: InMemoryConnectionRepository, executor: ThreadPoolExecutor, clock: Clock
) -> None:
    connections.add(make_connection("1-in-time"))
    connections.add(make_connection("2-ends", expires_at=int(NOW) + 5))
    connections.add(make_connection("3-just-in-time"))
    connections.add(make_connection("4-too-late"))
    management_api = SlowManagementAPI(clock)
    broadcaster = make_broadcaster(connections, management_api, executor, clock, budget=20)
    sent = broadcaster.broadcast(EVERYONE, b"hello", "m1")
    assert sent == Sent(Delivery(delivered=2, expired=1, deferred=1))
    assert list(management_api.posts) == ["1-in-time", "3-just-in-time"]


class Unreadable(InMemoryConnectionRepository):
    """One shard cannot be read."""

    def read(
        self, audience: Audience, shard: int, start: str | None, limit: int, now: float
    ) -> Page:
        if shard == 1:
            raise ServiceUnavailable("the store is down")
        return super().read(audience, shard, start, limit, now)


def test_an_audience_that_cannot_be_read_to_its_end_is_said_and_those_read_are_sent_to(
    executor: ThreadPoolExecutor, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    management_api = FakeManagementAPI()
    connections = Unreadable(everyone_shards=2)
    for number in range(10):
        connections.add(make_connection(f"connection-{number}"))
    broadcaster = make_broadcaster(connections, management_api, executor, clock)
    with pytest.raises(ServiceUnavailable, match="the store is down"):
        broadcaster.broadcast(EVERYONE, b"hello", "m1")
    readable = {member.connection_id for member in connections.read(EVERYONE, 0, None, 99, 0)[0]}
    assert set(management_api.posts) == readable
    assert f"delivered={len(readable)}" in caplog.text


class RememberedJobs:
    """Jobs that are remembered, and may be refused."""

    def __init__(self, error: ServiceUnavailable | None = None) -> None:
        self.places: list[Place] = []
        self._error = error

    def hand_over(
        self, message_id: str, audience: Audience, payload: bytes, places: Sequence[Place]
    ) -> str:
        if self._error is not None:
            raise self._error
        self.places = list(places)
        return f"job-of-{message_id}"


@pytest.mark.parametrize(("members", "shards"), [(20, 1), (21, 1), (60, 1), (20, 4), (100, 4)])
def test_above_the_threshold_the_rest_is_handed_over_and_nobody_is_in_both_parts(
    executor: ThreadPoolExecutor, clock: Clock, members: int, shards: int
) -> None:
    connections = InMemoryConnectionRepository(everyone_shards=shards)
    names = {f"connection-{number:03}" for number in range(members)}
    for name in names:
        connections.add(make_connection(name))
    management_api, jobs = FakeManagementAPI(), RememberedJobs()
    broadcaster = make_broadcaster(
        connections, management_api, executor, clock, jobs=jobs, threshold=20
    )
    sent = broadcaster.broadcast(EVERYONE, b"hello", "m1")
    left = [
        member.connection_id
        for shard, start in jobs.places
        for member in connections.read(EVERYONE, shard, start, 1000, NOW).members
    ]
    assert sent.delivery == Delivery(delivered=20)
    assert sent.job_id == ("job-of-m1" if jobs.places else None)
    assert bool(left) is (members > 20)
    assert sorted([*management_api.posts, *left]) == sorted(names)


def test_a_rest_nobody_takes_is_said(
    connections: InMemoryConnectionRepository, executor: ThreadPoolExecutor, clock: Clock
) -> None:
    for number in range(30):
        connections.add(make_connection(f"connection-{number:03}"))
    jobs = RememberedJobs(ServiceUnavailable("the queue is down"))
    broadcaster = make_broadcaster(
        connections, FakeManagementAPI(), executor, clock, jobs=jobs, threshold=20
    )
    sent = broadcaster.broadcast(EVERYONE, b"hello", "m1")
    assert sent == Sent(Delivery(delivered=20), is_complete=False)
    assert sent.to_dict()["incomplete"] is True


def test_a_shard_that_cannot_be_read_now_is_handed_over(
    executor: ThreadPoolExecutor, clock: Clock
) -> None:
    connections, jobs = Unreadable(everyone_shards=2), RememberedJobs()
    broadcaster = make_broadcaster(connections, FakeManagementAPI(), executor, clock, jobs=jobs)
    assert broadcaster.broadcast(EVERYONE, b"hello", "m1").job_id == "job-of-m1"
    assert jobs.places == [(1, None)]


def test_where_there_is_a_queue_nobody_is_taken_who_could_not_be_sent_to_in_time(
    connections: InMemoryConnectionRepository, executor: ThreadPoolExecutor, clock: Clock
) -> None:
    for number in range(9):
        connections.add(make_connection(f"connection-{number}"))
    jobs = RememberedJobs()
    management_api = SlowManagementAPI(clock)
    broadcaster = make_broadcaster(
        connections, management_api, executor, clock, budget=50, jobs=jobs
    )
    sent = broadcaster.broadcast(EVERYONE, b"hello", "m1")
    assert sent == Sent(Delivery(delivered=4), "job-of-m1")
    assert jobs.places == [(0, "connection-3")]


def test_a_store_that_answers_nothing_does_not_keep_the_answer_back(clock: Clock) -> None:
    may_go_on = threading.Event()
    has_ended: list[bool] = []

    class Hanging(InMemoryConnectionRepository):
        def read(
            self, audience: Audience, shard: int, start: str | None, limit: int, now: float
        ) -> Page:
            if start is not None:
                has_ended.append(may_go_on.wait(60))
            return super().read(audience, shard, start, 2, now)

    class Counting(APIGatewayManagementAPI):
        posted = 0

        def post_to_members(self, *what: Any) -> Iterator[Posted]:
            for posted in super().post_to_members(*what):
                self.posted += 1
                yield posted

    connections = Hanging()
    for number in range(5):
        connections.add(make_connection(f"ok.{number}"))
    with FaultyServer() as server, ThreadPoolExecutor(2) as executor:
        # Its time is up once two have answered.
        jumping = JumpingClock(lambda: counting.posted == 2)
        client = SignedClient(
            server.origin,
            Signer("us-east-1", "execute-api"),
            lambda: CREDENTIALS,
            time.time,
            limits=Limits(backoff=Backoff(clock=jumping)),
        )
        counting = Counting(client)
        sending = Sending(connections, counting, executor, clock)
        sent = Broadcaster(sending, budget=1000).broadcast(EVERYONE, b"hello", "m1")
        assert has_ended == []
        may_go_on.set()
        client.close()
    assert sent == Sent(Delivery(delivered=2), is_complete=False)


def test_a_store_that_hangs_does_not_keep_the_answer_back(
    executor: ThreadPoolExecutor, clock: Clock
) -> None:
    may_go_on, begun = threading.Event(), threading.Semaphore(0)
    asked: list[str] = []

    class Hanging(InMemoryConnectionRepository):
        def remove(self, connection_id: str, principal_id: str) -> None:
            asked.append(connection_id)
            begun.release()
            may_go_on.wait(60)

    class Waiting(FakeManagementAPI):
        def post_to_members(self, *what: Any) -> Iterator[Posted]:
            yield from super().post_to_members(*what)
            assert all(begun.acquire(timeout=60) for _ in range(4))

    connections = Hanging()
    management_api = Waiting()
    names = [f"connection-{number}" for number in range(10)]
    for name in names:
        connections.add(make_connection(name))
        management_api.fail(name, ConnectionGone(name))
    broadcaster = make_broadcaster(connections, management_api, executor, clock, budget=0.05)
    assert broadcaster.broadcast(EVERYONE, b"hello", "m1") == Sent(Delivery(gone=10))
    may_go_on.set()
    executor.shutdown()
    assert len(asked) == 4  # as many as there are threads; the others were given up


def test_who_may_have_received_it_twice_is_counted_besides(
    connections: InMemoryConnectionRepository, executor: ThreadPoolExecutor, clock: Clock
) -> None:
    class Doubtful(FakeManagementAPI):
        def post_to_members(
            self, members: Iterable[Member | None], *rest: Any, **options: Any
        ) -> Iterator[Posted]:
            for posted in super().post_to_members(members, *rest, **options):
                yield posted._replace(is_repeated=posted.member.connection_id == "twice")

    for name in ("once", "twice"):
        connections.add(make_connection(name))
    broadcaster = make_broadcaster(connections, Doubtful(), executor, clock)
    sent = broadcaster.broadcast(EVERYONE, b"hello", "m1")
    assert sent == Sent(Delivery(delivered=2, repeated=1))
    assert sent.delivery.targeted == 2


def test_every_broadcast_is_reported(
    connections: InMemoryConnectionRepository, executor: ThreadPoolExecutor, clock: Clock
) -> None:
    reports: list[Any] = []
    connections.add(make_connection())
    broadcaster = make_broadcaster(
        connections, FakeManagementAPI(), executor, clock, report=lambda *it: reports.append(it)
    )
    broadcaster.broadcast(EVERYONE, b"hello", "m1")
    assert reports == [("broadcast", Delivery(delivered=1).counts(), 0.0, 5)]


def test_a_delivery_is_told_with_its_sum_first() -> None:
    delivery = Delivery(delivered=1, gone=2, expired=3, slow=4, failed=5, deferred=6, repeated=7)
    assert list(delivery.counts().items()) == [
        ("targeted", 21),
        ("delivered", 1),
        ("gone", 2),
        ("expired", 3),
        ("slow", 4),
        ("failed", 5),
        ("deferred", 6),
        ("repeated", 7),
    ]
