"""A broadcast over the wire, to a management API that fails in every way there is."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.broadcast import Broadcaster, Delivery
from chalicelib.connections import EVERYONE
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
    "gone": "gone",
    "young": "gone",
    "slow": "slow",
    "denied": "failed",
    "down": "failed",
    "reset": "failed",
    "half": "failed",
    "junk": "failed",
}
SERVED_AS = {"young": "gone"}

_numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


def broadcast(
    server: FaultyServer,
    executor: ThreadPoolExecutor,
    connections: InMemoryConnectionRepository,
    budget: float,
) -> Delivery:
    client = SignedClient(
        f"{server.origin}/api",
        Signer("us-east-1", "execute-api"),
        lambda: CREDENTIALS,
        time.time,
        limits=Limits(sockets=6, backoff=Backoff(first=0.001, longest=0.002)),
    )
    api = APIGatewayManagementAPI(client)
    return Broadcaster(connections, api, executor, Clock(NOW), budget).broadcast(EVERYONE, b"hello")


def populated(fates: list[str]) -> tuple[InMemoryConnectionRepository, dict[str, str]]:
    connections = InMemoryConnectionRepository()
    fate_of: dict[str, str] = {}
    for fate in fates:
        connection_id = f"{SERVED_AS.get(fate, fate)}.{next(_numbers)}="
        age = 5 if fate == "young" else 60
        connections.add(make_connection(connection_id, connected_at=int(NOW - age) * 1000))
        fate_of[connection_id] = fate
    return connections, fate_of


def left_in(connections: InMemoryConnectionRepository) -> set[str]:
    return {member.connection_id for member in connections.members(EVERYONE, NOW)}


@given(fates=st.lists(st.sampled_from(sorted(OUTCOMES)), max_size=40))
@settings(max_examples=200, deadline=None)
def test_everyone_is_accounted_for_and_only_who_has_gone_is_removed(
    server: FaultyServer, executor: ThreadPoolExecutor, fates: list[str]
) -> None:
    connections, fate_of = populated(fates)
    delivery = broadcast(server, executor, connections, 20.0)
    assert delivery == Delivery(**Counter(OUTCOMES[fate] for fate in fates))
    assert delivery.targeted == len(fates)
    assert left_in(connections) == {name for name, fate in fate_of.items() if fate != "gone"}


@given(
    fates=st.lists(st.sampled_from(["silent", *sorted(OUTCOMES)]), max_size=40),
    budget=st.sampled_from([0.0, 0.002, 0.02]),
)
@settings(max_examples=200, deadline=None)
def test_whatever_the_time_the_sum_holds_and_no_live_connection_is_removed(
    server: FaultyServer, executor: ThreadPoolExecutor, fates: list[str], budget: float
) -> None:
    connections, fate_of = populated(fates)
    started = time.monotonic()
    delivery = broadcast(server, executor, connections, budget)
    assert time.monotonic() - started < budget + 1
    assert delivery.targeted == len(fates)
    assert delivery.deferred <= sum(server.seen[name] == 0 for name in fate_of)
    live = {name for name, fate in fate_of.items() if fate != "gone"}
    assert live <= left_in(connections)
