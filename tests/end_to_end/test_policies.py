"""Cedar policies over the network: the same file is asked over the WebSocket and over HTTP."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import websocket

from chalicelib.credential_settings import JwtSettings
from localgateway.database import EmbeddedDatabase
from tests.app_under_test import AppUnderTest, app_under_test
from tests.tokens import AUDIENCE, ISSUER, claims, key_set, sign

SCOPES = "connect sendmessage sendmessage:channel:* join:channel:* publish admin"
SETTINGS: dict[str, Any] = {
    "authenticators": ("jwt",),
    "jwt": JwtSettings(ISSUER, (AUDIENCE,), keys=json.dumps(key_set()), scope_claim="scope"),
    "cedar_policies": "tests/policies/staff.cedar",
}


@pytest.fixture
def app(database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppUnderTest]:
    with app_under_test(database, monkeypatch, **SETTINGS) as running:
        yield running


def bearer(principal_id: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {sign(claims(sub=principal_id, scope=SCOPES))}"}


def connect(app: AppUnderTest, principal_id: str) -> Any:
    return app.gateway.connect(header=bearer(principal_id), suppress_origin=True)


def ask(client: Any, action: str, **fields: Any) -> str:
    """Send a frame; return ``ok`` or the error that answers it."""
    client.send(json.dumps({"action": action, "id": 1, **fields}))
    while True:
        answer = json.loads(client.recv())
        if answer.get("type") != "message":
            return "ok" if answer.get("type") == "reply" else str(answer["error"]["code"])


def publish(app: AppUnderTest, principal_id: str, *audiences: str) -> list[Any]:
    """Post a message to each, alone and in a batch; return a code for each time."""
    codes: list[Any] = []
    messages = [{"to": to, "message": "published"} for to in audiences]
    for message in messages:
        status, answer = app.post("/messages", json.dumps(message), **bearer(principal_id))
        codes.append("ok" if status == 200 else (status, answer["error"]["code"]))
    batch = json.dumps({"messages": messages})
    status, answer = app.post("/messages/batch", batch, **bearer(principal_id))
    assert status == 200, answer
    codes.extend(it["error"]["code"] if "error" in it else "ok" for it in answer["results"])
    return codes


REFUSED = (403, "forbidden")


def test_what_scopes_allow_and_policies_do_not_is_refused_over_both(app: AppUnderTest) -> None:
    alice, bob = connect(app, "alice"), connect(app, "bob")
    assert ask(alice, "join", channel="staff") == "ok"
    assert ask(bob, "join", channel="staff") == "forbidden_audience"
    assert ask(bob, "join", channel="news") == "ok"
    assert ask(bob, "sendmessage", message="hi", to="channel:staff") == "forbidden_audience"
    assert ask(bob, "sendmessage", message="hi", to="channel:news") == "ok"
    assert ask(alice, "sendmessage", message="hi", to="channel:staff") == "ok"
    audiences = ("channel:news", "channel:staff")
    assert publish(app, "bob", *audiences) == ["ok", REFUSED, "ok", "forbidden"]
    assert publish(app, "alice", *audiences) == ["ok", REFUSED, "ok", "forbidden"]
    assert publish(app, "billing", *audiences) == ["ok"] * 4
    for reader, expected in ((alice, ["published"] * 2), (bob, ["published"] * 6)):
        received = [json.loads(reader.recv())["message"] for _ in expected]
        assert received == expected
        assert ask(reader, "ping") == "ok"  # with nothing before its reply


def test_a_policy_that_fails_denies_over_both(app: AppUnderTest) -> None:
    client = connect(app, "alice")
    assert ask(client, "join", channel="broken") == "forbidden_audience"
    assert publish(app, "alice", "channel:broken") == [REFUSED, "forbidden"]


def test_policies_leave_alone_what_is_not_done_to_an_audience(app: AppUnderTest) -> None:
    client = connect(app, "bob")
    for action, fields in (("whoami", {}), ("ping", {}), ("leave", {"channel": "staff"})):
        assert ask(client, action, **fields) == "ok"
    status, _, page = app.request("GET", "/connections?audience=channel:staff", **bearer("bob"))
    assert (status, page["connections"]) == (200, [])


@pytest.mark.parametrize("without", ["the package", "the file"])
def test_without_what_it_takes_nothing_is_sent_at_all(
    database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    settings = dict(SETTINGS)
    if without == "the package":
        monkeypatch.delitem(sys.modules, "chalicelib.cedar", raising=False)
        monkeypatch.setitem(sys.modules, "cedarpy", None)
    else:
        settings["cedar_policies"] = "tests/policies/none.cedar"
    with app_under_test(database, monkeypatch, **settings) as app:
        client = connect(app, "alice")
        client.send('{"action": "sendmessage", "message": "hi"}')
        assert json.loads(client.recv())["message"] == "Internal server error"
        message = json.dumps({"to": "everyone", "message": "published"})
        status, answer = app.post("/messages", message, **bearer("alice"))
        assert (status, answer["error"]["code"]) == (500, "internal_error")
        client.settimeout(0.3)
        with pytest.raises(websocket.WebSocketTimeoutException):
            client.recv()
