"""An issuer's keys at a URL: rotated, unreachable, and asked for by strangers."""

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from chalicelib.authorizers import jwks
from chalicelib.authorizers.jwks import (
    MAX_BYTES,
    FetchedKeys,
    fetch_key_set,
)
from chalicelib.authorizers.jwt import JwtAuthenticator
from chalicelib.authorizers.jwt_keys import KeySet
from chalicelib.credential_settings import DEFAULT_PLACES, JwtSettings
from chalicelib.errors import ServiceUnavailable, Unauthorized
from chalicelib.origin import Origin
from chalicelib.scopes import Scopes
from tests.factories import NOW
from tests.fakes import Clock
from tests.jwks_server import JwksServer
from tests.tokens import AUDIENCE, ISSUER, b64, claims, jwk, key_set, rsa_key, sign

ALGORITHMS = ("RS256", "ES256", "EdDSA")
# What the documents promise.
FRESH, RETRY, FIRST_RETRY, STALE = 600, 30, 5, 24 * 3600
ROTATED = {"keys": [jwk(rsa_key(1), "rsa-2", "RS256")]}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """How soon an issuer must answer is not asked here, and a busy machine may need longer."""
    patient = {"connect_timeout": 60.0, "read_timeout": 60.0}
    monkeypatch.setattr(jwks, "Origin", lambda url, **it: Origin(url, **{**it, **patient}))


@pytest.fixture
def server() -> Iterator[JwksServer]:
    with JwksServer() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def authenticator(server: JwksServer, clock: Clock) -> JwtAuthenticator:
    settings = JwtSettings(ISSUER, (AUDIENCE,), algorithms=ALGORITHMS, jwks_url=server.url)
    keys = FetchedKeys(partial(fetch_key_set, server.url, ALGORITHMS), clock)
    return JwtAuthenticator(settings, keys, DEFAULT_PLACES, Scopes(), 7200)


def long_lived(**header: Any) -> str:
    return sign(claims(exp=int(NOW) + 10 * STALE), header=header)


def by_new_key() -> str:
    return sign(claims(exp=int(NOW) + 10 * STALE), header={"kid": "rsa-2"}, key=rsa_key(1))


def is_refused(authenticator: JwtAuthenticator, token: str, clock: Clock) -> bool:
    try:
        authenticator.verify(token, clock())
    except Unauthorized as refusal:
        return refusal.reason == "unknown_key"
    return False


def test_keys_are_fetched_once_for_ten_minutes(
    authenticator: JwtAuthenticator, server: JwksServer, clock: Clock
) -> None:
    assert server.fetches == []
    for _ in range(20):
        for algorithm in ALGORITHMS:
            assert authenticator.verify(sign(claims(exp=int(NOW) + 9000), algorithm), clock())
        clock.now += 29
    assert server.fetches == ["/jwks.json?v=1"]
    clock.now = NOW + FRESH
    authenticator.verify(long_lived(), clock())
    assert len(server.fetches) == 2


def test_a_token_of_a_rotated_key_is_accepted_after_one_fetch(
    authenticator: JwtAuthenticator, server: JwksServer, clock: Clock
) -> None:
    authenticator.verify(long_lived(), clock())
    server.keys = ROTATED
    clock.now += RETRY
    assert authenticator.verify(by_new_key(), clock()).principal_id == "alice"
    assert len(server.fetches) == 2
    assert is_refused(authenticator, long_lived(), clock), "the key that was taken away"
    assert len(server.fetches) == 2


def test_ten_thousand_unknown_keys_are_one_fetch_in_thirty_seconds(
    authenticator: JwtAuthenticator, server: JwksServer, clock: Clock
) -> None:
    authenticator.verify(long_lived(), clock())
    body, mark = long_lived().split(".")[1:]
    for number in range(10_000):
        clock.now = NOW + number * 89.9 / 10_000
        assert is_refused(authenticator, forged(number, body, mark), clock)
    assert len(server.fetches) == 3, "at 0, 30 and 60 seconds"
    assert authenticator.verify(long_lived(), clock())


def forged(number: int, body: str, mark: str) -> str:
    header = b64(f'{{"alg":"RS256","kid":"random-{number}"}}'.encode())
    return f"{header}.{body}.{mark}"


def test_a_flood_of_unknown_keys_does_not_hold_up_a_rotation(
    authenticator: JwtAuthenticator, server: JwksServer, clock: Clock
) -> None:
    authenticator.verify(long_lived(), clock())
    server.keys = {"keys": [*key_set()["keys"], *ROTATED["keys"]]}
    clock.now += RETRY
    body, mark = long_lived().split(".")[1:]
    assert is_refused(authenticator, forged(1, body, mark), clock)
    assert authenticator.verify(by_new_key(), clock())
    assert len(server.fetches) == 2


def test_known_keys_are_used_for_a_day_while_the_issuer_is_down(
    authenticator: JwtAuthenticator,
    server: JwksServer,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    authenticator.verify(long_lived(), clock())
    server.stop()
    caplog.set_level(logging.WARNING)
    for after in (60, FRESH, 3600, STALE - 1):
        clock.now = NOW + after
        assert authenticator.verify(long_lived(), clock())
        assert is_refused(authenticator, by_new_key(), clock)
    lines = [json.loads(record.message) for record in caplog.records]
    assert {(line["decision"], line["reason"]) for line in lines} == {("jwks", "fetch_failed")}
    assert all("cannot connect to 127.0.0.1" in line["problem"] for line in lines)
    clock.now = NOW + STALE
    with pytest.raises(ServiceUnavailable, match="keys cannot be fetched"):
        authenticator.verify(long_lived(), clock())


def test_an_issuer_that_fails_is_asked_again_but_not_each_time(
    authenticator: JwtAuthenticator, server: JwksServer, clock: Clock
) -> None:
    authenticator.verify(long_lived(), clock())
    server.status = 503
    clock.now = NOW + FRESH
    for _ in range(10):
        assert authenticator.verify(long_lived(), clock())
    assert len(server.fetches) == 2
    clock.now += RETRY
    server.status = 200
    authenticator.verify(long_lived(), clock())
    assert len(server.fetches) == 3
    clock.now += FRESH - 1
    authenticator.verify(long_lived(), clock())
    assert len(server.fetches) == 3


def test_without_keys_nobody_is_let_in_and_it_is_a_fault_not_a_refusal(
    authenticator: JwtAuthenticator, server: JwksServer, clock: Clock
) -> None:
    server.status = 500
    for _ in range(10):
        with pytest.raises(ServiceUnavailable):
            authenticator.verify(long_lived(), clock())
    assert len(server.fetches) == 1
    server.status = 200
    clock.now += FIRST_RETRY
    assert authenticator.verify(long_lived(), clock())


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"body": b"<html>"}, id="no JSON"),
        pytest.param({"keys": {"keys": []}}, id="no keys"),
        pytest.param({"keys": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}}, id="a secret"),
        pytest.param({"body": b"\xff\xfe"}, id="no UTF-8"),
        pytest.param({"body": b"[" * 60_000}, id="nested deep"),
        pytest.param({"body": b" " * (MAX_BYTES + 1)}, id="too long"),
        pytest.param({"status": 404}, id="not found"),
        pytest.param({"status": 204, "body": b""}, id="nothing"),
        pytest.param({"status": 203}, id="from somebody between"),
        pytest.param({"status": 302, "headers": {"Location": "/other"}}, id="a redirect"),
        pytest.param({"headers": {"Transfer-Encoding": "gzip"}}, id="another coding"),
    ],
)
def test_a_bad_answer_does_not_replace_good_keys(
    authenticator: JwtAuthenticator, server: JwksServer, clock: Clock, answer: dict[str, Any]
) -> None:
    authenticator.verify(long_lived(), clock())
    server.keys = ROTATED  # which would show if they were taken
    for name, value in answer.items():
        setattr(server, name, value)
    clock.now = NOW + FRESH
    assert authenticator.verify(long_lived(), clock())
    assert len(server.fetches) == 2, "a redirect is not followed"


def test_an_answer_of_64_kib_is_read_and_a_longer_one_is_not(server: JwksServer) -> None:
    body = json.dumps(key_set()).encode()
    server.body = body + b" " * (MAX_BYTES - len(body))
    assert fetch_key_set(server.url, ALGORITHMS).find("RS256", "rsa-1")
    server.body += b" "
    with pytest.raises(ServiceUnavailable):
        fetch_key_set(server.url, ALGORITHMS)


def test_threads_that_come_at_once_fetch_once(server: JwksServer, clock: Clock) -> None:
    release = threading.Event()
    fetches = 0

    def fetch() -> KeySet:
        nonlocal fetches
        fetches += 1
        assert release.wait(60)
        return fetch_key_set(server.url, ALGORITHMS)

    keys = FetchedKeys(fetch, clock)
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(keys.find("RS256", "rsa-1"))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    release.set()
    for thread in threads:
        thread.join(60)
    assert (found, fetches) == ([1] * 8, 1)


def test_a_thread_need_not_wait_for_another_that_fetches_where_keys_are_kept(
    server: JwksServer, clock: Clock
) -> None:
    fetching, release = threading.Event(), threading.Event()

    def fetch() -> KeySet:
        if clock() > NOW:
            fetching.set()
            assert release.wait(60)
        return fetch_key_set(server.url, ALGORITHMS)

    keys = FetchedKeys(fetch, clock)
    assert keys.find("RS256", "rsa-1")
    clock.now += FRESH
    thread = threading.Thread(target=lambda: keys.find("RS256", "rsa-1"))
    thread.start()
    assert fetching.wait(60)
    try:
        assert keys.find("RS256", "rsa-1")
    finally:
        release.set()
        thread.join(60)


def test_no_other_issuer_is_ever_asked(
    authenticator: JwtAuthenticator, server: JwksServer, clock: Clock
) -> None:
    with JwksServer() as evil:
        evil.keys = ROTATED
        for header in ({"jku": evil.url}, {"x5u": evil.url}, {"kid": evil.url[:60]}):
            token = sign(claims(iss=evil.url), header=header, key=rsa_key(1))
            with pytest.raises(Unauthorized):
                authenticator.verify(token, clock())
        assert evil.fetches == []


def test_settings_name_the_keys(server: JwksServer, clock: Clock) -> None:
    settings = JwtSettings(ISSUER, (AUDIENCE,), algorithms=("ES256",), jwks_url=server.url)
    keys = FetchedKeys(partial(fetch_key_set, server.url, settings.algorithms), clock)
    only = JwtAuthenticator(settings, keys, DEFAULT_PLACES, Scopes(), 7200)
    assert only.verify(sign(algorithm="ES256"), NOW)
    with pytest.raises(Unauthorized, match="wrong_algorithm"):
        only.verify(sign(), NOW)
    with pytest.raises(Unauthorized, match="unknown_key"):
        replace(only, settings=replace(settings, algorithms=ALGORITHMS)).verify(sign(), NOW)


def test_an_issuer_has_three_seconds_and_a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    def origin(url: str, *, connect_timeout: float, read_timeout: float, **_: object) -> Origin:
        given.extend((connect_timeout, read_timeout))
        raise ServiceUnavailable(url)

    monkeypatch.setattr(jwks, "Origin", origin)
    with pytest.raises(ServiceUnavailable):
        fetch_key_set("https://issuer.example.com/jwks.json", ALGORITHMS)
    assert sum(given) == 3.5, "as docs/authorizers.md says"
