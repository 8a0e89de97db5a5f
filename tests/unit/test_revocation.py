"""Revoking and connecting in every order of their steps: nobody escapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from chalicelib import operators
from chalicelib.arrivals import Arrivals
from chalicelib.authorizers import CLOCK_SKEW, Principal
from chalicelib.broadcast import MIN_STALE_AGE_SECONDS, Broadcaster, Sending
from chalicelib.closing import Closer
from chalicelib.connections import EVERYONE, Audience, Connection, members
from chalicelib.errors import ClientError, ConnectionGone, LimitExceeded, ServiceUnavailable
from chalicelib.http_requests import Call
from chalicelib.renewal import Renewal
from chalicelib.revocation import Revoker, is_kept_out
from chalicelib.scopes import Scopes
from tests.factories import NOW, make_connection
from tests.fakes import Clock, FakeManagementAPI, InMemoryConnectionRepository, InMemoryRevocations
from tests.stepped import Here, Steps, interleavings
from tests.unit.test_closing import Closings

ALICE = Audience("principal", "alice")
ISSUED_BEFORE = {"issuedAt": str(int(NOW) - 60)}
ISSUED_AFTER = {"issuedAt": str(int(NOW) + CLOCK_SKEW + 1)}


@pytest.mark.parametrize(
    ("not_before", "context", "kept_out"),
    [
        pytest.param(None, {}, False, id="nobody was revoked"),
        pytest.param(None, {"issuedAt": "1"}, False, id="nobody was revoked, old"),
        pytest.param(100, {"issuedAt": "99"}, True, id="issued before"),
        pytest.param(100, {"issuedAt": "100"}, True, id="issued in the same second"),
        pytest.param(100, {"issuedAt": "101"}, False, id="issued after"),
        pytest.param(100, {"issuedAt": 101}, False, id="a number"),
        pytest.param(100, {}, True, id="a key, which does not say when"),
        pytest.param(100, {"issuedAt": "never"}, True, id="no time"),
        pytest.param(100, {"issuedAt": "-5"}, True, id="negative"),
        pytest.param(100, {"issuedAt": "١٢٣"}, True, id="other digits"),
    ],
)
def test_who_is_kept_out(
    not_before: int | None, context: Mapping[str, Any], kept_out: bool
) -> None:
    assert is_kept_out(not_before, context) is kept_out


@pytest.fixture
def it() -> Iterator[Closings]:
    with ThreadPoolExecutor(4) as executor:
        yield Closings(executor)


def revoker(it: Closings, revocations: InMemoryRevocations) -> Revoker:
    return Revoker(revocations, it.connections, it.closer, it.clock)


def test_all_connections_of_a_principal_are_closed_and_nobody_elses(it: Closings) -> None:
    for number in range(5):
        it.add(f"alice-{number}")
    it.connections.add(make_connection("bobs", "bob"))
    it.connections.join("alice-0", Audience("channel", "news"), NOW, 5)
    revocations = InMemoryRevocations()
    revoked = revoker(it, revocations).revoke("alice", 60)
    assert revoked.to_dict() == {
        "principal": "alice",
        "notBefore": int(NOW) + CLOCK_SKEW,
        "closed": 5,
        "left": 0,
    }
    assert it.posts("alice-0") == [{"type": "closing", "code": 4403, "reason": "revoked"}]
    assert [member.connection_id for member in members(it.connections, EVERYONE, -1)] == ["bobs"]
    assert revocations.not_before("bob") is None


def test_a_connection_whose_renewal_stopped_half_way_is_closed_too(it: Closings) -> None:
    """It lives, and only its memberships say that it has expired: renewing changes them last."""
    connection = it.add(expires_at=int(NOW) - 1)
    it.connections._connections["abc="] = replace(connection, expires_at=int(NOW) + 900)
    assert revoker(it, InMemoryRevocations()).revoke("alice", 60).closed == 1
    assert it.connections.get("abc=", -1) is None
    assert it.posts() == [{"type": "closing", "code": 4403, "reason": "revoked"}]


def test_who_cannot_be_closed_yet_is_silent_at_once(it: Closings) -> None:
    it.add("young", age=1)
    it.connections.join("young", Audience("channel", "news"), NOW, 5)
    it.management_api.fail("young", ConnectionGone("young"))
    assert revoker(it, InMemoryRevocations()).revoke("alice", 2).left == 1
    assert it.connections.get("young", 1) is None
    for audience in (EVERYONE, ALICE, Audience("channel", "news")):
        assert list(members(it.connections, audience, 1)) == []


def test_the_answer_waits_until_a_handshake_under_way_is_over_or_given_up(it: Closings) -> None:
    it.add("young", age=0)
    it.management_api.fail("young", ConnectionGone("young"))
    call = Call("POST/principals/revoke", body=b'{"principal": "alice"}')
    answer = operators.revoke(revoker(it, InMemoryRevocations()), call)
    assert (answer.body["closed"], answer.body["left"]) == (1, 0)
    assert MIN_STALE_AGE_SECONDS <= sum(it.clock.slept) <= operators.CLOSING_SECONDS
    assert it.connections.count_items() == 0


def test_where_not_everything_was_written_it_says_so_and_can_be_repeated(it: Closings) -> None:
    it.add()
    it.connections.fail_after(0)
    revocations = InMemoryRevocations()
    with pytest.raises(ServiceUnavailable):
        revoker(it, revocations).revoke("alice", 2)
    assert revocations.not_before("alice") is not None  # first of all, nobody gets in
    it.connections.fail_after(None)
    assert revoker(it, revocations).revoke("alice", 60).closed == 1


# Every order


class SteppedConnections(InMemoryConnectionRepository):
    """Every item it reads or writes is a step."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps

    def add(self, connection: Connection) -> None:
        for audience in (EVERYONE, Audience("principal", connection.principal_id)):
            self._steps.take()
            self._members[audience][connection.connection_id] = connection.member()
        self._steps.take()
        self._connections[connection.connection_id] = connection

    def expire(self, connection_id: str, principal_id: str) -> None:
        self._steps.take()
        known = self._connections.get(connection_id)
        if known is not None:
            self._connections[connection_id] = make_connection(connection_id, expires_at=0)
        for audience in (EVERYONE, Audience("principal", principal_id)):
            self._steps.take()
            member = self._members[audience].get(connection_id)
            if member is not None:
                self._members[audience][connection_id] = member._replace(expires_at=0)

    def renew(
        self, connection: Connection, expires_at: int, context: Mapping[str, str], now: float
    ) -> bool:
        self._steps.take()
        name = connection.connection_id
        if self.get(name, now) is None:
            return False
        self._connections[name] = make_connection(name, expires_at=expires_at, context=context)
        for audience in (EVERYONE, Audience("principal", connection.principal_id)):
            self._steps.take()
            member = self._members[audience].get(name)
            if member is not None and member.expires_at > 0:
                self._members[audience][name] = member._replace(expires_at=expires_at)
        return True

    def read(self, *where: Any) -> Any:
        self._steps.take()
        return super().read(*where)


class SteppedRevocations(InMemoryRevocations):
    """So is every look at who is kept out."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps

    def revoke(self, principal_id: str, not_before: int) -> None:
        self._steps.take()
        super().revoke(principal_id, not_before)

    def not_before(self, principal_id: str) -> int | None:
        self._steps.take()
        return super().not_before(principal_id)


class Stage:
    """One principal, who connects or renews while it is revoked."""

    def __init__(self, steps: Steps) -> None:
        self.connections = SteppedConnections(steps)
        self.revocations = SteppedRevocations(steps)
        management_api = FakeManagementAPI()
        # It is not there yet, so that closing it changes nothing: only the marks count.
        management_api.fail("abc=", ConnectionGone("abc="))
        clock = Clock(NOW)
        self.use(management_api)
        self.arrivals = Arrivals(self.connections, self.revocations, 0, clock, clock.sleep)
        principal = Principal("alice", "jwt", int(NOW) + 900, Scopes.parse("connect"))
        self.principal = principal
        self.renewal = Renewal(lambda: [self], self.connections, self.revocations, clock)  # type: ignore[list-item]
        self.refusal: str | None = None

    def use(self, management_api: FakeManagementAPI) -> None:
        clock = Clock(NOW)
        closer = Closer(
            self.connections, lambda *_: management_api, Here(), clock, clock, clock.sleep
        )
        self.revoker = Revoker(self.revocations, self.connections, closer, clock)

    def authenticate(self, _request: object) -> Principal:
        return self.principal

    def connect(self) -> None:
        connection = make_connection(
            "abc=", connected_at=int(NOW * 1000), context=dict(ISSUED_BEFORE)
        )
        self.refusal = self.arrivals.admit(connection)

    def renew(self) -> None:
        connection = make_connection("abc=", connected_at=int(NOW * 1000))
        try:
            self.renewal.renew(connection, "a token")
        except ClientError as refused:
            self.refusal = refused.code

    def revoke(self) -> None:
        self.revoker.revoke("alice", 0)

    def reaches(self) -> bool:
        """Tell whether anything reaches the connection, or is taken from it."""
        audiences = (EVERYONE, ALICE)
        found = [members(self.connections, it, 1) for it in audiences]
        return self.connections.get("abc=", 1) is not None or any(map(list, found))


# Connecting: three writes, then the look. Revoking: write, read, then three marks.
@pytest.mark.parametrize("order", interleavings("connect", 4, "revoke", 5))
def test_whoever_connects_beside_a_revocation_is_refused_or_silenced(order: list[str]) -> None:
    steps = Steps(order)
    stage = Stage(steps)
    steps.run(connect=stage.connect, revoke=stage.revoke)
    assert not stage.reaches()


@pytest.mark.parametrize("order", interleavings("renew", 4, "revoke", 5))
def test_whoever_renews_beside_a_revocation_is_silenced(order: list[str]) -> None:
    steps = Steps(order)
    stage = Stage(steps)
    connection = make_connection("abc=", connected_at=int(NOW * 1000))
    InMemoryConnectionRepository.add(stage.connections, connection)
    steps.run(renew=stage.renew, revoke=stage.revoke)
    assert not stage.reaches()


class SteppedPosts(FakeManagementAPI):
    """So is every post to a member, and every close."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.refuses_to_close = False
        self._steps = steps

    def post_to_connection(self, connection_id: str, data: bytes) -> None:
        self._steps.take()
        super().post_to_connection(connection_id, data)

    def delete_connection(self, connection_id: str) -> None:
        self._steps.take()
        if self.refuses_to_close:
            raise LimitExceeded("429")
        super().delete_connection(connection_id)


class FanOut:
    """A message on its way to everyone, while the principal of one of them is revoked."""

    def __init__(self, steps: Steps) -> None:
        self.stage = Stage(steps)
        self.management_api = SteppedPosts(steps)
        self.stage.use(self.management_api)
        connection = make_connection("abc=", connected_at=int(NOW - 60) * 1000)
        InMemoryConnectionRepository.add(self.stage.connections, connection)
        self.left: int | None = None
        self.counts: Mapping[str, int] = {}
        self.received_when_answered: int | None = None

    def received(self) -> int:
        return self.management_api.posts["abc="].count(b"news")

    def revoke(self) -> None:
        self.left = self.stage.revoker.revoke("alice", 0).left
        self.received_when_answered = self.received()

    def send(self) -> None:
        connections, clock = self.stage.connections, Clock(NOW)
        sending = Sending(connections, self.management_api, Here(), clock, clock)
        self.counts = Broadcaster(sending).broadcast(EVERYONE, b"news", "id").delivery.counts()


# Sending: a read, then the post. Revoking: write, read, three marks, the reason, the close.
SENDING_BESIDE = interleavings("send", 2, "revoke", 7)


def test_nothing_is_delivered_once_a_revocation_has_answered_whatever_was_under_way() -> None:
    outcomes: Counter[str] = Counter()
    for order in SENDING_BESIDE:
        steps = Steps(order)
        fan_out = FanOut(steps)
        steps.run(send=fan_out.send, revoke=fan_out.revoke)
        assert fan_out.left == 0
        assert fan_out.received() == fan_out.received_when_answered
        outcomes.update(fan_out.counts)
    assert outcomes["delivered"] > 0
    assert outcomes["gone"] > 0, "read before the mark, posted to after the answer"
    assert outcomes["targeted"] < len(SENDING_BESIDE), "or not read at all"


def test_whoever_is_left_may_get_what_was_under_way_and_nothing_else() -> None:
    read_before = ["send", *["revoke"] * 7, "send"]
    steps = Steps(read_before)
    fan_out = FanOut(steps)
    fan_out.management_api.refuses_to_close = True
    steps.run(send=fan_out.send, revoke=fan_out.revoke)
    assert (fan_out.left, fan_out.received_when_answered, fan_out.received()) == (1, 0, 1)
    fan_out.send()
    assert (fan_out.counts["targeted"], fan_out.received()) == (0, 1)


def test_who_is_not_revoked_stays() -> None:
    steps = Steps([])
    stage = Stage(steps)
    steps.run(connect=stage.connect)
    assert stage.refusal is None
    assert stage.reaches()


def test_a_credential_issued_after_the_revocation_lets_in() -> None:
    stage = Stage(Steps([]))
    stage.revoke()
    connection = make_connection("abc=", context=dict(ISSUED_AFTER))
    assert stage.arrivals.admit(connection) is None
    assert stage.reaches()


def test_a_key_lets_in_again_once_its_principal_is_allowed() -> None:
    stage = Stage(Steps([]))
    stage.revoke()
    for allowed in (False, True):
        if allowed:
            stage.revocations.allow("alice")
        refusal = stage.arrivals.admit(make_connection("abc=", context={"key": "0" * 16}))
        assert refusal == (None if allowed else "revoked")
        assert stage.reaches() is allowed
