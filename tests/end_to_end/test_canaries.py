"""No secret shows, whatever goes wrong: the same marker is in every secret there is.

Besides credentials that clients show, the app's own: what it compares with, where it fetches an
issuer's keys, and what it signs calls of AWS with.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import websocket

from chalicelib import bootstrap
from chalicelib.authorizers.api_key import new_key
from chalicelib.aws import Credentials
from chalicelib.credential_settings import JwtSettings, Place
from chalicelib.scopes import Scopes
from localgateway.database import EmbeddedDatabase
from tests.app_under_test import AppUnderTest, app_under_test
from tests.canaries import found_in, secrets_of, spellings, with_tracebacks
from tests.factories import NOW
from tests.jwks_server import JwksServer
from tests.tokens import AUDIENCE, ISSUER, MARKER, SECRET, claims, key_set, sign

HEADER, QUERY, VARIABLE = f"{MARKER}-header", f"{MARKER}-query", f"{MARKER}-variable"
SHARED = f"{MARKER}-shared-token"
PLACES = (Place("bearer"), Place("query", "jwt"), Place("protocol"))
BY_SECRET = JwtSettings(ISSUER, (AUDIENCE,), algorithms=("HS256",), secret=SECRET)
TOKEN = sign(claims(), "HS256", {"kid": None}, SECRET.encode())
SETTINGS: dict[str, Any] = {
    "authenticators": ("jwt", "api_key", "ticket", "request_parameters", "shared_token"),
    "credential_places": PLACES,
    "default_scopes": Scopes.parse("connect sendmessage publish admin"),
    "jwt": BY_SECRET,
    "shared_token": SHARED,
    "header_auth_value": HEADER,
    "query_string_value": QUERY,
    "stage_variable_name": "StageVar1",
    "stage_variable_value": VARIABLE,
    "stage_variables": {"StageVar1": VARIABLE},
}


@contextmanager
def serving(
    database: EmbeddedDatabase, patch: pytest.MonkeyPatch, **changes: Any
) -> Iterator[AppUnderTest]:
    """Serve the app with a marker in the credentials of AWS, too."""
    with app_under_test(database, patch, **{**SETTINGS, **changes}) as app:
        app.services.executor.shutdown()
        ours = Credentials("testing", f"{MARKER}-aws-secret", f"{MARKER}-aws-session")
        app.services = bootstrap.build(app.settings, lambda: ours, app.clock)
        yield app


class Watched:
    """Gathers all that comes back, and all that is written meanwhile."""

    def __init__(self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
        caplog.set_level(logging.DEBUG)
        self._caplog, self._capfd = caplog, capfd
        self.shown: list[str] = []
        self.statuses: list[int] = []

    def connect(self, app: AppUnderTest, query: str = "", **options: Any) -> None:
        """Open a connection and say something, right and wrong, with the credential in it."""
        try:
            client = app.gateway.connect(query, suppress_origin=True, **options)
        except websocket.WebSocketBadStatusException as refused:
            self.statuses.append(refused.status_code)
            self.shown.append(f"{refused} {refused.resp_headers} {refused.resp_body!r}")
            return
        self.statuses.append(101)
        self.shown.append(str(client.getheaders()))
        for credential in (TOKEN, SHARED, f"{TOKEN}x", HEADER):
            for frame in ({"token": credential}, {"more": credential}, {"token": [credential]}):
                self.ask(client, {"action": "authenticate", "id": "a", **frame})
            self.ask(client, {"action": "sendmessage", "token": credential})
            self.ask(client, {"action": "sendmessage", "message": 7, "to": credential})
            self.ask(client, {"action": credential})
        client.close()

    def ask(self, client: Any, frame: dict[str, Any]) -> None:
        client.send(json.dumps(frame))
        self.shown.append(client.recv())

    def post(self, app: AppUnderTest, path: str, **headers: str) -> None:
        sent = json.dumps({"to": TOKEN, "message": 7, "more": SHARED})
        status, answered, body = app.request("POST", path, sent, **headers)
        self.statuses.append(status)
        # The ticket is there for its owner, and nowhere else.
        body.pop("ticket", None)
        self.shown.append(f"{answered} {body}")

    def everything(self) -> list[str]:
        output = self._capfd.readouterr()
        return [with_tracebacks(self._caplog), output.out, output.err, *self.shown]


@pytest.fixture
def watched(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Watched:
    return Watched(caplog, capfd)


def show_everything(watched: Watched, app: AppUnderTest, key: str) -> None:
    """Show every credential in each of its places, as it is and with a letter more."""
    for more in ("", "x"):
        for credential in (TOKEN + more, key + more, SHARED + more):
            bearer = {"Authorization": f"Bearer {credential}"}
            watched.connect(app, header=bearer)
            watched.connect(app, f"?jwt={credential}")
            watched.connect(app, f"?ticket={credential}")
            watched.connect(app, subprotocols=["portcullis", f"bearer.{credential}"])
            watched.connect(app, header={"token": credential})
            for path in ("/tickets", "/messages", "/principals/revoke"):
                watched.post(app, path, **bearer)
                watched.post(app, f"{path}?jwt={credential}", **bearer)
            watched.post(app, "/tickets", Authorization=credential)
            watched.post(app, "/tickets", Cookie=credential)
        watched.connect(app, f"?QueryString1={QUERY}{more}", header={"HeaderAuth1": HEADER})
        watched.connect(app, f"?QueryString1={QUERY}", header={"HeaderAuth1": HEADER + more})


def test_the_spellings_of_a_secret_are_found_in_whatever_holds_it() -> None:
    for before in range(6):
        for after in range(3):
            text = base64.b64encode(b"x" * before + MARKER.encode() + b"y" * after).decode()
            assert found_in(spellings(MARKER), text), (before, after)
    assert found_in(spellings(MARKER), sign().split(".")[1]), "the claims hold the marker"
    assert not found_in(secrets_of(TOKEN), "authorize ok alice", json.dumps(claims(marker=None)))


def test_no_secret_shows_where_all_is_well(
    database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    with serving(database, monkeypatch) as app:
        key, kept = new_key("robot", Scopes.parse("connect sendmessage"), NOW)
        app.keys.add(kept)
        ticket = app.ticket(TOKEN)
        watched.shown.append(json.dumps(app.items()))
        show_everything(watched, app, key)
        watched.connect(app, f"?ticket={ticket}")
        watched.shown.append(json.dumps(app.items()))
    assert set(watched.statuses) >= {101, 200, 400, 401, 403}
    assert not [it for it in watched.statuses if it >= 500]
    secrets = secrets_of(TOKEN, key.removeprefix(f"pk_{kept.key_id}_"), SHARED, ticket)
    assert found_in(secrets, *watched.everything()) == set()


def test_no_secret_shows_where_the_table_is_gone(
    database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    with serving(database, monkeypatch) as app:
        key, _ = new_key("robot", Scopes.parse("connect"), NOW)
        app.dynamodb.call("DeleteTable", {"TableName": app.table})
        show_everything(watched, app, key)
        watched.connect(app, f"?ticket={key[-43:]}")
    assert set(watched.statuses) >= {401, 500, 502}
    assert 101 not in watched.statuses
    assert found_in(secrets_of(TOKEN, key, SHARED), *watched.everything()) == set()


BROKEN = {
    "a secret that is too short": {
        "jwt": replace(BY_SECRET, secret=f"{MARKER}-short"),
    },
    "a secret that is a public key": {
        "jwt": replace(
            BY_SECRET, secret=f"-----BEGIN PUBLIC KEY-----\n{MARKER}\n-----END PUBLIC KEY-----"
        ),
    },
    "keys that are none": {
        "jwt": replace(BY_SECRET, algorithms=("RS256",), secret=None, keys=f'{{"{MARKER}": 1}}'),
    },
    "keys that are no JSON": {
        "jwt": replace(BY_SECRET, algorithms=("RS256",), secret=None, keys=f"{MARKER}-{MARKER}"),
    },
    "an expected value that is missing": {"header_auth_value": None},
}


@pytest.mark.parametrize("changes", BROKEN.values(), ids=BROKEN)
def test_no_secret_shows_where_settings_are_wrong(
    database: EmbeddedDatabase,
    monkeypatch: pytest.MonkeyPatch,
    watched: Watched,
    changes: dict[str, Any],
) -> None:
    with serving(database, monkeypatch, **changes) as app:
        algorithms = app.settings.jwt.algorithms if app.settings.jwt else ()
        token = TOKEN if algorithms == ("HS256",) else sign()
        watched.connect(app, header={"Authorization": f"Bearer {token}"})
        watched.post(app, "/tickets", Authorization=f"Bearer {token}")
        settings = app.settings
    assert watched.statuses == [500, 500]
    assert found_in(secrets_of(token), repr(settings), *watched.everything()) == set()


def test_no_secret_shows_of_an_issuer_whatever_it_answers(
    database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    token = sign(claims(exp=int(NOW) + 90_000))
    with JwksServer() as issuer:
        url = f"{issuer.url}&key={MARKER}"
        jwt = JwtSettings(ISSUER, (AUDIENCE,), jwks_url=url)
        with serving(database, monkeypatch, jwt=jwt) as app:
            answers: list[dict[str, Any]] = [
                {"status": 503, "body": MARKER.encode()},
                {"status": 302, "headers": {"Location": f"/{MARKER}"}},
                {"status": 200, "headers": {}, "body": f'"{MARKER}'.encode()},
                {"body": b"\xff" + MARKER.encode()},
                {"body": json.dumps({"keys": [{"kty": "oct", "k": MARKER}]}).encode()},
                {"body": json.dumps({**key_set(), "note": MARKER}).encode()},
            ]
            for number, answer in enumerate(answers):
                for name, value in answer.items():
                    setattr(issuer, name, value)
                app.clock.now = NOW + 60 * number
                watched.connect(app, header={"Authorization": f"Bearer {token}"})
            issuer.stop()
            app.clock.now = NOW + 86_400
            watched.connect(app, header={"Authorization": f"Bearer {token}"})
        assert issuer.fetches[0].endswith(f"key={MARKER}"), "or nothing was shown"
    assert watched.statuses == [500] * 5 + [101, 101]
    assert found_in(secrets_of(token), *watched.everything()) == set()
