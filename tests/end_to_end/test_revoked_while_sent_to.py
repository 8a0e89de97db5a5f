"""A message on its way to everyone while one of them is revoked: over the network."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.broadcast import ManagementAPI, Outcome, Posted
from chalicelib.connections import Member
from localgateway.database import EmbeddedDatabase
from tests.app_under_test import AppUnderTest, app_under_test
from tests.end_to_end.test_lifetimes import (
    REVOKED,
    SETTINGS,
    ask,
    connect,
    connect_many,
    post,
    rest,
    sign_operator,
    token,
)
from tests.gateway_under_test import eventually

OF_ALICE = 20
BEFORE = 8


class Halting:
    """A real management API; a message to many halts after some, until it is told to go on."""

    def __init__(self, api: ManagementAPI) -> None:
        self._api = api
        self.go_on = threading.Event()
        self.posted: list[Posted] = []

    def post_to_members(self, members: Iterable[Member | None], *rest: Any) -> Iterator[Posted]:
        for posted in self._api.post_to_members(self._halting(members), *rest):
            self.posted.append(posted)
            yield posted

    def _halting(self, members: Iterable[Member | None]) -> Iterator[Member | None]:
        taken = 0
        for member in members:
            while taken == BEFORE and not self.go_on.is_set():
                yield None
            taken += member is not None
            yield member

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)


@pytest.fixture
def app(database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppUnderTest]:
    with app_under_test(database, monkeypatch, **SETTINGS) as running:
        yield running


def test_nothing_arrives_once_the_revocation_has_answered(app: AppUnderTest) -> None:
    clients = connect_many(app, *[token()] * OF_ALICE)
    bob = connect(app, token("bob"))
    halting = Halting(app.services.management_api("local", "api"))
    app.services = replace(app.services, management_api=lambda *_: halting)
    with ThreadPoolExecutor(1) as executor:
        sending = executor.submit(ask, bob, "sendmessage", message="news")
        try:
            eventually(lambda: len(halting.posted) == BEFORE)
            revoked = post(app, "/principals/revoke", sign_operator(), {"principal": "alice"})
        finally:
            halting.go_on.set()
        delivery = sending.result(60)["result"]["delivery"]
    assert revoked[0] == 200
    assert (revoked[1]["closed"], revoked[1]["left"]) == (OF_ALICE, 0)
    before, after = halting.posted[:BEFORE], halting.posted[BEFORE:]
    assert {it.outcome for it in before} == {Outcome.DELIVERED}
    assert {it.outcome for it in after if it.member.principal_id == "alice"} == {Outcome.GONE}
    received = [rest(client) for client in clients]
    got_it = [frames for frames in received if len(frames) == 2]
    assert all(frames[-1] == REVOKED for frames in received)
    assert [frames[0]["message"] for frames in got_it] == ["news"] * len(got_it)
    assert len(got_it) == sum(it.member.principal_id == "alice" for it in before)
    assert delivery["delivered"] == len(got_it) + 1
    assert delivery["gone"] == OF_ALICE - len(got_it)
