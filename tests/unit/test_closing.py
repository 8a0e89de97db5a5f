"""Closing connections: said why, closed, forgotten; the young again, the failed next time."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib.closing import Closer
from chalicelib.connections import EVERYONE, Connection, members
from chalicelib.endings import Closing
from chalicelib.errors import (
    ConfigurationError,
    ConnectionGone,
    LimitExceeded,
    PortcullisError,
    ServiceUnavailable,
)
from tests.factories import NOW, STAGE, make_connection
from tests.fakes import Clock, FakeManagementAPI, InMemoryConnectionRepository


class Closings:
    """A closer on fakes; its clocks move when it sleeps."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.connections = InMemoryConnectionRepository()
        self.management_api = FakeManagementAPI()
        self.stages: list[tuple[str, str]] = []
        self.clock = Clock(NOW)
        self.closer = Closer(
            self.connections,
            self.api_of,
            executor,
            self.clock,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def api_of(self, api_id: str, stage: str) -> FakeManagementAPI:
        self.stages.append((api_id, stage))
        return self.management_api

    def add(self, name: str = "abc=", age: int = 60, **changes: Any) -> Connection:
        connected_at = int((NOW - age) * 1000)
        connection = make_connection(name, connected_at=connected_at, **changes)
        self.connections.add(connection)
        return connection

    def posts(self, name: str = "abc=") -> list[object]:
        return [json.loads(post) for post in self.management_api.posts[name]]


@pytest.fixture
def it() -> Iterator[Closings]:
    with ThreadPoolExecutor(4) as executor:
        yield Closings(executor)


@pytest.mark.parametrize(
    ("closing", "code", "reason"),
    [
        (Closing.EXPIRED, 4401, "expired"),
        (Closing.REVOKED, 4403, "revoked"),
        (Closing.TOO_FAST, 4429, "rate_limited"),
    ],
)
def test_a_connection_is_told_why_then_closed_and_forgotten(
    it: Closings, closing: Closing, code: int, reason: str
) -> None:
    connection = it.add()
    assert it.closer.close(connection.member(), closing)
    assert it.posts() == [{"type": "closing", "code": code, "reason": reason}]
    assert isinstance(it.management_api.errors["abc="], ConnectionGone)  # it is closed
    assert it.connections.count_items() == 0
    assert it.stages == [(STAGE.api_id, STAGE.name)]


@pytest.mark.parametrize(("age", "forgotten"), [(0, False), (9, False), (10, True), (60, True)])
def test_one_that_is_not_there_is_gone_unless_it_may_still_be_coming(
    it: Closings, age: int, forgotten: bool
) -> None:
    connection = it.add(age=age)
    it.management_api.fail("abc=", ConnectionGone("abc="))
    assert it.closer.close(connection.member(), Closing.EXPIRED) is forgotten
    assert (it.connections.count_items() == 0) is forgotten


@pytest.mark.parametrize(
    "problem", [LimitExceeded("429"), ServiceUnavailable("500"), ConfigurationError("403")]
)
def test_one_that_cannot_be_closed_now_is_kept_for_the_next_time(
    it: Closings, problem: PortcullisError
) -> None:
    connection = it.add()
    it.management_api.fail("abc=", problem)
    assert not it.closer.close(connection.member(), Closing.EXPIRED)
    assert it.connections.count_items() == 3


def test_one_that_is_known_to_its_audiences_only_is_forgotten_once_it_is_old(it: Closings) -> None:
    for age, forgotten in ((5, False), (60, True)):
        connection = it.add(age=age)
        it.connections._connections.clear()
        assert it.closer.close(connection.member(), Closing.EXPIRED) is forgotten
    assert list(members(it.connections, EVERYONE, -1)) == []


def test_the_young_are_tried_again_until_their_handshake_is_over(it: Closings) -> None:
    old, young = it.add("old"), it.add("young", age=1)
    it.management_api.fail("young", ConnectionGone("young"))
    slept = it.clock.sleep

    def arrive(seconds: float) -> None:
        slept(seconds)
        if len(it.clock.slept) == 3:
            del it.management_api.errors["young"]

    it.closer = Closer(it.connections, it.api_of, it.closer.executor, it.clock, it.clock, arrive)
    assert it.closer.close_all([old.member(), young.member()], Closing.REVOKED, 60) == ()
    assert len(it.clock.slept) == 3
    assert it.connections.count_items() == 0


@pytest.mark.parametrize("problem", [LimitExceeded("429"), ServiceUnavailable("500")])
def test_whom_api_gateway_will_not_close_now_is_tried_again_too(
    it: Closings, problem: PortcullisError
) -> None:
    member = it.add().member()
    it.management_api.fail("abc=", problem)
    slept = it.clock.sleep

    def recover(seconds: float) -> None:
        slept(seconds)
        if len(it.clock.slept) == 3:
            del it.management_api.errors["abc="]

    it.closer = Closer(it.connections, it.api_of, it.closer.executor, it.clock, it.clock, recover)
    assert it.closer.close_all([member], Closing.REVOKED, 60) == ()
    assert len(it.clock.slept) == 3
    assert isinstance(it.management_api.errors["abc="], ConnectionGone)  # it is closed


def test_whoever_is_left_when_the_time_is_over_is_told(it: Closings) -> None:
    old, young = it.add("old"), it.add("young", age=1)
    it.management_api.fail("young", ConnectionGone("young"))
    left = it.closer.close_all([old.member(), young.member()], Closing.REVOKED, 2)
    assert left == (young.member(),)
    assert sum(it.clock.slept) < 2
