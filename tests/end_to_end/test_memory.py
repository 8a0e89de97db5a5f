"""What the gateway lets go of, and when: thousands of idle clients show each forgotten byte."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from localgateway.limits import Limits
from tests.end_to_end.conftest import Serve, accept
from tests.gateway_under_test import NET, GatewayUnderTest, eventually


@pytest.fixture
def collector_off() -> Iterator[None]:
    """What has no other reference is freed; what refers to itself stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def only_one(things: set[Any]) -> weakref.ref[Any]:
    eventually(lambda: len(things) == 1)
    (thing,) = things
    return weakref.ref(thing)


def tasks(gateway: GatewayUnderTest) -> int:
    return gateway.ask(lambda: len(asyncio.all_tasks()))


@pytest.mark.usefixtures("collector_off")
def test_what_read_the_handshake_is_freed_once_it_is_a_websocket(serve: Serve) -> None:
    readers: list[weakref.ref[Any]] = []

    def connect(_event: Any, _context: Any) -> dict[str, int]:
        readers.append(only_one(gateway.server.http_protocols))
        return {"statusCode": 200}

    gateway = serve(connect=connect)
    client = gateway.connect()
    eventually(lambda: readers[0]() is None)
    client.close()


@pytest.mark.usefixtures("collector_off")
def test_what_read_requests_is_freed_when_its_client_has_left(serve: Serve) -> None:
    gateway = serve(connect=accept)
    host, port = gateway.address.split(":")
    with socket.create_connection((host, int(port)), timeout=NET) as client:
        reader = only_one(gateway.server.http_protocols)
        client.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 4")
        assert reader() is not None
    eventually(lambda: reader() is None)


def test_a_client_that_has_left_is_not_kept_until_it_would_have_been_dropped(serve: Serve) -> None:
    gateway = serve(connect=accept, limits=Limits(close_timeout=600.0))
    client = gateway.connect()
    transport = only_one(gateway.server.transports)
    client.close()

    def freed() -> bool:
        gc.collect()  # a transport refers to itself
        return transport() is None

    eventually(freed)


def test_a_message_is_not_kept_once_it_is_handled(serve: Serve) -> None:
    gateway = serve(message=accept)
    client = gateway.connect()
    client.send("x" * 1000)
    gateway.wait_for("message")
    (peer,) = gateway.gateway.peers.values()

    def unread() -> list[Any]:
        return [held.obj for held in gc.get_referents(peer) if isinstance(held, memoryview)]

    eventually(lambda: unread() == [b""])
    client.close()


@pytest.mark.usefixtures("collector_off")
def test_what_a_failed_function_used_is_freed_at_once(serve: Serve) -> None:
    freed = threading.Event()

    def fail(_event: Any, _context: Any) -> None:
        used = threading.Event()
        weakref.finalize(used, freed.set)
        raise ValueError("Unauthorized")  # which is not kept in a log

    client = serve(message=fail).connect()
    client.send("hello")
    assert freed.wait(NET)
    client.close()


def test_of_many_that_leave_at_once_only_a_few_are_at_work_and_all_are_told(serve: Serve) -> None:
    release = threading.Event()
    gateway = serve(disconnect=lambda _event, _context: release.wait(NET), concurrency=2)
    clients = [gateway.connect() for _ in range(150)]
    all_have_left = threading.Event()
    gateway.loop.call_soon_threadsafe(all_have_left.wait)  # it finds them all in one turn
    for client in clients:
        client.shutdown()
    all_have_left.set()
    eventually(lambda: not gateway.gateway.peers)
    gateway.wait_for("disconnect", 2)
    assert tasks(gateway) < 40
    release.set()
    gateway.wait_for("disconnect", 150)
    told = {event["requestContext"]["connectionId"] for event in gateway.events("disconnect")}
    assert len(told) == 150


def test_of_many_that_leave_at_once_none_waits_for_another_to_be_handled(serve: Serve) -> None:
    all_of_them = threading.Barrier(60)
    gateway = serve(disconnect=lambda _event, _context: all_of_them.wait(NET) >= 0)
    clients = [gateway.connect() for _ in range(60)]
    for client in clients:
        client.shutdown()
    eventually(lambda: all_of_them.n_waiting == 0 and len(gateway.events("disconnect")) == 60)
    assert not all_of_them.broken
