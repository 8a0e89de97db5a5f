"""``/keys`` behind the TOKEN authorizer, through Chalice's own test client."""

from __future__ import annotations

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
from chalicelib.credential_settings import JwtSettings
from chalicelib.managed_keys import every_key
from chalicelib.scopes import Scopes
from tests.factories import NOW, make_settings
from tests.fakes import Clock, InMemoryKeys, InMemoryRevocations
from tests.services import make_services
from tests.tokens import AUDIENCE, ISSUER, claims, key_set, sign

SETTINGS = make_settings(
    authenticators=("jwt", "api_key"),
    jwt=JwtSettings(ISSUER, (AUDIENCE,), keys=json.dumps(key_set()), scope_claim="scope"),
)
HELD = "admin admin:keys connect publish"
WANTED = {"principal": "robot", "scopes": ["connect"]}
ROUTES = [("POST", "/keys"), ("GET", "/keys"), ("DELETE", "/keys/{key_id}")]


class Application:
    """The app on fakes, and an operator with a JWT."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.keys, self.revocations, self.clock = InMemoryKeys(), InMemoryRevocations(), Clock(NOW)
        self.settings = SETTINGS
        self.executor = executor
        self.http = Client(app_module.app, stage_name="local").http
        self.token = sign(claims(scope=HELD, sub="operator"))

    def services(self) -> bootstrap.Services:
        stores: dict[str, Any] = {"keys": self.keys, "revocations": self.revocations}
        return make_services(self.executor, self.settings, now=self.clock, **stores)

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> HTTPResponse:
        headers = {
            "Authorization": f"Bearer {token or self.token}",
            "Content-Type": "application/json",
        }
        text = b"" if body is None else json.dumps(body).encode()
        return self.http.request(method, path, headers, text)

    def create(self, token: str = "", **changes: Any) -> HTTPResponse:
        return self.ask("POST", "/keys", {**WANTED, **changes}, token)

    def key_of(self, principal_id: str, scopes: str = HELD) -> tuple[str, str]:
        """Return a key and its id."""
        text, key = new_key(principal_id, Scopes.parse(scopes), NOW)
        self.keys.add(key)
        return text, key.key_id


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    with ThreadPoolExecutor(1) as executor:
        application = Application(executor)
        monkeypatch.setattr(bootstrap, "services", application.services)
        monkeypatch.setattr(bootstrap, "settings", lambda: application.settings)
        yield application


def keep_the_authorizers_answer(
    application: Application, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """Let API Gateway answer for the authorizer, as it does for a minute."""
    arn = LocalARNBuilder().build_arn("POST", "/keys")
    event = {"type": "TOKEN", "authorizationToken": f"Bearer {token}", "methodArn": arn}
    kept = Client(app_module.app, stage_name="local").lambda_.invoke("http_authorizer", event)
    for method, path in ROUTES:
        entry = app_module.app.routes[path][method]
        monkeypatch.setattr(entry.authorizer, "func", lambda _: kept.payload)


def test_a_key_is_made_listed_and_revoked(application: Application) -> None:
    made = application.create(days=1)
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    told = made.json_body
    key = told.pop("key")
    assert application.ask("GET", "/keys").json_body == {"keys": [told]}
    assert application.create(token=key).status_code == 403, "it is no operator's"
    path = f"/keys/{told['keyId']}"
    for _ in range(2):
        assert application.ask("DELETE", path).status_code == 200
    with pytest.raises(Exception, match="Unauthorized"):
        application.create(token=key)


@pytest.mark.parametrize("scope", ["admin", "connect publish"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_other_scope_is_enough(
    application: Application, scope: str, method: str, path: str
) -> None:
    token = sign(claims(scope=scope, sub="operator"))
    assert application.ask(method, path.format(key_id="0" * 16), WANTED, token).status_code == 403
    assert list(every_key(application.keys)) == []


def test_keys_beget_no_scopes_that_nobody_granted(application: Application) -> None:
    made = application.create(scopes=["admin:keys", "connect"])
    child = made.json_body["key"]
    assert application.create(child, scopes=["publish"]).status_code == 403
    grandchild = application.create(child, scopes=["connect"]).json_body
    assert (grandchild["createdBy"], grandchild["scopes"]) == ("robot", ["connect"])


def test_an_operator_who_is_revoked_while_the_policy_is_kept_makes_no_keys(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = application.create().json_body["keyId"]
    keep_the_authorizers_answer(application, monkeypatch, application.token)
    application.revocations.revoke("operator", int(NOW))
    for method, path in ROUTES:
        refused = application.ask(method, path.format(key_id=key_id), WANTED)
        assert (refused.status_code, refused.json_body["error"]["code"]) == (403, "forbidden")
    assert [key.revoked for key in every_key(application.keys)] == [False]
    application.revocations.allow("operator")
    assert application.create().status_code == 201


def test_a_key_that_is_revoked_while_the_policy_is_kept_makes_no_others(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, key_id = application.key_of("robot")
    keep_the_authorizers_answer(application, monkeypatch, text)
    assert application.create(text).status_code == 201
    application.keys.revoke(key_id)
    for method, path in [*ROUTES, ("GET", "/connections")]:
        refused = application.ask(method, path.format(key_id=key_id), WANTED, text)
        assert refused.status_code == 403, path
    assert len(list(every_key(application.keys))) == 2


def test_a_key_made_for_a_revoked_principal_is_kept_out_until_that_is_allowed(
    application: Application,
) -> None:
    application.revocations.revoke("robot", int(NOW) - 100)
    made = application.create(scopes=["admin:keys", "connect"])
    assert made.status_code == 201
    assert application.create(made.json_body["key"]).status_code == 403
    application.revocations.allow("robot")
    assert application.create(made.json_body["key"]).status_code == 201


def test_a_stage_without_keys_has_none(application: Application) -> None:
    application.settings = make_settings(authenticators=("jwt",), jwt=SETTINGS.jwt)
    for method, path in ROUTES:
        found = application.ask(method, path.format(key_id="0" * 16), WANTED)
        assert (found.status_code, found.json_body["error"]["code"]) == (404, "not_found")


def test_the_log_says_who_made_and_revoked_what_and_no_secret(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        made = application.create().json_body
        application.ask("GET", "/keys")
        application.ask("DELETE", f"/keys/{made['keyId']}")
        application.ask("DELETE", f"/keys/{made['key']}")
    lines = [json.loads(it.getMessage()) for it in caplog.records if it.name == "portcullis"]
    lines = [line for line in lines if line["decision"] != "authorize_http"]
    assert [(it["decision"], it["reason"], it.get("of"), it.get("key")) for it in lines] == [
        ("create_key", "ok", "robot", made["keyId"]),
        ("list_keys", "ok", None, None),
        ("revoke_key", "ok", None, made["keyId"]),
        ("revoke_key", "not_found", None, None),
    ]
    assert {line["principalId"] for line in lines} == {"operator"}
    assert made["key"].split("_", 2)[2] not in caplog.text


@pytest.mark.parametrize("path", ["/principals/revoke", "/principals/allow"])
def test_the_log_says_of_whom_a_revocation_was(
    application: Application, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    with caplog.at_level(logging.INFO):
        assert application.ask("POST", path, {"principal": "mallory"}).status_code == 200
    line = json.loads(caplog.records[-1].getMessage())
    assert (line["decision"], line["of"]) == (path.rpartition("/")[2], "mallory")


def test_a_credential_given_for_a_name_is_not_kept_and_not_logged(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    key, _ = application.key_of("robot")
    kept = len(list(every_key(application.keys)))
    with caplog.at_level(logging.DEBUG):
        for credential in (key, application.token):
            for path in ("/principals/revoke", "/principals/allow"):
                named = application.ask("POST", path, {"principal": credential})
                assert (named.status_code, named.json_body["error"]["code"]) == (
                    400,
                    "invalid_field",
                )
            assert application.create(principal=credential).status_code == 400
            path = f"/principals/{credential}/connections"
            assert application.ask("DELETE", path).status_code == 200, "nobody has that name"
    assert len(list(every_key(application.keys))) == kept
    assert [application.revocations.not_before(it) for it in (key, application.token)] == [
        None,
        None,
    ]
    assert key not in caplog.text
    assert application.token not in caplog.text
