"""POST /tickets behind the TOKEN authorizer, through Chalice's own test client."""

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chalice.local import LocalARNBuilder
from chalice.test import Client, HTTPResponse

import app as app_module
from chalicelib import bootstrap
from chalicelib.authorizers.api_key import new_key
from chalicelib.bootstrap import Services
from chalicelib.credential_settings import JwtSettings
from chalicelib.http_routes import ROUTE_SCOPES, route_name
from chalicelib.scopes import Scopes
from chalicelib.settings import Settings
from localgateway.iam import is_allowed
from tests.factories import METHOD_ARN, NOW, authorizer_event, make_settings
from tests.fakes import (
    Clock,
    InMemoryKeys,
    InMemoryRevocations,
    InMemoryTickets,
)
from tests.forged_tokens import forged_tokens
from tests.services import make_services
from tests.tokens import AUDIENCE, ISSUER, MARKER, claims, key_set, sign

ORIGIN = "https://app.example.com"
POST_TICKETS = "arn:aws:execute-api:us-east-1:123456789012:abcdef1234/api/POST/tickets"
SHARED = f"{MARKER}-shared-token"
SETTINGS = make_settings(
    authenticators=("shared_token", "jwt", "api_key", "ticket"),
    shared_token=SHARED,
    jwt=JwtSettings(ISSUER, (AUDIENCE,), keys=json.dumps(key_set()), scope_claim="scope"),
    allowed_origins=frozenset({ORIGIN}),
)
GOOD = sign(claims(scope="connect"))
WITHOUT_SCOPE = sign(claims(scope="sendmessage", sub="bob"))
FORGED = forged_tokens()


class Application:
    """The app on fakes: its client, its stores and its clock."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.keys, self.tickets, self.clock = InMemoryKeys(), InMemoryTickets(), Clock(NOW)
        self.revocations = InMemoryRevocations()
        self.settings: Settings = SETTINGS
        self.executor = executor
        self.client = Client(app_module.app, stage_name="local")

    def services(self) -> Services:
        return make_services(
            self.executor,
            self.settings,
            keys=self.keys,
            tickets=self.tickets,
            revocations=self.revocations,
            now=self.clock,
        )

    def post(self, token: str | None, **headers: str) -> HTTPResponse:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self.client.http.post("/tickets", headers=headers)

    def authorize(self, token: str, arn: str = POST_TICKETS) -> Any:
        event = {"type": "TOKEN", "authorizationToken": token, "methodArn": arn}
        return self.client.lambda_.invoke("http_authorizer", event).payload

    def connect(self, ticket: str, origin: str | None = None) -> Any:
        headers = [] if origin is None else [("Origin", origin)]
        event = authorizer_event(headers=headers, query=[("ticket", ticket)])
        return self.client.lambda_.invoke("websocket_authorizer", event).payload


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    with ThreadPoolExecutor(1) as executor:
        application = Application(executor)
        monkeypatch.setattr(bootstrap, "services", application.services)
        monkeypatch.setattr(bootstrap, "settings", lambda: application.settings)
        yield application


def test_a_credential_with_the_scope_gets_a_ticket_that_lets_in_once(
    application: Application,
) -> None:
    response = application.post(GOOD)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json_body.keys() == {"ticket", "expiresIn"}
    assert response.json_body["expiresIn"] == 30
    answer = application.connect(response.json_body["ticket"])
    assert is_allowed(answer["policyDocument"], METHOD_ARN, "192.0.2.7")
    assert answer["principalId"] == "alice"
    assert answer["context"] == {
        "token": "ticket",
        "expiresAt": int(NOW) + 600,
        "demonstration": False,
        "scopes": "connect",
        "issuedAt": int(NOW) - 60,
    }
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        application.connect(response.json_body["ticket"])


@pytest.mark.parametrize("kind", ["shared_token", "jwt", "api_key"])
def test_every_kind_that_fits_the_header_gets_one(application: Application, kind: str) -> None:
    key, kept = new_key("robot", Scopes.parse("connect"), NOW)
    application.keys.add(kept)
    token = {"shared_token": SHARED, "jwt": GOOD, "api_key": key}[kind]
    ticket = application.post(token).json_body["ticket"]
    context = application.connect(ticket)["context"]
    assert context.get("key") == (kept.key_id if kind == "api_key" else None)


def test_the_whole_address_is_told_where_it_is_known(application: Application) -> None:
    application.settings = make_settings(
        authenticators=("shared_token", "ticket"),
        shared_token=SHARED,
        websocket_url="wss://ws.example.com/api",
    )
    body = application.post(SHARED).json_body
    assert body["url"] == f"wss://ws.example.com/api?ticket={body['ticket']}"


def test_without_the_scope_it_is_forbidden(application: Application) -> None:
    assert application.post(WITHOUT_SCOPE).status_code == 403
    assert application.tickets.tickets == {}


def test_without_the_header_it_is_unauthorized(application: Application) -> None:
    response = application.post(None)
    assert (response.status_code, response.json_body) == (401, {"message": "Unauthorized"})


def test_a_bad_credential_raises_what_api_gateway_turns_into_a_401(
    application: Application,
) -> None:
    # Chalice's test client lets it through, `chalice local` drops the request.
    with pytest.raises(Exception, match=r"^Unauthorized$") as caught:
        application.post("wrong")
    assert type(caught.value) is Exception


BAD = {
    **FORGED,
    "empty": "",
    "a ticket": "A" * 43,
    "not ASCII": "é\u202e",
    "half a character": "\ud800",
    "a megabyte": "a." * 500_000,
    "a key that is none": "pk_" + "0" * 16 + "_" + "A" * 43,
    "a new line": "a\nb",
}


@pytest.mark.parametrize("token", BAD.values(), ids=BAD)
def test_any_bad_credential_is_unauthorized_and_never_a_fault(
    application: Application, token: str
) -> None:
    for text in (f"Bearer {token}", token, f"Basic {token}"):
        with pytest.raises(Exception, match=r"^Unauthorized$") as caught:
            application.authorize(text)
        assert type(caught.value) is Exception
    assert application.tickets.tickets == {}


@pytest.mark.parametrize("route", ["POST/tickets", "GET/health", "DELETE/a/b", "GET/a b?*\n"])
def test_the_policy_is_the_same_for_every_route_so_that_it_may_be_kept(
    application: Application, route: str
) -> None:
    arn = POST_TICKETS.replace("POST/tickets", route)
    policy = application.authorize(f"Bearer {GOOD}", arn)["policyDocument"]
    (statement,) = policy["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Allow", [POST_TICKETS])
    denied = application.authorize(f"Bearer {WITHOUT_SCOPE}", arn)["policyDocument"]
    assert not is_allowed(denied, POST_TICKETS, "192.0.2.7")


def test_every_route_with_an_authorizer_says_which_scope_it_asks_for() -> None:
    protected = {
        route_name(method, path)
        for path, methods in app_module.app.routes.items()
        for method, entry in methods.items()
        if entry.authorizer is not None
    }
    assert protected == set(ROUTE_SCOPES)


def test_a_credential_that_ended_while_the_policy_was_kept_gets_no_ticket(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = LocalARNBuilder().build_arn("POST", "/tickets")
    kept = application.authorize(f"Bearer {GOOD}", arn)
    authorizer = app_module.app.routes["/tickets"]["POST"].authorizer
    monkeypatch.setattr(authorizer, "func", lambda request: kept)
    assert application.post(GOOD).status_code == 200
    application.clock.now = NOW + 600
    response = application.post(GOOD)
    assert response.status_code == 401
    assert "Traceback" not in response.body.decode()


@pytest.mark.parametrize("path", ["/principals/revoke", "/principals/allow"])
def test_an_operator_who_was_revoked_while_the_policy_was_kept_manages_nobody(
    application: Application, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    operator = sign(claims(scope="admin", sub="operator"))
    arn = LocalARNBuilder().build_arn("POST", path)
    kept = application.authorize(f"Bearer {operator}", arn)
    monkeypatch.setattr(app_module.app.routes[path]["POST"].authorizer, "func", lambda _: kept)
    headers = {"Authorization": f"Bearer {operator}", "Content-Type": "application/json"}
    body = b'{"principal": "operator"}'
    application.revocations.revoke("operator", int(NOW))
    assert application.client.http.post(path, headers=headers, body=body).status_code == 403
    application.revocations.allow("operator")
    assert application.client.http.post(path, headers=headers, body=body).status_code == 200
    application.clock.now = NOW + 600
    assert application.client.http.post(path, headers=headers, body=body).status_code == 401


def test_an_api_deployed_without_the_authorizer_gives_out_nothing(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = app_module.app.routes["/tickets"]["POST"]
    monkeypatch.setattr(entry, "authorizer", None)
    assert application.post(None).status_code == 401
    assert application.tickets.tickets == {}


@pytest.mark.parametrize(
    ("asked_from", "status"), [(ORIGIN, 200), ("https://evil.example", 403), ("null", 403)]
)
def test_a_page_of_another_origin_gets_no_ticket(
    application: Application, asked_from: str, status: int
) -> None:
    assert application.post(GOOD, Origin=asked_from).status_code == status


@pytest.mark.parametrize("used_from", [None, "https://evil.example", "http://app.example.com"])
def test_a_ticket_of_a_page_is_denied_elsewhere(
    application: Application, used_from: str | None
) -> None:
    ticket = application.post(GOOD, Origin=ORIGIN).json_body["ticket"]
    answer = application.connect(ticket, used_from)
    assert not is_allowed(answer["policyDocument"], METHOD_ARN, "192.0.2.7")
    assert answer["principalId"] == "alice"


def test_a_stage_without_tickets_has_none(application: Application) -> None:
    application.settings = make_settings(shared_token=SHARED)
    assert application.post(SHARED).status_code == 404
    assert application.tickets.tickets == {}


def test_each_decision_is_one_line_without_a_credential(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="portcullis")
    ticket = application.post(GOOD, Origin=ORIGIN).json_body["ticket"]
    application.post(GOOD, Origin="https://evil.example")
    application.post(WITHOUT_SCOPE)
    with pytest.raises(Exception, match="Unauthorized"):
        application.post("wrong")
    lines = [json.loads(it.message) for it in caplog.records if it.name == "portcullis"]
    assert [(it["decision"], it["reason"], it["principalId"], it["sourceIp"]) for it in lines] == [
        ("authorize_http", "ok", "alice", None),
        ("ticket", "ok", "alice", "127.0.0.1"),
        ("authorize_http", "ok", "alice", None),
        ("ticket", "origin_not_allowed", "alice", "127.0.0.1"),
        ("authorize_http", "missing_scope", "bob", None),
        ("authorize_http", "no_credentials", None, None),
    ]
    for secret in (ticket, MARKER, *GOOD.split("."), "wrong"):
        assert secret not in caplog.text
