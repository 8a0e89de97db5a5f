from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.fakes import Clock
from tests.wsclient_fakes import ScriptedConnection
from wsclient.errors import CannotConnect, ClientError, Closed, NoAnswer, Refused, RequestFailed
from wsclient.protocol import Frame
from wsclient.session import Keeping, Session

LOST = Closed("lost.", 1006)
HOUR = 3600.0


def message(message_id: str) -> Frame:
    return {"type": "message", "messageId": message_id, "message": message_id}


class World:
    """A session, its clock, and the connections it gets one after the other."""

    def __init__(
        self,
        *attempts: ScriptedConnection | ClientError,
        clock: Clock,
        channels: Sequence[str] = (),
        reconnect: bool = False,
    ) -> None:
        self.attempts = list(attempts)
        self.times: list[float] = []
        self.notices: list[str] = []
        self.clock = clock
        self.session = Session(
            self._connect,
            Keeping(reconnect=reconnect),
            channels,
            notice=self.notices.append,
            clock=clock,
            chance=lambda: 1.0,
            pause=lambda seconds, _wake: clock.sleep(seconds),
        )

    def _connect(self) -> ScriptedConnection:
        self.times.append(self.clock.now)
        attempt = self.attempts.pop(0)
        if isinstance(attempt, ClientError):
            raise attempt
        return attempt

    def message_ids(self, seconds: float) -> list[str]:
        """Return the ids of what comes within a time."""
        end = self.clock.now + seconds
        ids = []
        while self.clock.now < end:
            frame = self.session.receive(end - self.clock.now)
            if frame is not None:
                ids.append(frame["messageId"])
        return ids


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


def test_frames_come_in_order_and_none_after_a_while(clock: Clock) -> None:
    world = World(ScriptedConnection(clock, {1: message("a"), 2: message("b")}), clock=clock)
    world.session.open()
    assert world.message_ids(5) == ["a", "b"]
    assert world.session.receive(10) is None
    assert clock.now == 15


def test_no_wait_is_so_long_that_a_signal_before_it_is_not_heard_of(clock: Clock) -> None:
    quiet = ScriptedConnection(clock, {})
    world = World(quiet, clock=clock)
    world.session.open()
    assert world.session.receive(300) is None
    assert (clock.now, quiet.longest_wait) == (300, 1)


def test_an_answer_is_told_from_what_comes_between(clock: Clock) -> None:
    connection = ScriptedConnection(clock, {0: message("a")}, answer=lambda _: None)
    world = World(connection, clock=clock)
    world.session.open()
    assert world.session.request("ping") == "wsclient-1"
    with pytest.raises(NoAnswer):
        world.session.ask("whoami")
    assert [frame["action"] for frame in connection.sent] == ["ping", "whoami"]
    assert clock.now == 35


def test_an_idle_connection_is_pinged_before_ten_minutes_and_the_answer_is_not_shown(
    clock: Clock,
) -> None:
    connection = ScriptedConnection(clock, {})
    world = World(connection, clock=clock)
    world.session.open()
    assert world.message_ids(HOUR) == []
    assert [frame["action"] for frame in connection.sent] == ["ping"] * 6


def test_what_is_sent_counts_as_a_ping(clock: Clock) -> None:
    connection = ScriptedConnection(clock, {})
    world = World(connection, clock=clock)
    world.session.open()
    for _ in range(6):
        world.session.receive(500)
        world.session.ask("whoami")
    assert {frame["action"] for frame in connection.sent} == {"whoami"}


def test_channels_are_joined_before_anything_else_and_no_message_is_lost(clock: Clock) -> None:
    connection = ScriptedConnection(clock, {0: message("a")}, answer=lambda _: None)
    late = {"type": "reply", "id": "wsclient-1", "result": {}}
    connection._coming.append((1, late))
    world = World(connection, clock=clock, channels=["news"])
    world.session.open()
    assert connection.sent == [{"action": "join", "channel": "news", "id": "wsclient-1"}]
    assert world.message_ids(2) == ["a"]


def refuse(frame: Frame) -> Frame:
    error = {"code": "forbidden_audience", "message": "No."}
    return {"type": "error", "id": frame["id"], "error": error}


@pytest.mark.parametrize("reconnect", [False, True])
def test_a_channel_that_may_not_be_joined_ends_it(clock: Clock, reconnect: bool) -> None:
    connection = ScriptedConnection(clock, {}, answer=refuse)
    world = World(connection, clock=clock, channels=["news"], reconnect=reconnect)
    with pytest.raises(RequestFailed, match=r"cannot join news: forbidden_audience: No\."):
        world.session.open()
    assert connection.is_closed


def test_a_join_without_an_answer_is_no_connection(clock: Clock) -> None:
    connection = ScriptedConnection(clock, {}, answer=lambda _: None)
    world = World(connection, clock=clock, channels=["news"])
    with pytest.raises(NoAnswer):
        world.session.open()
    assert connection.is_closed


def test_without_reconnect_the_end_is_the_end(clock: Clock) -> None:
    world = World(ScriptedConnection(clock, {1: LOST}), clock=clock)
    world.session.open()
    with pytest.raises(Closed) as caught:
        world.session.receive(5)
    assert caught.value.code == 1006
    assert not world.session.is_open


def test_the_reason_of_a_closing_frame_beats_the_close_code(clock: Clock) -> None:
    closing = {"type": "closing", "code": 4401, "reason": "expired"}
    connection = ScriptedConnection(clock, {1: closing, 2: Closed("normal", 1000)})
    world = World(connection, clock=clock)
    world.session.open()
    assert world.session.receive(5) == closing
    with pytest.raises(Closed, match="4401: expired") as caught:
        world.session.receive(5)
    assert caught.value.code == 4401


@pytest.mark.parametrize("closing", [{}, {"code": "x"}, {"code": 4400, "reason": 5}])
def test_a_closing_frame_that_says_little_is_no_trouble(
    clock: Clock, closing: dict[str, Any]
) -> None:
    connection = ScriptedConnection(clock, {1: {"type": "closing", **closing}, 2: LOST})
    world = World(connection, clock=clock)
    world.session.open()
    world.session.receive(5)
    with pytest.raises(Closed):
        world.session.receive(5)


def test_a_lost_connection_is_opened_again_later_and_later(clock: Clock) -> None:
    away = CannotConnect("away.")
    first = ScriptedConnection(clock, {10: LOST})
    second = ScriptedConnection(clock, {20: message("a")})
    world = World(first, away, away, away, second, clock=clock, reconnect=True, channels=["news"])
    world.session.open()
    assert world.message_ids(60) == ["a"]
    assert world.times == [0, 11, 13, 17, 25]
    assert [frame["action"] for frame in second.sent] == ["join"]
    assert "Connecting again in 1.0 s." in world.notices[0]


def test_success_makes_the_next_wait_short_again(clock: Clock) -> None:
    away = CannotConnect("away.")
    connections = [ScriptedConnection(clock, {time: LOST}) for time in (10, 100)]
    last = ScriptedConnection(clock, {})
    world = World(connections[0], away, away, connections[1], last, clock=clock, reconnect=True)
    world.session.open()
    world.message_ids(200)
    assert world.times == [0, 11, 13, 17, 101]


def test_the_first_attempt_may_fail_where_reconnecting_is_asked(clock: Clock) -> None:
    world = World(
        CannotConnect("away."), ScriptedConnection(clock, {}), clock=clock, reconnect=True
    )
    world.session.open()
    assert not world.session.is_open
    world.session.receive(5)
    assert world.session.is_open


def test_the_first_attempt_is_the_last_where_it_is_not(clock: Clock) -> None:
    world = World(CannotConnect("away."), clock=clock)
    with pytest.raises(CannotConnect):
        world.session.open()


def test_a_refusal_is_final(clock: Clock) -> None:
    world = World(
        ScriptedConnection(clock, {10: LOST}), Refused("401"), clock=clock, reconnect=True
    )
    world.session.open()
    with pytest.raises(Refused):
        world.session.receive(60)


def test_nothing_is_sent_while_there_is_no_connection(clock: Clock) -> None:
    world = World(CannotConnect("away."), clock=clock, reconnect=True)
    world.session.open()
    with pytest.raises(Closed):
        world.session.request("ping")


def test_a_wait_ends_in_time_although_there_is_no_connection(clock: Clock) -> None:
    away = [CannotConnect("away.")] * 20
    world = World(*away, clock=clock, reconnect=True)
    world.session.open()
    assert world.session.receive(100) is None
    assert clock.now == 100


def test_a_connection_is_renewed_before_two_hours_and_nothing_comes_twice_or_not_at_all(
    clock: Clock,
) -> None:
    renewal = 6900 * 0.95
    # What reaches both connections, and what reaches the old one alone.
    old = ScriptedConnection(
        clock,
        {1: message("a"), renewal + 0.1: message("b"), renewal + 0.2: message("c")},
        answer=reply_later(clock),
    )
    new = ScriptedConnection(
        clock, {renewal + 0.15: message("b"), renewal + 5: message("d")}, answer=reply_later(clock)
    )
    world = World(old, new, clock=clock, reconnect=True)
    world.session.open()
    assert world.message_ids(2 * HOUR - 1) == ["a", "b", "c", "d"]
    assert world.times == [0, renewal]
    assert old.is_closed
    assert not new.is_closed


def reply_later(_clock: Clock) -> Callable[[Frame], Frame | None]:
    return lambda frame: {"type": "reply", "id": frame["id"], "result": {}}


def test_without_reconnect_nothing_is_renewed(clock: Clock) -> None:
    world = World(ScriptedConnection(clock, {}), clock=clock)
    world.session.open()
    world.message_ids(3 * HOUR)
    assert world.times == [0]


@pytest.mark.parametrize("failure", [CannotConnect("away."), Refused("401")])
def test_a_renewal_that_fails_leaves_the_old_connection(clock: Clock, failure: ClientError) -> None:
    renewal = 6900 * 0.95
    old = ScriptedConnection(clock, {renewal + 1: message("a")})
    new = ScriptedConnection(clock, {renewal + 9: message("b")})
    world = World(old, failure, new, clock=clock, reconnect=True)
    world.session.open()
    assert world.message_ids(2 * HOUR) == ["a", "b"]
    assert len(world.times) == 3
    assert "not renewed yet" in world.notices[0]


def test_the_memory_of_messages_has_an_end(clock: Clock) -> None:
    many = {float(number): message(str(number)) for number in range(10_500)}
    world = World(ScriptedConnection(clock, many), clock=clock)
    world.session.open()
    assert len(world.message_ids(10_500)) == 10_500
    assert len(world.session._seen) == 10_000


def test_closing_twice_is_closing_once(clock: Clock) -> None:
    connection = ScriptedConnection(clock, {})
    world = World(connection, clock=clock)
    world.session.open()
    world.session.close()
    world.session.close()
    assert connection.is_closed
