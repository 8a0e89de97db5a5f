"""A broadcast over the wire, to a management API that fails in every way there is."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.broadcast import Broadcaster, Delivery, Sending, Sent
from chalicelib.connections import EVERYONE, members
from chalicelib.exchanges import Limits
from chalicelib.management_api import APIGatewayManagementAPI
from tests.factories import NOW, make_connection
from tests.fakes import Clock, InMemoryConnectionRepository
from tests.faulty_server import FaultyServer

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret")
OUTCOMES = {
    "ok": "delivered",
    "last": "delivered",
    "rude": "delivered",
    "chunked": "delivered",
    "down1": "delivered",
    "reset1": "delivered",
    "half1": "delivered",
    "lost1": "delivered",
    "lost3": "delivered",
    "busy1": "delivered",
    "busy3": "delivered",
    "gone": "gone",
    "young": "gone",
    "slow": "slow",
    "denied": "failed",
    "down": "failed",
    "reset": "failed",
    "lost": "failed",
    "half": "failed",
    "junk": "failed",
}
FATES = sorted(OUTCOMES)
SERVED_AS = {"young": "gone"}
BUDGET = 60.0
"""Seconds, enough for any of these audiences."""

_numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


class ClockUntil:
    """A clock that all but stands still until something has happened, however long that takes.

    Then it is read a few times more before seconds have passed. What is made of the time between
    answers, or of too much of it, is decided by no machine: neither a fast nor a slow one.
    """

    def __init__(self, has_happened: Callable[[], bool]) -> None:
        self._has_happened = has_happened
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.05 if self._has_happened() else 0.000_001
        return self.now


def time_enough() -> ClockUntil:
    """Return the clock of a broadcast that ends by itself; a minute is a fault."""
    end = time.monotonic() + 60
    return ClockUntil(lambda: time.monotonic() >= end)


def broadcast(
    server: FaultyServer,
    connections: InMemoryConnectionRepository,
    budget: float = BUDGET,
    *,
    now: float = NOW,
    clock: Callable[[], float] | None = None,
    pause: float | None = None,
) -> Sent:
    """Send to everyone, by the clock on the wall where the budget is to be too small for it.

    What is done on the side is done when it returns, for the next broadcast would see it happen.
    """
    clock = clock or (time_enough() if budget == BUDGET else time.monotonic)
    pause = pause or (0.000_001 if isinstance(clock, ClockUntil) else 0.001)
    client = SignedClient(
        f"{server.origin}/api",
        Signer("us-east-1", "execute-api"),
        lambda: CREDENTIALS,
        time.time,
        connect_timeout=30.0,
        limits=Limits(sockets=6, backoff=Backoff(clock=clock, first=pause, longest=2 * pause)),
    )
    api = APIGatewayManagementAPI(client)
    with ThreadPoolExecutor(4) as executor:
        sending = Sending(connections, api, executor, Clock(now), clock)
        sent = Broadcaster(sending, budget=budget).broadcast(EVERYONE, b"hello", "m1")
    client.close()
    return sent


def add(connections: InMemoryConnectionRepository, fate: str, expires_at: int | None = None) -> str:
    connection_id = f"{SERVED_AS.get(fate, fate)}.{next(_numbers)}="
    age = 5 if fate == "young" else 60
    ends = int(NOW) + 3600 if expires_at is None else expires_at
    connected_at = int(NOW - age) * 1000
    connections.add(make_connection(connection_id, connected_at=connected_at, expires_at=ends))
    return connection_id


def populated(fates: list[str]) -> tuple[InMemoryConnectionRepository, dict[str, str]]:
    connections = InMemoryConnectionRepository(everyone_shards=3)
    return connections, {add(connections, fate): fate for fate in fates}


def left_in(connections: InMemoryConnectionRepository) -> set[str]:
    return {member.connection_id for member in members(connections, EVERYONE, NOW)}


def assert_honest(delivery: Delivery, server: FaultyServer, names: list[str]) -> None:
    """Nobody received a message twice, or any at all, without being counted for it.

    More may be counted than were: a request on a connection that was closed meanwhile is in doubt.
    """
    assert sum(server.acted[name] > 1 for name in names) <= delivery.repeated
    reached = sum(server.acted[name] > 0 for name in names)
    assert delivery.delivered <= reached
    assert reached <= delivery.targeted - delivery.deferred - delivery.expired


@given(fates=st.lists(st.sampled_from(FATES), max_size=40))
@settings(max_examples=300, deadline=None)
def test_everyone_is_accounted_for_and_only_who_has_gone_is_removed(
    server: FaultyServer, fates: list[str]
) -> None:
    connections, fate_of = populated(fates)
    sent = broadcast(server, connections)
    expected = Counter(OUTCOMES[fate] for fate in fates)
    repeated = {"repeated": sent.delivery.repeated}
    # Where much is refused at once the account may be over its quota: slow ones are told apart
    # from it by a few refusals more, and no otherwise.
    assert sent == Sent(Delivery(**expected, **repeated))
    assert_honest(sent.delivery, server, list(fate_of))
    assert left_in(connections) == {name for name, fate in fate_of.items() if fate != "gone"}


@given(
    fates=st.lists(st.sampled_from(["silent", *FATES]), max_size=40),
    budget=st.sampled_from([0.0, 0.002, 0.02]),
)
@settings(max_examples=300, deadline=None)
def test_whatever_the_time_the_sum_holds_and_no_live_connection_is_removed(
    server: FaultyServer, fates: list[str], budget: float
) -> None:
    connections, fate_of = populated(fates)
    sent = broadcast(server, connections, budget)
    assert sent.delivery.targeted <= len(fates)
    assert (sent.delivery.targeted == len(fates)) >= sent.is_complete
    assert_honest(sent.delivery, server, list(fate_of))
    live = {name for name, fate in fate_of.items() if fate != "gone"}
    assert live <= left_in(connections)


@dataclass
class Receiver:
    fate: str
    expires_at: int


class Broadcasting(RuleBasedStateMachine):
    """Clients come, go and expire between broadcasts; the store is what is left of it all."""

    server: FaultyServer

    def __init__(self) -> None:
        super().__init__()
        self.now = int(NOW)
        self.connections = InMemoryConnectionRepository(everyone_shards=3)
        self.receivers: dict[str, Receiver] = {}
        self.names: set[str] = set()
        self.targeted: Counter[str] = Counter()
        """How many broadcasts each was there for."""
        self.repeated = 0

    @rule(fate=st.sampled_from(FATES), seconds=st.sampled_from([2, 3600]))
    def connect(self, fate: str, seconds: int) -> None:
        expires_at = self.now + seconds
        name = add(self.connections, fate, expires_at)
        self.receivers[name] = Receiver(fate, expires_at)
        self.names.add(name)

    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        if self.receivers:
            name = data.draw(st.sampled_from(sorted(self.receivers)))
            self.connections.remove(name, "alice")
            del self.receivers[name]

    @rule(seconds=st.integers(1, 5))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(budget=st.sampled_from([0.003, BUDGET]))
    def broadcast(self, budget: float) -> None:
        there = self.found()
        assert all(self.receivers[name].expires_at > self.now for name in there)
        delivery = broadcast(self.server, self.connections, budget, now=self.now).delivery
        self.targeted.update(there)
        self.repeated += delivery.repeated
        assert delivery.targeted <= len(there)
        assert (delivery.targeted == len(there)) >= (budget == BUDGET)

    @invariant()
    def nobody_receives_more_than_was_counted(self) -> None:
        """Over all broadcasts: the server may come to a request when its sender has given it up."""
        seen, acted = dict(self.server.seen), dict(self.server.acted)
        assert {name for name in self.names if seen.get(name, 0)} <= self.targeted.keys()
        more = sum(max(0, acted.get(name, 0) - self.targeted[name]) for name in self.names)
        assert more <= 4 * self.repeated  # which counts receivers, each sent to five times at most

    @invariant()
    def no_live_connection_is_removed(self) -> None:
        live = {
            name
            for name, it in self.receivers.items()
            if SERVED_AS.get(it.fate, it.fate) != "gone" and it.expires_at > self.now
        }
        assert live <= self.found() <= self.receivers.keys()

    def found(self) -> set[str]:
        return {member.connection_id for member in members(self.connections, EVERYONE, self.now)}


def test_however_clients_come_and_go_the_sum_holds_and_nobody_is_lost(
    server: FaultyServer,
) -> None:
    Broadcasting.server = server
    run_state_machine_as_test(
        Broadcasting, settings=settings(max_examples=60, stateful_step_count=20, deadline=None)
    )


def test_one_slow_receiver_does_not_slow_the_others_and_is_told_from_a_throttled_account(
    server: FaultyServer,
) -> None:
    connections, fate_of = populated(["slow", *["ok"] * 300])
    sent = broadcast(server, connections)
    assert sent == Sent(Delivery(delivered=300, slow=1))
    assert [server.seen[name] for name, fate in fate_of.items() if fate == "slow"] == [4]


def test_a_throttled_account_makes_nobody_slow(
    server: FaultyServer,
) -> None:
    connections, _ = populated(["busy6"] * 60)
    assert broadcast(server, connections) == Sent(Delivery(delivered=60))


def test_who_is_only_ever_refused_by_a_throttled_account_was_not_sent_to(
    server: FaultyServer,
) -> None:
    connections, fate_of = populated(["busy"] * 60)
    clock = ClockUntil(lambda: sum(server.seen[name] > 0 for name in fate_of) >= 24)
    delivery = broadcast(server, connections, 1.0, clock=clock, pause=0.01).delivery
    assert sum(server.seen[name] > 0 for name in fate_of) >= 24  # or nobody was refused
    assert delivery.failed <= 6  # those on their way when the time was over
    assert delivery.deferred + delivery.slow + delivery.failed == delivery.targeted == 60
    assert delivery.deferred > 40  # who is refused a dozen times is slow


def test_where_nothing_breaks_nobody_is_counted_as_repeated(
    server: FaultyServer,
) -> None:
    connections, _ = populated(["ok", "gone", "slow", "denied", "busy1"] * 20)
    for _ in range(3):
        assert broadcast(server, connections).delivery.repeated == 0


def test_a_management_api_that_hangs_does_not_outlast_the_budget(
    server: FaultyServer,
) -> None:
    connections, fate_of = populated(["silent"] * 50)
    clock = ClockUntil(lambda: sum(server.seen[name] for name in fate_of) >= 6)
    sent = broadcast(server, connections, 1.0, clock=clock)
    assert clock.now < 4  # one answer alone may take five seconds, but for the budget
    assert sent == Sent(Delivery(failed=6, deferred=44))
    assert sum(server.seen[name] for name in fate_of) == 6


def test_credentials_that_expire_midway_are_renewed_and_nobody_is_refused(
    server: FaultyServer,
) -> None:
    clock = Clock(NOW)
    used: list[str] = []

    def credentials() -> Credentials:
        used.append("old" if clock() < NOW + 10 else "new")
        return Credentials("AKIDEXAMPLE", "secret", used[-1])

    def now() -> float:
        clock.now += 0.2  # for each request
        return clock()

    # Of requests on several connections none is the first.
    one = Limits(sockets=1, backoff=Backoff(clock=time_enough()))
    signer = Signer("us-east-1", "execute-api")
    client = SignedClient(server.origin, signer, credentials, now, limits=one)
    connections, _ = populated(["ok"] * 100)
    with ThreadPoolExecutor(4) as executor:
        sending = Sending(connections, APIGatewayManagementAPI(client), executor, Clock(NOW))
        sent = Broadcaster(sending).broadcast(EVERYONE, b"hello", "m1")
    client.close()
    assert sent == Sent(Delivery(delivered=100))
    assert set(used) == {"old", "new"}
    tokens = [head for head in server.tokens if head in (b"old", b"new")]
    assert tokens.count(b"new") > 20
    assert tokens == sorted(tokens, reverse=True)


def test_what_failed_is_logged_by_its_cause(
    server: FaultyServer, caplog: pytest.LogCaptureFixture
) -> None:
    connections, _ = populated(["denied", "denied", "ok"])
    broadcast(server, connections)
    (line,) = [record.message for record in caplog.records if "posts that failed" in record.message]
    assert json.loads(line.partition(": ")[2]) == {"403": 2}
