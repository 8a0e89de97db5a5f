"""Ending connections: what is told first, and who may not be forgotten yet."""

import dataclasses
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from chalicelib.broadcast import MIN_STALE_AGE_SECONDS
from chalicelib.endings import Closing
from chalicelib.errors import (
    ClientError,
    ConnectionGone,
    LimitExceeded,
    NotAConnectionId,
    ServiceUnavailable,
)
from chalicelib.http_connections import Operator
from chalicelib.http_requests import Call
from tests.factories import NOW, make_connection
from tests.fakes import Clock, FakeManagementAPI, InMemoryConnectionRepository


class Desk:
    """An operator, and what is before him."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.connections = InMemoryConnectionRepository()
        self.api = FakeManagementAPI()
        self.clock = Clock(NOW)
        self.operator = Operator(self.connections, self.api, executor, self.clock, self.clock)

    def add(self, connection_id: str, **changes: Any) -> None:
        self.connections.add(make_connection(connection_id, **changes))

    def delete(self, connection_id: str) -> bool:
        call = Call("DELETE/connections/*", path={"connection_id": quote(connection_id, safe="")})
        answer = self.operator.delete(call)
        return bool(answer.body["closed"])

    def refusal(self, connection_id: str) -> str:
        with pytest.raises(ClientError) as refused:
            self.delete(connection_id)
        return refused.value.code

    def delete_all(self, principal_id: str, seconds: float = 10.0) -> Any:
        path = {"principal_id": quote(principal_id, safe="")}
        return self.operator.delete_all(Call("", path=path, seconds=seconds)).body


@pytest.fixture
def desk() -> Iterator[Desk]:
    with ThreadPoolExecutor(4) as executor:
        yield Desk(executor)


def test_a_client_is_told_before_it_is_closed(desk: Desk) -> None:
    desk.add("a=")
    assert desk.delete("a=")
    assert desk.api.posts["a="] == [Closing.DISCONNECTED.frame()]
    assert desk.connections.count_items() == 0
    assert desk.refusal("a=") == "not_found"


def test_one_who_has_left_is_forgotten(desk: Desk) -> None:
    desk.add("a")
    desk.api.fail("a", ConnectionGone("a"))
    assert not desk.delete("a")
    assert desk.connections.count_items() == 0


def test_one_who_is_just_connecting_is_not_forgotten(desk: Desk) -> None:
    desk.add("a", connected_at=int(NOW * 1000))
    desk.api.fail("a", ConnectionGone("a"))
    desk.clock.now += MIN_STALE_AGE_SECONDS - 1
    assert desk.refusal("a") == "connection_opening"
    assert desk.connections.count_items() == 3
    desk.clock.now += 1
    assert not desk.delete("a")
    assert desk.connections.count_items() == 0


@pytest.mark.parametrize("problem", [LimitExceeded("full"), ServiceUnavailable("down")])
def test_one_who_does_not_read_is_closed_all_the_same(desk: Desk, problem: Exception) -> None:
    class Deaf(FakeManagementAPI):
        def post_to_connection(self, connection_id: str, data: bytes) -> None:
            raise problem

    desk.add("a")
    operator = Operator(desk.connections, Deaf(), desk.operator.executor, desk.clock)
    answer = operator.delete(Call("", path={"connection_id": "a"}))
    assert answer.body["closed"] is True


def test_one_the_table_has_forgotten_can_still_be_closed(desk: Desk) -> None:
    assert desk.delete("unknown")
    assert desk.api.posts["unknown"] == [Closing.DISCONNECTED.frame()]


def test_nothing_is_forgotten_where_nothing_could_be_closed(desk: Desk) -> None:
    desk.add("a")
    desk.api.fail("a", ServiceUnavailable("down"))
    with pytest.raises(ServiceUnavailable):
        desk.delete("a")
    assert desk.connections.count_items() == 3


@pytest.mark.parametrize("name", ["", "a#b", "%", "a b", "..", "a" * 129])
def test_what_can_be_no_id_is_asked_of_nobody(desk: Desk, name: str) -> None:
    assert desk.refusal(name) == "not_found"
    assert not desk.api.posts


def test_an_id_that_gateway_cannot_read_is_that_of_nobody(desk: Desk) -> None:
    desk.api.fail("00", NotAConnectionId("400"))
    assert desk.refusal("00") == "not_found"
    with pytest.raises(ClientError, match="not_found"):
        desk.operator.get(Call("", path={"connection_id": "00"}))


def test_all_of_a_principal_are_closed_and_nobody_else(desk: Desk) -> None:
    for number in range(40):
        desk.add(f"a{number}", principal_id="al ice/%")
    desk.add("b", principal_id="bob")
    desk.api.fail("a1", ConnectionGone("a1"))
    desk.api.fail("a2", ServiceUnavailable("down"))
    told = desk.delete_all("al ice/%")
    assert told == {"principalId": "al ice/%", "closed": 38, "gone": 1, "failed": 1}
    assert "b" not in desk.api.posts


def test_one_who_leaves_while_all_are_closed_is_gone_and_no_failure(desk: Desk) -> None:
    class Forgetful(InMemoryConnectionRepository):
        def get(self, connection_id: str, now: float) -> None:
            return None

    desk.operator = dataclasses.replace(desk.operator, connections=Forgetful())
    desk.operator.connections.add(make_connection("a"))
    desk.api.fail("a", ConnectionGone("a"))
    told = desk.delete_all("alice")
    assert (told["gone"], told["failed"]) == (1, 0)


def test_what_there_is_no_time_for_is_said(desk: Desk) -> None:
    desk.add("a")
    assert desk.delete_all("alice", seconds=0)["incomplete"] is True
    assert desk.delete_all("alice")["closed"] == 1


def test_a_part_of_the_time_is_left_for_what_has_begun(desk: Desk) -> None:
    for number in range(20):
        desk.add(f"a{number}", principal_id="alice")
    seconds = itertools.count()
    operator = dataclasses.replace(desk.operator, clock=lambda: float(next(seconds)))
    call = Call("", path={"principal_id": "alice"}, seconds=10.0)
    told = operator.delete_all(call).body
    assert (told["closed"], told["incomplete"]) == (6, True)  # looked at the clock in each second


def test_a_connection_only_one_of_the_two_knows(desk: Desk) -> None:
    desk.add("a")
    desk.api.fail("a", ConnectionGone("a"))
    call = Call("", path={"connection_id": "a"})
    assert desk.operator.get(call).body["open"] is None
    body = desk.operator.get(Call("", path={"connection_id": "unknown"})).body
    assert body["remembered"] is None
    assert body["open"]["sourceIp"] == "192.0.2.7"
