"""Who gets in, over the network: forged credentials in every place, tickets, keys and origins."""

import json
import logging
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from urllib.parse import quote

import pytest

from chalicelib.authorizers.api_key import new_key
from chalicelib.credential_settings import JwtSettings, Place
from chalicelib.scopes import Scopes
from localgateway.database import EmbeddedDatabase
from tests.app_under_test import AppUnderTest, app_under_test
from tests.canaries import found_in, secrets_of, with_tracebacks
from tests.factories import NOW
from tests.forged_tokens import forged_tokens, good_tokens
from tests.gateway_under_test import NET, eventually
from tests.jwks_server import JwksServer
from tests.origins import FOREIGN, ORIGIN
from tests.tokens import AUDIENCE, ISSUER, MARKER, claims, key_set, rsa_key, sign

ALGORITHMS = ("RS256", "ES256", "EdDSA")
JWT = JwtSettings(ISSUER, (AUDIENCE,), algorithms=ALGORITHMS, keys=json.dumps(key_set()))
PLACES = (
    Place("bearer"),
    Place("header", "X-Credential"),
    Place("query", "jwt"),
    Place("protocol"),
)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]*")  # RFC 9110, 5.6.2
SHARED = f"{MARKER}-shared-token"
FORGED, GOOD = forged_tokens(), good_tokens()
OTHERS = {
    "nothing": "",
    "a word": "hello",
    "the shared token": SHARED,
    "a key that is none": f"pk_{'0' * 16}_{'A' * 43}",
    "the beginning of a key": "pk_",
    "a ticket that is none": "A" * 43,
    "markup": "<script>.alert(1).</script>",
    "a null byte": "a.\0.b",
    "new lines": "a.b.c\r\nX-Injected: 1",
    "letters outside ASCII": "é.日本.😀",
}


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def app(database: EmbeddedDatabase, patch: pytest.MonkeyPatch) -> Iterator[AppUnderTest]:
    """The app with every authenticator, and a credential allowed everywhere."""
    with app_under_test(
        database,
        patch,
        authenticators=("jwt", "api_key", "ticket", "shared_token"),
        shared_token=SHARED,
        credential_places=PLACES,
        allowed_origins=frozenset({ORIGIN}),
        jwt=JWT,
    ) as running:
        yield running


def handshake(app: AppUnderTest, place: str, credential: str, *more: str) -> int | None:
    """Return the status; None where HTTP cannot carry the credential there."""
    header, query = "", ""
    if place == "query":
        query = f"?jwt={quote(credential, safe='')}"
        if len(query) > 4000:  # API Gateway's limit of a URL, and ours
            return None
    elif len(credential) > 9000 or not credential.isprintable():
        return None  # a limit of API Gateway's headers, and ours; or no value of a header
    elif place == "protocol" and not _TOKEN.fullmatch(credential):
        return None  # no name of a protocol: refused with 400 before anybody is asked
    else:
        header = {
            "bearer": f"Authorization: Bearer {credential}",
            "header": f"X-Credential: {credential}",
            "protocol": f"Sec-WebSocket-Protocol: portcullis, bearer.{credential}",
        }[place]
    host, port = app.gateway.address.split(":")
    lines = [
        f"GET /api{query} HTTP/1.1",
        f"Host: {app.gateway.address}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *filter(None, [header]),
        *more,
    ]
    with socket.create_connection((host, int(port)), timeout=NET) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(client.recv(4096).split(b" ")[1])


@pytest.mark.parametrize("place", [place.kind for place in PLACES])
def test_no_forged_or_malformed_credential_gets_in_anywhere(app: AppUnderTest, place: str) -> None:
    before = len(app.gateway.events("websocket_connect"))
    found = {
        name: handshake(app, place, credential)
        for name, credential in {**FORGED, **OTHERS}.items()
        if (place, name) != ("header", "nothing")  # which is not sent at all
    }
    carried = {name: status for name, status in found.items() if status is not None}
    assert set(carried.values()) == {401}, {n: s for n, s in carried.items() if s != 401}
    assert len(carried) >= 280
    assert len(app.gateway.events("websocket_connect")) == before, "it was never asked"
    assert app.items() == []


@pytest.mark.parametrize("place", [place.kind for place in PLACES])
def test_every_good_token_gets_in_everywhere(app: AppUnderTest, place: str) -> None:
    found = {name: handshake(app, place, token) for name, token in GOOD.items()}
    assert set(found.values()) == {101}, found
    eventually(lambda: not app.items())


def is_header(credential: str) -> bool:
    """Tell whether an HTTP client sends it in a header, and API Gateway and ours take it there."""
    return credential.isprintable() and credential.isascii() and len(credential) < 9000


def test_over_http_no_forged_credential_gets_a_ticket(app: AppUnderTest) -> None:
    statuses = {}
    for name, credential in {**FORGED, **OTHERS}.items():
        if is_header(credential) and credential != SHARED:
            bearer = {"Authorization": f"Bearer {credential}"}
            statuses[name], _, body = app.request("POST", "/tickets", **bearer)
            assert body["error"]["code"] == "unauthorized"
    assert set(statuses.values()) == {401}
    assert len(statuses) >= 300
    assert app.request("POST", "/tickets")[0] == 401
    assert app.items() == []


def test_a_page_of_another_origin_is_forbidden_and_leaves_nothing(app: AppUnderTest) -> None:
    before = len(app.gateway.events("websocket_connect"))
    for place in PLACES:
        assert handshake(app, place.kind, sign(), "Origin: https://evil.example") == 403
        assert (
            handshake(app, place.kind, sign(key=rsa_key(1)), "Origin: https://evil.example") == 401
        )
    assert len(app.gateway.events("websocket_connect")) == before
    assert app.items() == []
    assert handshake(app, "bearer", sign(), f"Origin: {ORIGIN}") == 101
    eventually(lambda: not app.items())


def test_no_origin_that_http_can_carry_passes_for_ours(app: AppUnderTest) -> None:
    before = len(app.gateway.events("websocket_connect"))
    # A header's value has no blanks at its ends, so of that one nothing would be left but ours.
    carried = {
        name: text for name, text in FOREIGN.items() if text.isprintable() and text == text.strip()
    }
    found = {
        name: handshake(app, "bearer", sign(), f"Origin: {text}") for name, text in carried.items()
    }
    assert len(carried) > 55
    assert set(found.values()) == {403}, found
    assert len(app.gateway.events("websocket_connect")) == before
    two = (f"Origin: {ORIGIN}", "Origin: https://evil.example")
    assert {handshake(app, "bearer", sign(), *it) for it in (two, two[::-1])} == {400}


def test_the_protocol_that_is_answered_is_the_applications(app: AppUnderTest) -> None:
    offered = ["portcullis", f"bearer.{sign()}"]
    client = app.gateway.connect(subprotocols=offered, suppress_origin=True)
    assert client.getsubprotocol() == "portcullis"
    headers = str(client.getheaders())
    assert not [part for part in sign().split(".") if part in headers]
    client.close()
    eventually(lambda: not app.items())


def test_of_a_hundred_handshakes_with_one_ticket_exactly_one_succeeds(app: AppUnderTest) -> None:
    ticket = app.ticket(sign())
    barrier = Barrier(100)

    def connect(_: int) -> int:
        barrier.wait(NET)
        return app.gateway.refusal(f"?ticket={ticket}", suppress_origin=True)

    with ThreadPoolExecutor(100) as executor:
        statuses = sorted(executor.map(connect, range(100)))
    assert statuses == [101, *[401] * 99]
    eventually(lambda: not app.items())


def test_a_ticket_is_bound_to_the_page_that_asked_for_it(app: AppUnderTest) -> None:
    ticket = app.ticket(sign(), Origin=ORIGIN)
    assert app.gateway.refusal(f"?ticket={ticket}", origin=ORIGIN) == 101
    for origin in ("https://evil.example", "null"):
        ticket = app.ticket(sign(), Origin=ORIGIN)
        assert app.gateway.refusal(f"?ticket={ticket}", origin=origin) == 403
    ticket = app.ticket(sign(), Origin=ORIGIN)
    assert app.gateway.refusal(f"?ticket={ticket}", suppress_origin=True) == 403
    assert app.gateway.refusal(f"?ticket={ticket}", origin=ORIGIN) == 401, "used up"
    eventually(lambda: not app.items())


def test_an_expired_ticket_is_unauthorized(app: AppUnderTest) -> None:
    ticket = app.ticket(sign())
    app.clock.now += 30
    try:
        assert app.gateway.refusal(f"?ticket={ticket}", suppress_origin=True) == 401
    finally:
        app.clock.now = NOW
    app.gateway.refusal(f"?ticket={ticket}", suppress_origin=True)  # which takes it away
    eventually(lambda: not app.items())


def test_a_key_lets_in_until_it_is_revoked(app: AppUnderTest) -> None:
    text, key = new_key("robot", Scopes.parse("connect"), NOW)
    app.keys.add(key)
    ticket = app.ticket(text)
    client = app.gateway.connect(header={"Authorization": f"Bearer {text}"}, suppress_origin=True)
    client.send('{"action":"whoami"}')
    assert json.loads(client.recv())["result"]["principalId"] == "robot"
    client.close()
    app.keys.revoke(key.key_id)
    for place in PLACES:
        assert handshake(app, place.kind, text) == 401
    assert app.request("POST", "/tickets", Authorization=f"Bearer {text}")[0] == 401
    assert app.gateway.refusal(f"?ticket={ticket}", suppress_origin=True) == 101
    _forget_keys(app)


def _forget_keys(app: AppUnderTest) -> None:
    eventually(lambda: all("key" in item["pk"]["S"] for item in app.items()))
    for item in app.items():
        key = {"pk": item["pk"], "sk": item["sk"]}
        app.dynamodb.call("DeleteItem", {"TableName": app.table, "Key": key})


@pytest.mark.parametrize(("scopes", "status"), [("connect", 101), ("sendmessage publish", 403)])
def test_a_key_without_the_scope_is_forbidden(app: AppUnderTest, scopes: str, status: int) -> None:
    text, key = new_key("robot", Scopes.parse(scopes), NOW)
    app.keys.add(key)
    for place in PLACES:
        assert handshake(app, place.kind, text) == status
    asked = app.request("POST", "/tickets", Authorization=f"Bearer {text}")[0]
    assert asked == (200 if status == 101 else 403)
    eventually(lambda: len(app.items()) <= 3)
    for item in app.items():
        app.dynamodb.call(
            "DeleteItem", {"TableName": app.table, "Key": {k: item[k] for k in ("pk", "sk")}}
        )


def test_a_browser_may_ask_for_a_ticket_from_another_origin(app: AppUnderTest) -> None:
    status, headers, _ = app.request("OPTIONS", "/tickets", Origin=ORIGIN)
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in headers, "no cookie is ever a credential"
    assert "Authorization" in headers["Access-Control-Allow-Headers"]


def test_an_issuer_that_is_down_lets_in_whose_key_is_known(
    database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = sign(claims(exp=int(NOW) + 90_000))
    unknown = sign(claims(exp=int(NOW) + 90_000), header={"kid": "rsa-2"}, key=rsa_key(1))
    with JwksServer() as issuer:
        jwt = JwtSettings(ISSUER, (AUDIENCE,), algorithms=ALGORITHMS, jwks_url=issuer.url)
        settings: dict[str, Any] = {"authenticators": ("jwt",), "jwt": jwt}
        with app_under_test(database, monkeypatch, **settings) as app:
            assert handshake(app, "bearer", good) == 101
            issuer.stop()
            for after in (30, 600, 3600, 86_000):
                app.clock.now = NOW + after
                assert handshake(app, "bearer", good) == 101
                assert handshake(app, "bearer", unknown) == 401
            app.clock.now = NOW + 86_400
            assert handshake(app, "bearer", good) == 500, "a fault of ours, and nobody is let in"


# Nothing leaks


def renewals(*credentials: str) -> list[str]:
    """Return frames that show credentials, the right way and wrong ones."""
    shown = [{"action": "authenticate", "token": it} for it in credentials]
    wrong = {"action": "authenticate", "token": credentials[0], "more": credentials[0]}
    mapped = {"action": "sendmessage", "token": credentials[0]}
    return [json.dumps(frame) for frame in (*shown, wrong, mapped)]


def frames_of_a_session(app: AppUnderTest, *more: str, **options: Any) -> list[str]:
    """Connect, send good and bad messages, and return everything that came back."""
    client = app.gateway.connect(suppress_origin=True, **options)
    received = [str(client.getheaders())]
    for frame in (
        '{"action":"whoami"}',
        '{"action":"sendmessage","message":"hi"}',
        "{",
        "[]",
        *more,
    ):
        client.send(frame)
        received.append(client.recv())
    client.send('{"action":"ping","id":"last"}')
    while '"last"' not in received[-1]:
        received.append(client.recv())
    return received


def life_of_a_key(app: AppUnderTest) -> tuple[list[str], list[str]]:
    """Have a key made over HTTP, use it well and badly; return its secrets, and what was shown."""
    operator, kept = new_key("operator", Scopes.parse("admin:keys connect"), NOW)
    app.keys.add(kept)
    bearer = {"Authorization": f"Bearer {operator}"}
    wanted = json.dumps({"principal": "pump", "scopes": ["connect", "admin:keys"]})
    status, made = app.post("/keys", wanted, **bearer)
    assert status == 201
    key = made.pop("key")
    own = {"Authorization": f"Bearer {key}"}
    shown = [
        json.dumps(made),
        *frames_of_a_session(app, *renewals(key), header=own),
        *frames_of_a_session(app, query=f"?ticket={app.ticket(key)}"),
        json.dumps(app.post("/keys", wanted, **bearer, **{"Idempotency-Key": key})),
        json.dumps(app.post("/keys", json.dumps({"principal": key, "key": key}), **own)),
        json.dumps(app.request("GET", "/keys", **own)),
        json.dumps(app.request("GET", f"/keys?cursor={key}", **own)),
        json.dumps(app.request("DELETE", f"/keys/{key}", **own)),
        json.dumps(app.request("DELETE", f"/keys/{made['keyId']}", **own)),
        json.dumps(app.request("GET", "/keys", **own)),
    ]
    assert handshake(app, "bearer", key) == 401
    return [it.split("_", 2)[2] for it in (operator, key)], shown


def test_no_credential_shows_in_logs_frames_answers_or_the_table(
    app: AppUnderTest, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    text, key = new_key("robot", Scopes.parse("connect"), NOW)
    app.keys.add(key)
    forged = [token for token in FORGED.values() if is_header(token)]
    tickets = [app.ticket(credential) for credential in (sign(), text, SHARED)]
    app.ticket(sign(), Origin=ORIGIN)
    shown = [
        *frames_of_a_session(app, header={"Authorization": f"Bearer {sign()}"}),
        *frames_of_a_session(app, header={"X-Credential": text}),
        *frames_of_a_session(app, header={"token": SHARED}),
        *frames_of_a_session(app, subprotocols=["portcullis", f"bearer.{sign()}"]),
        *frames_of_a_session(app, query=f"?ticket={tickets[0]}"),
    ]
    frames = renewals(sign(), text, SHARED, *forged)
    shown += frames_of_a_session(app, *frames, header={"Authorization": f"Bearer {sign()}"})
    secrets_of_keys, shown_of_keys = life_of_a_key(app)
    shown += shown_of_keys
    app.services.revoker().revoke("robot", 1)
    shown += frames_of_a_session(app, *frames, header={"token": SHARED})
    shown.append(str(handshake(app, "bearer", text)))
    app.services.sweep().run(10)
    shown.append(json.dumps(app.items()))
    for credential in (*forged, f"{text}x", f"{SHARED}x", MARKER):
        for place in PLACES:
            handshake(app, place.kind, credential)
        if credential.isascii():
            bearer = {"Authorization": f"Bearer {credential}"}
            shown.append(json.dumps(app.request("POST", "/tickets", **bearer)))
    handshake(app, "query", sign(), f"Cookie: {MARKER}", f"Origin: https://{MARKER}.example")
    output = capfd.readouterr()
    assert "authorize" in caplog.text
    secrets_of_keys.append(text.removeprefix(f"pk_{key.key_id}_"))
    secrets = secrets_of(sign(), *secrets_of_keys, SHARED, *tickets)
    assert found_in(secrets, with_tracebacks(caplog), output.out, output.err, *shown) == set()
    assert claims()["marker"] == MARKER
