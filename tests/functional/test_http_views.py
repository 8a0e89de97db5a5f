"""Views look at their caller themselves, and know their API from the deployment alone."""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from chalice.test import Client

import app as app_module
from chalicelib import bootstrap
from chalicelib.authorizers.api_key import new_key
from chalicelib.bootstrap import Services
from chalicelib.errors import ConfigurationError, ServiceUnavailable
from chalicelib.http_routes import ROUTE_SCOPES, route_name
from chalicelib.scopes import Scopes
from tests.factories import NOW, make_connection, make_settings
from tests.fakes import InMemoryKeys
from tests.services import make_services

PROTECTED = [
    (method, path)
    for path, methods in app_module.app.routes.items()
    for method, entry in methods.items()
    if entry.authorizer is not None
]


class TimeEnough:
    """Lambda's context."""

    def get_remaining_time_in_millis(self) -> int:
        return 20_000


@pytest.fixture(autouse=True)
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    with ThreadPoolExecutor(1) as executor:
        services = make_services(executor)
        monkeypatch.setattr(bootstrap, "services", lambda: services)
        monkeypatch.setattr(bootstrap, "settings", make_settings)
        yield services


def ask(
    method: str, path: str, authorizer: Mapping[str, str] | None, body: object = None
) -> tuple[int, str]:
    """Ask a view as API Gateway does once its authorizer has spoken, or was forgotten."""
    context: dict[str, Any] = {"httpMethod": method, "resourcePath": path, "path": path}
    if authorizer is not None:
        context["authorizer"] = authorizer
    event = {
        "requestContext": context,
        "headers": {"Content-Type": "application/json"},
        "body": None if body is None else json.dumps(body),
        "pathParameters": dict.fromkeys(re.findall(r"\{(\w+)\}", path), "a"),
        "multiValueQueryStringParameters": None,
        "stageVariables": None,
    }
    answer = app_module.app(event, TimeEnough())
    return answer["statusCode"], json.loads(answer["body"]).get("error", {}).get("code", "ok")


def who(scopes: str, expires_at: float) -> dict[str, str]:
    times = {"expiresAt": str(int(expires_at)), "demonstration": "false", "token": "jwt"}
    return {"principalId": "alice", "scopes": scopes, **times}


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_an_api_deployed_without_the_authorizer_lets_nobody_in(method: str, path: str) -> None:
    assert ask(method, path, None) == (401, "unauthorized")


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_a_credential_that_has_ended_since_it_was_looked_at_is_refused(
    method: str, path: str
) -> None:
    every = " ".join(set(ROUTE_SCOPES.values()))
    assert ask(method, path, who(every, NOW)) == (401, "unauthorized")


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_a_credential_without_the_scope_of_the_route_is_refused(method: str, path: str) -> None:
    needed = ROUTE_SCOPES[route_name(method, path)]
    others = " ".join({*ROUTE_SCOPES.values(), "sendmessage:*", "join:*"} - {needed})
    assert ask(method, path, who(others, NOW + 60)) == (403, "forbidden")


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_a_principal_revoked_while_the_authorizers_answer_was_kept_is_refused(
    services: Services, method: str, path: str
) -> None:
    services.revocations.revoke("alice", int(NOW))
    every = " ".join(set(ROUTE_SCOPES.values()))
    assert ask(method, path, who(every, NOW + 60)) == (403, "forbidden")


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_a_key_revoked_while_the_authorizers_answer_was_kept_is_refused(
    monkeypatch: pytest.MonkeyPatch, services: Services, method: str, path: str
) -> None:
    keys = InMemoryKeys()
    _, key = new_key("alice", Scopes.parse("connect"), NOW)
    keys.add(replace(key, revoked=True))
    monkeypatch.setattr(bootstrap, "services", lambda: replace(services, keys=keys))
    every = " ".join(set(ROUTE_SCOPES.values()))
    shown = {**who(every, NOW + 60), "key": key.key_id}
    assert ask(method, path, shown) == (403, "forbidden")


@pytest.mark.parametrize(
    ("route", "body", "named"),
    [
        ("POST /principals/revoke", {"principal": "bob"}, {"of": "bob"}),
        ("POST /principals/allow", {"principal": "bob"}, {"of": "bob"}),
        ("DELETE /principals/{principal_id}/connections", None, {"of": "a"}),
        ("GET /connections/{connection_id}", None, {"connectionId": "a"}),
        ("DELETE /connections/{connection_id}", None, {"connectionId": "a"}),
        ("GET /connections", None, {}),
        ("POST /principals/revoke", {"principal": "bob\n"}, {}),
    ],
)
def test_the_log_says_with_whom_an_operator_has_dealt(
    services: Services,
    caplog: pytest.LogCaptureFixture,
    route: str,
    body: Any,
    named: dict[str, str],
) -> None:
    method, path = route.split()
    services.connections.add(make_connection("a", "a"))
    with caplog.at_level(logging.INFO, logger="portcullis"):
        ask(method, path, who("admin", NOW + 60), body)
    (line,) = (json.loads(it.message) for it in caplog.records if it.name == "portcullis")
    assert line["principalId"] == "alice"
    found = {key: line.get(key) for key in ("of", "connectionId")}
    assert found == {"of": None, "connectionId": None, **named}


def test_what_goes_wrong_inside_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for problem, expected in (
        (ConfigurationError("s3cret"), (500, "internal_error")),
        (RuntimeError("s3cret"), (500, "internal_error")),
        (ServiceUnavailable("s3cret"), (503, "service_unavailable")),
    ):

        def broken(error: Exception = problem) -> tuple[str, str]:
            raise error

        with ThreadPoolExecutor(1) as executor:
            services = make_services(executor, websocket_api=broken)
            monkeypatch.setattr(bootstrap, "services", lambda found=services: found)
            with caplog.at_level(logging.CRITICAL, logger="portcullis"):
                found = ask("GET", "/connections", who("admin", NOW + 60))
        assert found == expected


def test_health_is_503_where_the_table_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(1) as executor:
        services = make_services(executor, table_answers=lambda: False)
        monkeypatch.setattr(bootstrap, "services", lambda: services)
        response = Client(app_module.app, stage_name="local").http.get("/health")
    assert response.status_code == 503
    assert (response.json_body["status"], response.json_body["table"]) == (
        "degraded",
        "unreachable",
    )


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"websocket_api_id": "abc123", "websocket_stage": "api"}, ("abc123", "api")),
        ({"management_endpoint": "http://127.0.0.1:8000/api"}, ("local", "api")),
        ({"websocket_api_id": "${ApiId}", "websocket_stage": "api"}, None),
        ({"websocket_api_id": "abc123", "websocket_stage": "${Stage}"}, None),
        ({"websocket_api_id": "a/b", "websocket_stage": "api"}, None),
        ({"websocket_api_id": "abc123"}, None),
        ({}, None),
    ],
)
def test_the_api_is_the_one_the_deployment_names(
    given: dict[str, str], found: tuple[str, str] | None
) -> None:
    settings = make_settings(**given)
    if found is None:
        with pytest.raises(ConfigurationError, match="WEBSOCKET_"):
            bootstrap.websocket_api(settings)
    else:
        assert bootstrap.websocket_api(settings) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", "*"),
        ("*", "*"),
        ("none", None),
        ("https://app.example.com", "https://app.example.com"),
        ("https://app.example.com/", ConfigurationError),
        ("app.example.com", ConfigurationError),
        ("https://a.example, https://b.example", ConfigurationError),
    ],
)
def test_pages_that_may_ask_are_a_setting(
    monkeypatch: pytest.MonkeyPatch, value: str, found: Any
) -> None:
    monkeypatch.setenv("CORS_ALLOW_ORIGIN", value)
    if found is ConfigurationError:
        with pytest.raises(ConfigurationError, match="CORS_ALLOW_ORIGIN"):
            bootstrap.cors_allow_origin()
    else:
        assert bootstrap.cors_allow_origin() == found
