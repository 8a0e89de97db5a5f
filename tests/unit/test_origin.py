"""A call that waits for its answer, against servers that misbehave."""

import gc
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

import pytest

from chalicelib import origin
from chalicelib.errors import ServiceUnavailable
from chalicelib.http1 import Response
from chalicelib.origin import Origin
from tests.fakes import Clock, ScriptedServer, ThenReset, refusing_port
from tests.faulty_server import CERTIFICATE, FaultyServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(scope="module")
def tls_server() -> Iterator[FaultyServer]:
    with FaultyServer(tls=True) as server:
        yield server


PATIENCE = 60.0
"""Seconds, for what is no matter of time."""


def origin_of(server: ScriptedServer | FaultyServer, **options: Any) -> Origin:
    options = {"connect_timeout": PATIENCE, "read_timeout": PATIENCE, **options}
    if isinstance(server, FaultyServer):
        options["look_up"] = server.look_up
    return Origin(server.origin, **options)


def request(name: str, body: bytes = b"") -> bytes:
    return f"POST /{name} HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CERTIFICATE)


def test_a_connection_is_kept_and_used_again() -> None:
    with ScriptedServer([[OK, OK, OK]]) as server:
        kept = origin_of(server)
        assert [kept.exchange(REQUEST) for _ in range(3)] == [Response(200, b"ok")] * 3
        assert server.accepted == 1


def test_a_connection_that_was_kept_too_long_is_not_used_again() -> None:
    clock = Clock(0)
    with ScriptedServer([[OK, OK, OK], [OK]]) as server:
        kept = origin_of(server, clock=clock)
        for pause in (origin.MAX_IDLE_SECONDS - 1, origin.MAX_IDLE_SECONDS, 0):
            kept.exchange(REQUEST)
            clock.now += pause
        assert server.accepted == 2


def test_only_so_many_connections_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "MAX_IDLE", 2)
    kept = Origin("http://localhost")
    pairs = [socket.socketpair() for _ in range(3)]
    for ours, _ in pairs:
        kept.keep(ours)
    assert [kept.take(), kept.take(), kept.take()] == [pairs[2][0], pairs[1][0], None]
    assert pairs[0][0].fileno() == -1
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_a_kept_connection_the_server_has_closed_is_replaced_once() -> None:
    with ScriptedServer([[OK], [OK]]) as server:
        kept = origin_of(server)
        assert [kept.exchange(REQUEST) for _ in range(2)] == [Response(200, b"ok")] * 2
        assert server.accepted == 2


def test_where_one_kept_connection_is_stale_the_older_ones_are_too() -> None:
    with ScriptedServer([[OK], [OK]]) as server:
        kept = origin_of(server)
        pairs = [socket.socketpair() for _ in range(3)]
        for ours, theirs in pairs:
            theirs.close()
            kept.keep(ours)
        assert [kept.exchange(REQUEST) for _ in range(2)] == [Response(200, b"ok")] * 2
        assert [ours.fileno() for ours, _ in pairs] == [-1] * 3


def test_a_new_connection_that_is_closed_without_an_answer_is_not_tried_again() -> None:
    with ScriptedServer([[b""], [OK]]) as server:
        with pytest.raises(ServiceUnavailable, match="no answer"):
            origin_of(server).exchange(REQUEST)
        assert len(server.requests) == 1


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf"


@pytest.mark.parametrize("broken", [HALF, ThenReset(HALF)], ids=["closed", "reset"])
def test_an_answer_that_breaks_off_is_not_asked_for_again(broken: bytes) -> None:
    with ScriptedServer([[OK, broken], [OK]]) as server:
        kept = origin_of(server)
        kept.exchange(REQUEST)
        with pytest.raises(ServiceUnavailable, match="no answer"):
            kept.exchange(REQUEST)
        assert len(server.requests) == 2


def test_a_connection_the_server_will_close_is_not_kept() -> None:
    with ScriptedServer([[LAST], [OK]]) as server:
        kept = origin_of(server)
        assert [kept.exchange(REQUEST) for _ in range(2)] == [Response(200, b"ok")] * 2
        assert server.accepted == 2


def test_the_end_of_the_connection_may_end_an_answer() -> None:
    with ScriptedServer([[b"HTTP/1.1 200 OK\r\n\r\nall of it"]]) as server:
        assert origin_of(server).exchange(REQUEST) == Response(200, b"all of it")


def test_a_silent_server_is_given_up_and_its_connection_not_used_again() -> None:
    with ScriptedServer([[OK, None], [OK]]) as server:
        kept = origin_of(server)
        kept.exchange(REQUEST)
        kept.read_timeout = 0.1
        with pytest.raises(ServiceUnavailable, match="no answer"):
            kept.exchange(REQUEST)
        kept.read_timeout = PATIENCE
        assert kept.exchange(REQUEST) == Response(200, b"ok")
    assert (server.accepted, len(server.requests)) == (2, 3)


@pytest.mark.parametrize(
    ("goes_on", "seconds", "problem"),
    [
        pytest.param(True, PATIENCE / 5, "took too long", id="drop by drop"),
        pytest.param(False, PATIENCE - 0.1, "timed out", id="one drop late"),
    ],
)
def test_an_answer_that_takes_too_long_as_a_whole_is_given_up(
    goes_on: bool, seconds: float, problem: str
) -> None:
    """By the clock of whoever waits, each drop takes so many seconds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.sendall(b"H")
                while goes_on and not stop.wait(0.001):
                    connection.sendall(b"H")
                stop.wait(PATIENCE / 4)

        thread = threading.Thread(target=serve)
        thread.start()
        dripping = Origin(
            f"http://127.0.0.1:{listener.getsockname()[1]}",
            read_timeout=PATIENCE,
            clock=partial(next, count(0, seconds)),
        )
        with pytest.raises(ServiceUnavailable, match=problem):
            dripping.exchange(REQUEST)
        stop.set()
        thread.join()


def test_an_answer_is_not_waited_for_once_its_time_is_over() -> None:
    with ScriptedServer([[HALF]]) as server:
        an_age_later = partial(next, count(0, 2 * PATIENCE))
        with pytest.raises(ServiceUnavailable, match="took too long"):
            origin_of(server, clock=an_age_later).exchange(REQUEST)


def test_a_server_that_is_not_there_is_named() -> None:
    with refusing_port() as port:
        gone = Origin(f"http://127.0.0.1:{port}")
        with pytest.raises(ServiceUnavailable, match=f"cannot connect to {gone.host}"):
            gone.exchange(REQUEST)


def test_it_is_freed_at_once_though_it_could_not_connect() -> None:
    gc.disable()
    try:
        with refusing_port() as port, suppress(ServiceUnavailable):
            gone = Origin(f"http://127.0.0.1:{port}")
            gone.exchange(REQUEST)
        freed = weakref.ref(gone)
        del gone
        assert freed() is None, "or the connections it keeps are freed in any order"
    finally:
        gc.enable()


@pytest.mark.parametrize("answer", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_not_http_is_no_answer(answer: bytes) -> None:
    with ScriptedServer([[answer]]) as server, pytest.raises(ServiceUnavailable):
        origin_of(server).exchange(REQUEST)


@pytest.mark.parametrize("status", [302, 307, 404, 500])
def test_any_status_is_an_answer_and_redirects_are_not_followed(status: int) -> None:
    answer = f"HTTP/1.1 {status} X\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer([[answer.encode()]]) as server:
        assert origin_of(server).exchange(REQUEST) == Response(status)


def test_threads_do_not_share_a_connection() -> None:
    with ScriptedServer([[OK] * 50] * 8) as server:
        kept = origin_of(server)
        with ThreadPoolExecutor(8) as executor:
            answers = list(executor.map(lambda _: kept.exchange(REQUEST), range(50)))
        assert answers == [Response(200, b"ok")] * 50
        kept.close()


def test_tls_carries_large_requests_and_answers_and_is_kept(tls_server: FaultyServer) -> None:
    secured = origin_of(tls_server, tls=trusting())
    before = tls_server.accepted, tls_server.bodies
    for _ in range(2):
        assert secured.exchange(request("ok", b"x" * 300_000)).status == 200
    assert secured.exchange(request("split")) == Response(200, b"{}")
    assert (tls_server.accepted, tls_server.bodies) == (before[0] + 1, before[1] + 600_000)


def test_a_kept_tls_connection_the_server_has_closed_is_replaced(tls_server: FaultyServer) -> None:
    secured = origin_of(tls_server, tls=trusting())
    assert [secured.exchange(request("rude")).status for _ in range(3)] == [200] * 3


def test_a_certificate_for_another_name_is_refused(tls_server: FaultyServer) -> None:
    url = f"https://127.0.0.1:{tls_server.port}"
    other_name = Origin(url, connect_timeout=PATIENCE, tls=trusting())
    with pytest.raises(ServiceUnavailable, match=r"cannot connect.*not valid for"):
        other_name.exchange(REQUEST)


def test_a_certificate_the_system_does_not_trust_is_refused(tls_server: FaultyServer) -> None:
    with pytest.raises(ServiceUnavailable, match=r"cannot connect.*verify failed"):
        origin_of(tls_server).exchange(REQUEST)


def test_a_server_that_does_not_speak_tls_is_not_spoken_to() -> None:
    with ScriptedServer([[OK]]) as server:
        plain = Origin(server.origin.replace("http:", "https:"), connect_timeout=1.0)
        with pytest.raises(ServiceUnavailable, match="cannot connect"):
            plain.exchange(REQUEST)


def test_a_server_that_never_ends_the_handshake_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = Origin(f"https://localhost:{listener.getsockname()[1]}", connect_timeout=0.1)
        with pytest.raises(ServiceUnavailable, match="cannot connect"):
            silent.exchange(REQUEST)


def resolving(*ports: int) -> Sequence[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]


def test_where_one_address_fails_the_next_is_taken_and_kept_to() -> None:
    with refusing_port() as refusing, ScriptedServer([[LAST], [LAST]]) as server:
        port = int(server.origin.rpartition(":")[2])
        asked: list[Any] = []

        def look_up(*name: Any, **_: Any) -> Sequence[Any]:
            asked.append(name)
            return resolving(refusing, port)

        both = Origin("http://example.test", look_up=look_up)
        assert both.exchange(REQUEST) == both.exchange(REQUEST) == Response(200, b"ok")
        assert [where[1] for _, where in both.addresses(1.0)] == [port]
        assert asked == [("example.test", 80)]


def test_addresses_are_asked_for_again_once_they_are_old_or_all_have_failed() -> None:
    clock = Clock(0)
    asked: list[Any] = []

    def look_up(*name: Any, **_: Any) -> Sequence[Any]:
        asked.append(name)
        return resolving(1)

    name = Origin("https://example.test", look_up=look_up, clock=clock)
    for pause in (29, 2, 0):
        name.addresses(1.0)
        clock.now += pause
    assert asked == [("example.test", 443)] * 2
    (address,) = name.addresses(1.0)
    name.avoid(address)
    name.avoid(address)
    name.addresses(1.0)
    assert len(asked) == 3


def no_such_name(*_: Any, **__: Any) -> Sequence[Any]:
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


def no_name(*_: Any, **__: Any) -> Sequence[Any]:
    return b"\xff".decode("idna")  # what an impossible name ends in


def no_address(*_: Any, **__: Any) -> Sequence[Any]:
    return []


@pytest.mark.parametrize("look_up", [no_such_name, no_name, no_address])
def test_a_name_that_leads_nowhere_is_named(look_up: Any) -> None:
    with pytest.raises(ServiceUnavailable, match=r"cannot connect to example\.test:8000: \S"):
        Origin("http://example.test:8000", look_up=look_up).exchange(REQUEST)


def test_a_resolver_that_hangs_is_given_up() -> None:
    may_go_on = threading.Event()

    def hang(*_: Any, **__: Any) -> Sequence[Any]:
        may_go_on.wait(PATIENCE)
        return []

    with pytest.raises(ServiceUnavailable, match="not resolved in time"):
        Origin("http://example.test", connect_timeout=0.05, look_up=hang).exchange(REQUEST)
    may_go_on.set()
