"""Connections that expire, are renewed or revoked, or are too many: over the network.

The clock of the app stands still but where a test moves it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import websocket

from chalicelib.authorizers.api_key import new_key
from chalicelib.connections import EVERYONE, Audience, members
from chalicelib.credential_settings import JwtSettings
from chalicelib.environment import Reader
from chalicelib.gate import MOST_REFUSALS
from chalicelib.limit_settings import LimitSettings, read_limits
from chalicelib.rates import Rate
from chalicelib.scopes import Scopes
from localgateway.database import EmbeddedDatabase
from tests.app_under_test import AppUnderTest, app_under_test
from tests.factories import NOW
from tests.gateway_under_test import eventually
from tests.tokens import AUDIENCE, ISSUER, claims, key_set, sign

SOCKETS = 60
JWT = JwtSettings(ISSUER, (AUDIENCE,), keys=json.dumps(key_set()), scope_claim="scope")
SCOPES = "connect sendmessage join:channel:*"
SETTINGS: dict[str, Any] = {"authenticators": ("jwt", "api_key", "ticket"), "jwt": JWT}


@pytest.fixture
def app(database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppUnderTest]:
    with app_under_test(database, monkeypatch, **SETTINGS) as running:
        yield running


def token(principal_id: str = "alice", seconds: float = 600, **more: Any) -> str:
    return sign(claims(**{"sub": principal_id, "exp": NOW + seconds, "scope": SCOPES, **more}))


def connect(app: AppUnderTest, credential: str) -> Any:
    bearer = {"Authorization": f"Bearer {credential}"}
    return app.gateway.connect(header=bearer, suppress_origin=True)


def refusal(app: AppUnderTest, credential: str) -> int:
    bearer = {"Authorization": f"Bearer {credential}"}
    return app.gateway.refusal(header=bearer, suppress_origin=True)


def connect_many(app: AppUnderTest, *credentials: str) -> list[Any]:
    with ThreadPoolExecutor(16) as executor:
        return list(executor.map(lambda credential: connect(app, credential), credentials))


def ask(client: Any, action: str, **fields: Any) -> Any:
    """Send a frame, and return the frame that answers it."""
    client.send(json.dumps({"action": action, "id": 1, **fields}))
    while True:
        answer = json.loads(client.recv())
        if answer["type"] in {"reply", "error"}:
            return answer


def rest(client: Any) -> list[Any]:
    """Return all that still comes, up to the close."""
    frames: list[Any] = []
    while True:
        try:
            opcode, data = client.recv_data()
        except (websocket.WebSocketConnectionClosedException, OSError):
            return frames
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return frames
        frames.append(json.loads(data))


def post(app: AppUnderTest, path: str, credential: str, body: object) -> tuple[int, Any]:
    return app.post(path, json.dumps(body), Authorization=f"Bearer {credential}")


EXPIRED = {"type": "closing", "code": 4401, "reason": "expired"}
REVOKED = {"type": "closing", "code": 4403, "reason": "revoked"}


def test_from_its_expiry_on_nothing_is_taken_from_a_connection_and_nothing_reaches_it(
    app: AppUnderTest,
) -> None:
    ending = connect_many(app, *[token(f"p{number}", 60) for number in range(SOCKETS)])
    lasting = connect(app, token("alice"))
    assert ask(ending[0], "join", channel="news")["type"] == "reply"
    app.clock.now = NOW + 59.9
    sent = ask(lasting, "sendmessage", message="in time")
    assert sent["result"]["delivery"]["delivered"] == SOCKETS + 1
    app.clock.now = NOW + 60
    sent = ask(lasting, "sendmessage", message="too late")
    assert sent["result"]["delivery"]["targeted"] == 1
    talking, silent = ending[: SOCKETS // 2], ending[SOCKETS // 2 :]
    for client in talking:
        answer = ask(client, "sendmessage", message="not taken")
        assert (answer["type"], answer["error"]["code"], answer["id"]) == ("error", "expired", 1)
        assert rest(client) == [EXPIRED]
    app.clock.now = NOW + 70
    connections = app.services.connections
    # Who is closed is forgotten a moment later; a sweep before that would leave it to the next.
    eventually(lambda: len(list(members(connections, EVERYONE, -1))) == len(silent) + 1)
    counts = app.services.sweep().run(60)
    assert (counts["closed"], counts["left"], counts["unread"]) == (len(silent), 0, 0)
    for client in silent:
        assert [it.get("message", it) for it in rest(client)] == ["in time", EXPIRED]
    assert ask(lasting, "ping")["type"] == "reply"
    assert [it.principal_id for it in members(connections, EVERYONE, -1)] == ["alice"]


def test_whoever_authenticates_again_lives_on_with_what_the_new_token_says(
    app: AppUnderTest,
) -> None:
    client = connect(app, token(seconds=60))
    assert ask(client, "join", channel="news")["type"] == "reply"
    renewed = ask(client, "authenticate", token=token(seconds=600, scope="connect sendmessage"))
    assert renewed["result"] == {"expiresAt": int(NOW) + 600}
    app.clock.now = NOW + 300
    assert app.services.sweep().run(60)["closed"] == 0
    assert ask(client, "whoami")["result"]["expiresAt"] == int(NOW) + 600
    assert ask(client, "join", channel="more")["error"]["code"] == "forbidden_audience"
    publisher = connect(app, token("bob", scope="connect sendmessage:channel:*"))
    sent = ask(publisher, "sendmessage", to="channel:news", message="hi")
    assert sent["result"]["delivery"]["delivered"] == 1
    assert json.loads(client.recv())["message"] == "hi"


def test_whoever_shows_another_principals_token_keeps_what_it_has(app: AppUnderTest) -> None:
    client = connect(app, token(seconds=60))
    for bad, code in ((token("bob"), "other_principal"), ("hello", "bad_credential")):
        assert ask(client, "authenticate", token=bad)["error"]["code"] == code
    told = ask(client, "whoami")["result"]
    assert (told["principalId"], told["expiresAt"]) == ("alice", int(NOW) + 60)


def test_a_revoked_principal_is_closed_everywhere_and_kept_out(app: AppUnderTest) -> None:
    old = token()
    key_text, key = new_key("alice", Scopes.parse("connect"), NOW)
    app.keys.add(key)
    ticket = app.ticket(old)
    clients = connect_many(app, *[old] * SOCKETS, key_text)
    bystander = connect(app, token("bob"))
    status, body = post(app, "/principals/revoke", sign_operator(), {"principal": "alice"})
    assert (status, body["closed"], body["left"]) == (200, SOCKETS + 1, 0)
    sent = ask(bystander, "sendmessage", message="after")
    assert sent["result"]["delivery"]["delivered"] == 1
    for client in clients:
        assert rest(client) == [REVOKED]
    assert refusal(app, old) == refusal(app, key_text) == 403
    assert app.gateway.refusal(f"?ticket={ticket}", suppress_origin=True) == 403
    assert app.request("POST", "/tickets", Authorization=f"Bearer {old}")[0] == 403
    app.clock.now = NOW + 6
    fresh = token(iat=NOW + 6)
    assert refusal(app, fresh) == 101
    assert app.gateway.refusal(f"?ticket={app.ticket(fresh)}", suppress_origin=True) == 101
    assert refusal(app, old) == refusal(app, key_text) == 403
    assert post(app, "/principals/allow", sign_operator(), {"principal": "alice"})[0] == 200
    assert refusal(app, key_text) == refusal(app, old) == 101


def sign_operator() -> str:
    return token("operator", scope="admin connect")


def test_nobody_escapes_who_connects_while_it_is_revoked(app: AppUnderTest) -> None:
    old = token()
    statuses: list[int] = []

    def knock(_: int) -> None:
        statuses.append(refusal(app, old))

    with ThreadPoolExecutor(17) as executor:
        knocking = [executor.submit(knock, number) for number in range(100)]
        eventually(lambda: len(statuses) > 10)
        app.services.revoker().revoke("alice", 5)
        for each in knocking:
            each.result(60)
    assert set(statuses) <= {101, 403}
    assert refusal(app, old) == 403
    for audience in (EVERYONE, Audience("principal", "alice")):
        assert list(members(app.services.connections, audience, app.clock.now)) == []
    app.clock.now = NOW + 60
    app.services.sweep().run(60)
    eventually(lambda: [it["pk"]["S"] for it in app.items()] == ["notbefore#alice"])


@pytest.mark.parametrize(
    ("credential", "status"),
    [
        (token("operator", scope="connect publish"), 403),
        ("hello", 401),
    ],
)
def test_only_operators_revoke(app: AppUnderTest, credential: str, status: int) -> None:
    client = connect(app, token())
    for path in ("/principals/revoke", "/principals/allow"):
        assert post(app, path, credential, {"principal": "alice"})[0] == status
    assert ask(client, "ping")["type"] == "reply"
    assert refusal(app, token()) == 101


@pytest.mark.parametrize(
    "body", [{}, [], {"principal": ""}, {"principal": 1}, {"principal": "a", "b": 1}, "alice"]
)
def test_a_request_that_names_nobody_is_refused(app: AppUnderTest, body: object) -> None:
    assert post(app, "/principals/revoke", sign_operator(), body)[0] == 400


def test_a_revoked_operator_cannot_let_itself_in_again(app: AppUnderTest) -> None:
    operator = sign_operator()
    assert post(app, "/principals/revoke", operator, {"principal": "operator"})[0] == 200
    assert post(app, "/principals/allow", operator, {"principal": "operator"})[0] == 403
    assert refusal(app, operator) == 403


def test_no_more_connections_of_one_principal_stay_than_are_allowed(
    database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = LimitSettings(max_connections=5)
    with app_under_test(database, monkeypatch, **SETTINGS, limits=limits) as app:
        clients = connect_many(app, *[token()] * 5)
        assert {refusal(app, token()) for _ in range(3)} == {429}
        assert refusal(app, token("bob")) == 101
        clients[0].close()
        audience = Audience("principal", "alice")
        eventually(lambda: app.services.connections.count(audience, 0, None, NOW) == 4)
        assert refusal(app, token()) == 101


def test_without_a_setting_there_are_limits_where_every_principal_is_an_individual(
    database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = read_limits(Reader({}), SETTINGS["authenticators"])
    with app_under_test(database, monkeypatch, **SETTINGS, limits=limits) as app:
        clients = connect_many(app, *[token()] * 50)
        assert refusal(app, token()) == 429
        assert refusal(app, token("bob")) == 101
        for number in range(101):
            clients[number % 50].send('{"action": "ping"}')
        answers = [json.loads(clients[number % 50].recv()) for number in range(101)]
        assert sorted(it["type"] for it in answers) == ["error"] + ["reply"] * 100


def test_whoever_is_too_fast_is_told_then_closed_and_the_others_are_not(
    database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = LimitSettings(rate=Rate(2, 5))
    with app_under_test(database, monkeypatch, **SETTINGS, limits=limits) as app:
        abuser, honest = connect(app, token()), connect(app, token("bob"))
        answers = [ask(abuser, "ping") for _ in range(5 + MOST_REFUSALS)]
        assert [it["type"] for it in answers] == ["reply"] * 5 + ["error"] * MOST_REFUSALS
        assert {it["error"]["code"] for it in answers[5:]} == {"rate_limited"}
        assert answers[5]["error"]["retryAfter"] == 0.5
        closing = {"type": "closing", "code": 4429, "reason": "rate_limited"}
        assert rest(abuser) == [closing]
        assert ask(honest, "ping")["type"] == "reply"
