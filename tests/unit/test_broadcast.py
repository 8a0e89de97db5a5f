"""A broadcast reaches whom it can, and accounts for everybody."""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.broadcast import MAX_PAYLOAD_BYTES, Broadcaster, Delivery, Outcome
from chalicelib.connections import EVERYONE, Audience, Member
from chalicelib.errors import (
    ConfigurationError,
    ConnectionGone,
    LimitExceeded,
    PayloadTooLarge,
    PortcullisError,
    ServiceUnavailable,
)
from tests.factories import NOW, make_connection
from tests.fakes import Clock, FakeManagementAPI, InMemoryConnectionRepository


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
    return Broadcaster(connections, management_api, executor, clock)


def test_everyone_gets_the_payload_once(
    broadcaster: Broadcaster,
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
) -> None:
    names = [f"connection-{number}" for number in range(50)]
    for name in names:
        connections.add(make_connection(name))
    assert broadcaster.broadcast(EVERYONE, b"hello") == Delivery(delivered=50)
    assert management_api.posts == {name: [b"hello"] for name in names}


def test_only_the_audience_gets_the_payload(
    broadcaster: Broadcaster,
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
) -> None:
    connections.add(make_connection("of-alice", "alice"))
    connections.add(make_connection("of-bob", "bob"))
    assert broadcaster.broadcast(Audience("principal", "bob"), b"hello").targeted == 1
    assert list(management_api.posts) == ["of-bob"]


def test_an_empty_audience_is_no_fault(broadcaster: Broadcaster) -> None:
    assert broadcaster.broadcast(EVERYONE, b"hello") == Delivery()


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
    delivery = broadcaster.broadcast(EVERYONE, b"hello")
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
    assert broadcaster.broadcast(EVERYONE, b"hello") == Delivery(delivered=1, gone=1)
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
    assert broadcaster.broadcast(EVERYONE, b"hello") == Delivery(delivered=1, gone=1)


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
        broadcaster.broadcast(EVERYONE, b"x" * size)
    else:
        with pytest.raises(PayloadTooLarge):
            broadcaster.broadcast(EVERYONE, b"x" * size)
    assert bool(management_api.posts) is sent


class SlowManagementAPI(FakeManagementAPI):
    """Every post takes ten seconds of a clock, and there is time for two."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def post_to_members(
        self, members: Iterable[Member], data: bytes, budget: float
    ) -> Iterator[tuple[Member, Outcome]]:
        end = self._clock() + budget
        for member in members:
            if self._clock() >= end:
                yield member, Outcome.DEFERRED
            else:
                yield member, self._outcome(member.connection_id, data)
            self._clock.now += 10


def test_what_does_not_fit_into_the_time_is_deferred_and_what_ended_meanwhile_expired(
    connections: InMemoryConnectionRepository, executor: ThreadPoolExecutor, clock: Clock
) -> None:
    connections.add(make_connection("in-time"))
    connections.add(make_connection("ends", expires_at=int(NOW) + 5))
    connections.add(make_connection("just-in-time"))
    connections.add(make_connection("too-late"))
    management_api = SlowManagementAPI(clock)
    broadcaster = Broadcaster(connections, management_api, executor, clock, budget=20)
    delivery = broadcaster.broadcast(EVERYONE, b"hello")
    assert delivery == Delivery(delivered=2, expired=1, deferred=1)
    assert list(management_api.posts) == ["in-time", "just-in-time"]


def test_an_audience_is_read_while_it_is_sent_to(
    connections: InMemoryConnectionRepository, executor: ThreadPoolExecutor, clock: Clock
) -> None:
    management_api = FakeManagementAPI()
    sent_when_read: list[int] = []

    class Watched(InMemoryConnectionRepository):
        def members(self, audience: Audience, now: float) -> Iterator[Member]:
            for number in range(3):
                sent_when_read.append(len(management_api.posts))
                yield make_connection(f"connection-{number}").member()

    Broadcaster(Watched(), management_api, executor, clock).broadcast(EVERYONE, b"hello")
    assert sent_when_read == [0, 1, 2]


def test_an_audience_that_cannot_be_read_to_its_end_is_said_and_those_read_are_sent_to(
    executor: ThreadPoolExecutor, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(InMemoryConnectionRepository):
        def members(self, audience: Audience, now: float) -> Iterator[Member]:
            yield make_connection("read").member()
            raise ServiceUnavailable("the store is down")

    management_api = FakeManagementAPI()
    broadcaster = Broadcaster(Broken(), management_api, executor, clock)
    with pytest.raises(ServiceUnavailable, match="the store is down"):
        broadcaster.broadcast(EVERYONE, b"hello")
    assert list(management_api.posts) == ["read"]
    assert "delivered=1" in caplog.text


def test_a_store_that_hangs_does_not_keep_the_answer_back(
    executor: ThreadPoolExecutor, clock: Clock
) -> None:
    may_go_on = threading.Event()
    asked: list[str] = []

    class Hanging(InMemoryConnectionRepository):
        def remove(self, connection_id: str, principal_id: str) -> None:
            asked.append(connection_id)
            may_go_on.wait(5)

    connections = Hanging()
    management_api = FakeManagementAPI()
    names = [f"connection-{number}" for number in range(10)]
    for name in names:
        connections.add(make_connection(name))
        management_api.fail(name, ConnectionGone(name))
    broadcaster = Broadcaster(connections, management_api, executor, clock, budget=0.05)
    assert broadcaster.broadcast(EVERYONE, b"hello") == Delivery(gone=10)
    may_go_on.set()
    executor.shutdown()
    assert len(asked) == 4  # as many as there are threads; the others were given up


def test_a_delivery_is_told_with_its_sum_first() -> None:
    delivery = Delivery(delivered=1, gone=2, expired=3, slow=4, failed=5, deferred=6)
    assert list(delivery.to_dict().items()) == [
        ("targeted", 21),
        ("delivered", 1),
        ("gone", 2),
        ("expired", 3),
        ("slow", 4),
        ("failed", 5),
        ("deferred", 6),
    ]
