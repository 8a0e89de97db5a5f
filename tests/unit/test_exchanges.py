"""Many exchanges at once: each item ends once, in time, whatever the other side does."""

import os
import random
import resource
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.backoff import Backoff
from chalicelib.errors import ConfigurationError
from chalicelib.exchanges import Exchanges, Limits, NoAnswer, Repeated, Result
from chalicelib.http1 import Response
from chalicelib.origin import Address, Origin
from tests.fakes import JumpingClock, refusing_port
from tests.faulty_server import CERTIFICATE, FaultyServer

IMPATIENT = Backoff(first=0.001, longest=0.002)
DEFERRED = NoAnswer("no time left to send it", deferred=True)
PATIENCE = 60.0
"""Seconds, for what is no matter of time; the server is silent for 30."""

_numbers = count()


@pytest.fixture(scope="module")
def plain_server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


@pytest.fixture(scope="module")
def tls_server() -> Iterator[FaultyServer]:
    with FaultyServer(tls=True) as server:
        yield server


@pytest.fixture(params=["plain_server", "tls_server"])
def server(request: pytest.FixtureRequest) -> FaultyServer:
    server: FaultyServer = request.getfixturevalue(request.param)
    return server


def origin_of(server: FaultyServer, **options: Any) -> Origin:
    options = {"connect_timeout": PATIENCE, "read_timeout": PATIENCE, **options}
    if server.origin.startswith("https"):
        options["tls"] = ssl.create_default_context(cafile=CERTIFICATE)
        options["look_up"] = server.look_up
    return Origin(server.origin, **options)


def named(*faults: str) -> list[str]:
    """Return items of their own, for the server counts."""
    return [f"{fault}.{next(_numbers)}" for fault in faults]


def post(item: str, payload: bytes = b"hello") -> bytes:
    return f"POST /{item} HTTP/1.1\r\ncontent-length: {len(payload)}\r\n\r\n".encode() + payload


Answer = Response | NoAnswer


def run(
    origin: Origin,
    items: Iterable[str | None],
    budget: float = PATIENCE,
    repeated: set[str] | None = None,
    rate: float | None = None,
    **limits: Any,
) -> dict[str, Answer]:
    """Run exchanges; ``repeated`` gets those that may have been acted upon twice."""
    all_limits = Limits(**{"backoff": IMPATIENT, **limits})
    results = list(Exchanges(origin, post, budget, all_limits, rate).run(items))
    by_item = {item: once(result) for item, result in results}
    assert len(by_item) == len(results)
    if repeated is not None:
        repeated |= {item for item, result in results if isinstance(result, Repeated)}
    return by_item


def once(result: Result) -> Answer:
    return result.result if isinstance(result, Repeated) else result


def statuses(results: Mapping[str, Result]) -> list[int | str]:
    answers = map(once, results.values())
    return [answer.status if isinstance(answer, Response) else answer.reason for answer in answers]


def test_every_item_is_answered_and_connections_are_kept(server: FaultyServer) -> None:
    origin = origin_of(server)
    accepted = server.accepted
    for _ in range(3):
        items = named(*["ok"] * 100)
        results = run(origin, iter(items), sockets=8)
        assert results == dict.fromkeys(items, Response(200, b"{}"))
        assert [server.seen[item] for item in items] == [1] * 100
    assert server.accepted == accepted + 8


def test_nothing_to_send_is_no_fault(plain_server: FaultyServer) -> None:
    assert run(origin_of(plain_server), []) == {}


def test_many_are_in_flight_at_once_and_no_more_than_there_may_be(server: FaultyServer) -> None:
    accepted = server.accepted
    items = named(*["silent"] * 10)
    taken: list[str] = []
    ended: list[str] = []
    under_way: list[int] = []

    def source() -> Iterator[str]:
        for item in items:
            taken.append(item)
            yield item

    origin, limits = origin_of(server, read_timeout=0.3), Limits(sockets=5, backoff=IMPATIENT)
    for item, result in Exchanges(origin, post, PATIENCE, limits).run(source()):
        assert result == NoAnswer("no answer in time")
        under_way.append(len(taken) - len(ended))
        ended.append(item)
    assert sorted(ended) == sorted(items)
    assert max(under_way) == 5
    server.wait_until(lambda: server.accepted == accepted + 10)


def test_items_are_taken_as_they_can_be_sent(plain_server: FaultyServer) -> None:
    taken: list[str] = []

    def items() -> Iterator[str]:
        for item in named(*["ok"] * 50):
            taken.append(item)
            yield item

    results = Exchanges(origin_of(plain_server), post, PATIENCE, Limits(sockets=4)).run(items())
    next(results)
    assert len(taken) <= 8
    results.close()  # type: ignore[attr-defined]


OUTCOMES: dict[str, int | str] = {
    "ok": 200,
    "gone": 410,
    "slow": 429,
    "denied": 403,
    "last": 200,
    "rude": 200,
    "old": 200,
    "interim": 200,
    "chunked": 200,
    "surplus": 200,
    "large": 200,
    "leaving": 503,
    "split": 200,
    "down1": 200,
    "down3": 200,
    "down": 503,
    "reset1": 200,
    "reset3": 200,
    "half1": 200,
    "half3": 200,
    "reset": "no answer",
    "half": "no answer",
    "junk": "not an HTTP/1.1 head",
    "long": "the head is too long",
}
ATTEMPTS = {
    "leaving": 4,
    "down": 4,
    "down1": 2,
    "down3": 4,
    "half1": 2,
    "half3": 4,
    "half": 4,
    "slow": 4,
}


def assert_expected(item: str, result: Answer, seen: int) -> None:
    fault = item.partition(".")[0]
    expected = OUTCOMES[fault]
    if isinstance(result, Response):
        assert result.status == expected
    else:
        assert result.reason.startswith(str(expected))
        assert not result.deferred
    if fault == "slow":  # where many are refused at once it may be the account's fault
        assert 4 <= seen <= 12
    elif "reset" not in fault:  # before any byte of the answer it may be of a stale connection
        assert seen == ATTEMPTS.get(fault, 1)


@pytest.mark.parametrize("fault", OUTCOMES)
def test_each_fault_ends_as_it_should_and_does_not_disturb_the_others(
    server: FaultyServer, fault: str
) -> None:
    items = named(*["ok"] * 10, fault, *["ok"] * 10, fault, *["ok"] * 10)
    for item, result in run(origin_of(server), items, sockets=3).items():
        assert_expected(item, result, server.seen[item])


# How fast an account is is judged by what is answered in half a second: by this clock, that is
# time enough for all on any machine.
UNHURRIED = Backoff(first=0.00001, longest=0.00002, clock=lambda: time.monotonic() / 100)


@given(
    faults=st.lists(st.sampled_from(sorted(OUTCOMES)), max_size=40),
    sockets=st.integers(1, 8),
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_mixed_every_item_ends_once_and_as_it_should(
    plain_server: FaultyServer, faults: list[str], sockets: int
) -> None:
    items = named(*faults)
    origin = origin_of(plain_server)
    results = run(origin, items, sockets=sockets, backoff=UNHURRIED)
    assert results.keys() == set(items)
    for item, result in results.items():
        assert_expected(item, result, plain_server.seen[item])


@given(
    faults=st.lists(st.sampled_from(["silent", *sorted(OUTCOMES)]), max_size=40),
    sockets=st.integers(1, 8),
    budget=st.sampled_from([0.0, 0.001, 0.01, 0.04]),
    read_timeout=st.sampled_from([0.02, PATIENCE]),
)
@settings(max_examples=200, deadline=None)
def test_within_any_budget_every_item_ends_once_and_what_was_sent_is_not_called_deferred(
    plain_server: FaultyServer,
    faults: list[str],
    sockets: int,
    budget: float,
    read_timeout: float,
) -> None:
    items = named(*faults)
    origin = origin_of(plain_server, read_timeout=read_timeout)
    started = time.monotonic()
    results = run(origin, items, budget, sockets=sockets)
    assert time.monotonic() - started < budget + 10
    assert results.keys() == set(items)
    for item, result in results.items():
        if result == DEFERRED:
            assert plain_server.seen[item] == 0
        if isinstance(result, Response):
            fault = item.partition(".")[0]
            tried_again = {503} if fault.startswith("down") else set()
            assert result.status in {OUTCOMES[fault], *tried_again}


def test_pauses_between_attempts_are_jittered_and_grow(plain_server: FaultyServer) -> None:
    asked: list[float] = []

    def always_half() -> float:
        asked.append(0.5)
        return 0.5

    (item,) = named("down")
    backoff = Backoff(random=always_half, first=0.02, longest=0.06)
    started = time.monotonic()
    assert statuses(run(origin_of(plain_server), [item], backoff=backoff)) == [503]
    assert time.monotonic() - started >= 0.01 + 0.02 + 0.03
    assert asked == [0.5] * 3


def test_what_would_be_tried_again_past_the_end_has_failed_now(plain_server: FaultyServer) -> None:
    backoff = Backoff(random=lambda: 1.0, first=100.0, longest=100.0)
    items = named("down", "reset")
    started = time.monotonic()
    results = run(origin_of(plain_server), items, 60.0, backoff=backoff)
    assert time.monotonic() - started < 20
    assert results[items[0]] == Response(503, b"{}")
    assert isinstance(results[items[1]], NoAnswer)


def test_what_waits_for_another_attempt_at_the_end_has_failed(plain_server: FaultyServer) -> None:
    # The second attempt is due before the end of the budget, at which the clock jumps past it.
    clock = JumpingClock()
    backoff = Backoff(random=lambda: 1.0, clock=clock, first=500.0, longest=500.0)
    results = []
    items = named("down", "ok")
    exchanges: Exchanges[str] = Exchanges(
        origin_of(plain_server), post, 1000.0, Limits(sockets=1, backoff=backoff)
    )
    for item, result in exchanges.run(items):
        results.append((item, result))
        clock.ahead += 10_000
    assert results == [(items[1], Response(200, b"{}")), (items[0], Response(503, b"{}"))]


def test_while_much_fails_little_more_is_taken(plain_server: FaultyServer) -> None:
    taken: list[str] = []
    ended: list[str] = []
    under_way: list[int] = []

    def items() -> Iterator[str]:
        for item in named(*["down1"] * 100):
            taken.append(item)
            under_way.append(len(taken) - len(ended))
            yield item

    backoff = Backoff(random=lambda: 1.0, first=0.02, longest=0.02)
    limits = Limits(sockets=2, backoff=backoff)
    for item, _ in Exchanges(origin_of(plain_server), post, PATIENCE, limits).run(items()):
        ended.append(item)
    assert len(ended) == 100
    assert max(under_way) <= 4 * 2 + 2


def test_waiting_for_a_place_takes_no_processor(plain_server: FaultyServer) -> None:
    origin = origin_of(plain_server, read_timeout=0.5)
    backoff = Backoff(random=lambda: 1.0, first=0.1, longest=0.1)  # so that it finds no place
    items = named("down1", "silent")
    before = time.thread_time()
    results = run(origin, items, sockets=1, backoff=backoff)
    assert statuses({item: results[item] for item in items}) == [200, "no answer in time"]
    assert time.thread_time() - before < 0.15


def test_waiting_to_connect_again_takes_no_processor(plain_server: FaultyServer) -> None:
    origin = Origin(
        "http://example.test", look_up=lambda *_, **__: _at("127.0.0.1", plain_server.port)
    )

    def last_post(item: str) -> bytes:
        origin._addresses, origin._look_up = (), no_name  # no other connection can be made
        return post(item)

    limits = Limits(backoff=Backoff(random=lambda: 1.0, first=0.05, longest=0.2))
    before = time.thread_time()
    exchanges = Exchanges(origin, last_post, PATIENCE, limits)
    assert statuses(dict(exchanges.run(named("leaving", "leaving")))) == [503] * 2
    assert time.thread_time() - before < 0.15


def test_stale_connections_are_replaced_and_all_of_their_neighbours(server: FaultyServer) -> None:
    origin = origin_of(server)
    run(origin, named(*["ok"] * 20), sockets=6)
    kept = list(iter(origin.take, None))
    for sock in kept:
        sock.shutdown(socket.SHUT_RDWR)
        origin.keep(sock)
    items = named(*["ok"] * 20)
    assert statuses(run(origin, items, sockets=3)) == [200] * 20
    assert [server.seen[item] for item in items] == [1] * 20


@pytest.mark.parametrize("fault", ["last", "surplus", "old"])
def test_a_connection_that_cannot_be_used_again_is_not_kept(
    server: FaultyServer, fault: str
) -> None:
    origin = origin_of(server)
    assert statuses(run(origin, named(fault))) == [200]
    assert origin.take() is None


def test_what_went_out_on_a_stale_connection_is_not_called_unsent(
    plain_server: FaultyServer,
) -> None:
    origin = Origin(
        "http://example.test", look_up=lambda *_, **__: _at("127.0.0.1", plain_server.port)
    )

    def last_post(item: str) -> bytes:
        origin._addresses, origin._look_up = (), no_name
        return post(item)

    limits = Limits(sockets=1, backoff=IMPATIENT)
    items = named("ok", "reset", "ok")
    exchanges = Exchanges(origin, last_post, PATIENCE, limits)
    told = [str(status).partition(":")[0] for status in statuses(dict(exchanges.run(items)))]
    assert told == ["200", "no answer", "cannot connect"]
    assert [plain_server.seen[item] for item in items] == [1, 1, 0]


def test_a_free_connection_that_says_something_is_dropped(plain_server: FaultyServer) -> None:
    items = named("rude", "ok", "silent", "ok")
    origin = origin_of(plain_server)
    results: dict[str, Result] = {}

    def source() -> Iterator[str | None]:
        yield from items[:2]
        while len(results) < 2:
            yield None
        origin.read_timeout = 0.3  # from here on, and the first has time to say that it closes
        yield items[2]
        while len(results) < 3:
            yield None
        origin.read_timeout = PATIENCE
        yield items[3]

    limits = Limits(sockets=4, backoff=IMPATIENT)
    for item, result in Exchanges(origin, post, PATIENCE, limits).run(source()):
        results[item] = result
    assert statuses({item: results[item] for item in items}) == [
        200,
        200,
        "no answer in time",
        200,
    ]


@pytest.mark.parametrize("size", [131_072, 8_000_000])
def test_large_requests_are_sent_whole(server: FaultyServer, size: int) -> None:
    items = named(*["ok"] * 4)
    exchanges: Exchanges[str] = Exchanges(
        origin_of(server), lambda item: post(item, b"x" * size), PATIENCE
    )
    assert statuses(dict(exchanges.run(items))) == [200] * 4
    assert [server.received[item] for item in items] == [size] * 4


def test_an_answer_may_come_before_the_request_is_sent(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = origin_of(server)
    begin = origin.begin

    def begin_narrow(address: Address) -> socket.socket:
        """Whatever the system would take in for others."""
        sock = begin(address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        return sock

    monkeypatch.setattr(origin, "begin", begin_narrow)
    exchanges: Exchanges[str] = Exchanges(
        origin, lambda item: post(item, b"x" * 20_000_000), PATIENCE
    )
    assert statuses(dict(exchanges.run(named("early")))) == [413]
    assert origin.take() is None


def test_what_is_left_when_the_time_is_up_is_deferred_and_not_sent(server: FaultyServer) -> None:
    items = named("silent", "silent", "ok", "ok")
    clock = JumpingClock(lambda: all(server.seen[item] for item in items[:2]))
    results = run(origin_of(server), items, sockets=2, backoff=Backoff(clock=clock))
    assert statuses(results) == ["no answer in time"] * 2 + ["no time left to send it"] * 2
    assert [server.seen[item] for item in items] == [1, 1, 0, 0]
    assert not results[items[0]].deferred  # type: ignore[union-attr]


def test_whoever_stops_reading_leaves_nothing_open(plain_server: FaultyServer) -> None:
    origin = origin_of(plain_server)
    results = Exchanges(origin, post, PATIENCE).run(named("ok", "silent"))
    next(results)
    results.close()  # type: ignore[attr-defined]
    kept = origin.take()
    assert kept is not None
    kept.close()
    assert origin.take() is None


def test_a_request_that_cannot_be_made_is_raised(plain_server: FaultyServer) -> None:
    def cannot(item: str) -> bytes:
        raise ConfigurationError("no credentials")

    with pytest.raises(ConfigurationError):
        list(Exchanges(origin_of(plain_server), cannot, PATIENCE).run(["a"]))


def test_broadcasts_on_several_threads_share_an_origin(server: FaultyServer) -> None:
    origin = origin_of(server)
    lots = [named(*["ok"] * 100) for _ in range(4)]
    with ThreadPoolExecutor(4) as executor:
        for items, results in zip(
            lots, executor.map(lambda lot: run(origin, lot), lots), strict=True
        ):
            assert results == dict.fromkeys(items, Response(200, b"{}"))
    assert [server.seen[item] for items in lots for item in items] == [1] * 400


@pytest.fixture
def refusing() -> Iterator[int]:
    with refusing_port() as port:
        yield port


def refused(port: int) -> Origin:
    return Origin(f"http://127.0.0.1:{port}")


def unreachable(_: int) -> Origin:
    return Origin("http://example.test", look_up=lambda *_, **__: _at("255.255.255.255", 1))


def without_a_name(_: int) -> Origin:
    def look_up(*_: Any, **__: Any) -> Sequence[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    return Origin("http://example.test", look_up=look_up)


def _at(host: str, port: int) -> Sequence[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]


def without_an_address(_: int) -> Origin:
    return Origin("http://example.test", look_up=lambda *_, **__: [])


@pytest.mark.parametrize("nowhere", [refused, unreachable, without_a_name, without_an_address])
def test_where_nothing_can_be_connected_to_all_has_failed_soon(
    nowhere: Callable[[int], Origin], refusing: int
) -> None:
    items = named(*["ok"] * 1000)
    started = time.monotonic()
    results = run(nowhere(refusing), items, PATIENCE)
    assert time.monotonic() - started < 20
    assert {status.partition(":")[0] for status in map(str, statuses(results))} == {
        "cannot connect"
    }
    assert not any(result.deferred for result in results.values())  # type: ignore[union-attr]


def test_a_connection_that_is_never_made_does_not_outlast_the_budget() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # the backlog is full: what follows is neither taken nor refused
            filler.setblocking(False)
            filler.connect_ex(address)
        origin = Origin(f"http://127.0.0.1:{address[1]}", connect_timeout=PATIENCE)
        started = time.monotonic()
        results = run(origin, named(*["ok"] * 10), 0.12, sockets=2)
        assert time.monotonic() - started < 20
        assert statuses(results) == ["no time left to send it"] * 10
        origin.connect_timeout = 0.05
        results = run(origin, named(*["ok"] * 10), sockets=2)
        assert statuses(results) == ["cannot connect: not in time"] * 10
        for filler in fillers:
            filler.close()


def test_a_resolver_that_hangs_does_not_outlast_the_budget() -> None:
    may_go_on = threading.Event()
    has_ended: list[bool] = []

    def hang(*_: Any, **__: Any) -> Sequence[Any]:
        has_ended.append(may_go_on.wait(PATIENCE))
        return []

    origin = Origin("http://example.test", connect_timeout=2 * PATIENCE, look_up=hang)
    results = run(origin, named("ok", "ok"), 0.2)
    assert has_ended == []
    assert statuses(results) == ["no time left to send it"] * 2
    may_go_on.set()


@pytest.mark.parametrize("host", ["255.255.255.255", "127.0.0.1"], ids=["no route", "refused"])
def test_where_one_address_fails_the_next_is_taken(
    plain_server: FaultyServer, refusing: int, host: str
) -> None:
    both = Origin(
        "http://example.test",
        look_up=lambda *_, **__: [*_at(host, refusing), *_at("127.0.0.1", plain_server.port)],
    )
    # Connections begun together fail together: ten failures are no more than one.
    assert statuses(run(both, named(*["ok"] * 10))) == [200] * 10


def test_while_some_connections_work_others_that_cannot_be_made_stop_nothing(
    plain_server: FaultyServer,
) -> None:
    def look_up(*_: Any, **__: Any) -> Sequence[Any]:
        return _at("127.0.0.1", plain_server.port)

    def slowly(item: str) -> bytes:
        time.sleep(0.002)
        if item.startswith("last"):
            origin._look_up = look_up
        return post(item)

    origin = Origin("http://example.test", look_up=look_up)
    assert statuses(run(origin, named("ok"))) == [200]
    origin._addresses, origin._look_up = (), no_name
    items = named(*["ok"] * 50, "last", *["ok"] * 5)
    limits = Limits(sockets=2, backoff=IMPATIENT)
    exchanges = Exchanges(origin, slowly, PATIENCE, limits)
    assert statuses(dict(exchanges.run(items))) == [200] * 56


def no_name(*_: Any, **__: Any) -> Sequence[Any]:
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


def test_a_certificate_for_another_name_is_not_spoken_to(tls_server: FaultyServer) -> None:
    context = ssl.create_default_context(cafile=CERTIFICATE)
    url = f"https://127.0.0.1:{tls_server.port}"
    other_name = Origin(url, connect_timeout=PATIENCE, tls=context)
    items = named("ok", "ok")
    assert all("not valid for" in str(status) for status in statuses(run(other_name, items)))
    assert not any(tls_server.seen[item] for item in items)


def test_a_server_that_does_not_speak_tls_is_not_spoken_to(plain_server: FaultyServer) -> None:
    context = ssl.create_default_context(cafile=CERTIFICATE)
    origin = Origin(f"https://localhost:{plain_server.port}", connect_timeout=0.2, tls=context)
    assert all(
        str(status).startswith("cannot connect") for status in statuses(run(origin, named("ok")))
    )


def test_times_differ_so_that_not_all_come_again_at_once() -> None:
    assert Limits().backoff.random is random.random


def test_none_is_no_item_yet_and_waiting_for_it_takes_no_processor(
    plain_server: FaultyServer,
) -> None:
    items = named("ok", "ok")
    there_at = time.monotonic() + 0.3

    def source() -> Iterator[str | None]:
        yield items[0]
        while time.monotonic() < there_at:
            yield None
        yield items[1]

    before = time.thread_time()
    assert statuses(run(origin_of(plain_server), source())) == [200, 200]
    assert time.thread_time() - before < 0.15


def test_items_that_do_not_come_in_time_are_not_waited_for(plain_server: FaultyServer) -> None:
    (item,) = named("ok")
    results: dict[str, Result] = {}
    asked_late = 0

    def source() -> Iterator[str | None]:
        nonlocal asked_late
        yield item
        while asked_late < 100:
            asked_late += bool(results)
            yield None

    limits = Limits(backoff=Backoff(clock=JumpingClock(lambda: bool(results))))
    for item, result in Exchanges(origin_of(plain_server), post, PATIENCE, limits).run(source()):
        results[item] = result
    assert statuses(results) == [200]
    assert asked_late == 1


def test_what_was_sent_again_without_knowing_is_said(server: FaultyServer) -> None:
    repeated: set[str] = set()
    items = named("lost1", "down1", "half1", "busy1", "ok", "gone", "silent")
    origin = origin_of(server)
    results = run(origin, items[:-1], repeated=repeated, sockets=8)
    origin.read_timeout = 0.1
    results |= run(origin, items[-1:], repeated=repeated)
    told = [results[item] for item in items]
    assert [getattr(answer, "status", None) for answer in told] == [*[200] * 5, 410, None]
    assert {item.partition(".")[0] for item in repeated} == {"lost1", "down1", "half1"}


def test_a_connection_closed_while_it_was_kept_is_not_sent_on(server: FaultyServer) -> None:
    origin = origin_of(server)
    run(origin, named(*["rude"] * 4), sockets=4)  # answered, and then closed by the server
    for sock in list(iter(origin.take, None)):
        assert select.select([sock], [], [], PATIENCE)[0]
        origin.keep(sock)
    repeated: set[str] = set()
    assert statuses(run(origin, named(*["ok"] * 8), repeated=repeated, sockets=4)) == [200] * 8
    assert repeated == set()


def test_a_rate_is_kept_to(plain_server: FaultyServer) -> None:
    started = time.monotonic()
    assert statuses(run(origin_of(plain_server), named(*["ok"] * 40), rate=100.0)) == [200] * 40
    assert time.monotonic() - started >= 0.3


def test_refusals_of_many_are_the_accounts_and_slow_down_all(plain_server: FaultyServer) -> None:
    """A bucket of 100 requests a second; whoever is refused by it is not slow."""
    items = named(*["ok"] * 150)
    bucket = [10.0, time.monotonic()]
    refused = 0

    def request(item: str) -> bytes:
        nonlocal refused
        now = time.monotonic()
        bucket[0] = min(10.0, bucket[0] + (now - bucket[1]) * 100)
        bucket[1] = now
        if bucket[0] < 1:
            refused += 1
            return post(f"slow.{item}")
        bucket[0] -= 1
        return post(item)

    backoff = Backoff(first=0.05, longest=1.0)
    exchanges = Exchanges(origin_of(plain_server), request, PATIENCE, Limits(backoff=backoff))
    assert statuses(dict(exchanges.run(items))) == [200] * 150
    assert refused < 5 * len(items)


def test_kept_connections_are_used_again_where_thousands_of_files_are_open(
    plain_server: FaultyServer,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2048)), hard))
    with ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(Path(os.devnull).open())
        origin = origin_of(plain_server)
        accepted = plain_server.accepted
        for _ in range(3):
            assert statuses(run(origin, named(*["ok"] * 10), sockets=4)) == [200] * 10
        assert plain_server.accepted == accepted + 4
        origin.close()
