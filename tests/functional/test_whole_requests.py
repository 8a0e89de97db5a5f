"""The HTTP authorizer as REQUEST: in the packaged template, and behind the local gateway."""

from __future__ import annotations

import http.client
import importlib.util
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from chalicelib import api, bootstrap
from chalicelib.api import connection_table
from chalicelib.credential_settings import JwtSettings, Place
from chalicelib.errors import ConfigurationError
from localgateway.database import EmbeddedDatabase
from tests.app_under_test import AppUnderTest, app_under_test
from tests.chalice_project import ROOT, ChaliceProject
from tests.cloudformation import of_type
from tests.factories import make_settings
from tests.forged_tokens import forged_tokens
from tests.functional.test_chalice_local import chalice_local
from tests.gateway_process import GatewayProcess
from tests.tokens import AUDIENCE, ISSUER, claims, key_set, sign


@pytest.fixture
def project(tmp_path: Path) -> ChaliceProject:
    return ChaliceProject.copy(tmp_path)


def package(project: ChaliceProject, **variables: str) -> dict[str, Any]:
    def change(config: dict[str, Any]) -> None:
        config["stages"]["dev"]["environment_variables"] |= variables

    project.configure(change)
    return project.package("dev")


def authorizer(template: dict[str, Any]) -> dict[str, Any]:
    body = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    found: dict[str, Any] = body["securityDefinitions"]["http_authorizer"]
    return found


def test_the_template_says_which_kind_it_is_and_is_valid(project: ChaliceProject) -> None:
    token = authorizer(package(project))["x-amazon-apigateway-authorizer"]
    assert token["type"] == "token"
    template = package(project, HTTP_AUTHORIZER="request")
    request = authorizer(template)["x-amazon-apigateway-authorizer"]
    assert request == {
        **token,
        "type": "request",
        "identitySource": "method.request.header.token",
        "authorizerResultTtlInSeconds": 60,
    }
    assert authorizer(template)["x-amazon-apigateway-authtype"] == "custom"
    allowed = of_type(template, "AWS::Lambda::Permission").values()
    assert {"Ref": "HttpAuthorizer"} in [it["FunctionName"] for it in allowed]
    assert project.lint("out/sam.json") == (0, "", "")


def test_where_ways_in_differ_nothing_is_kept(project: ChaliceProject) -> None:
    variables = {"HTTP_AUTHORIZER": "request", "AUTHENTICATORS": "shared_token,api_key,ticket"}
    request = authorizer(package(project, **variables))["x-amazon-apigateway-authorizer"]
    assert request["type"] == "request"
    assert "identitySource" not in request
    assert request["authorizerResultTtlInSeconds"] == 0


JWT = JwtSettings("https://issuer.example", ("portcullis",))


@pytest.mark.parametrize(
    ("settings", "sources"),
    [
        pytest.param({}, ["method.request.header.token"], id="shared token"),
        pytest.param(
            {"authenticators": ("jwt", "api_key", "ticket"), "jwt": JWT},
            ["method.request.header.Authorization"],
            id="two kinds in one place",
        ),
        pytest.param(
            {"authenticators": ("request_parameters",)},
            ["method.request.header.HeaderAuth1", "method.request.querystring.QueryString1"],
            id="parameters",
        ),
        pytest.param(
            {"authenticators": ("request_parameters",), "stage_variable_name": "StageVar1"},
            [
                "method.request.header.HeaderAuth1",
                "method.request.querystring.QueryString1",
                "stageVariables.StageVar1",
            ],
            id="parameters and a stage variable",
        ),
        pytest.param(
            {
                "authenticators": ("request_parameters", "api_key"),
                "credential_places": (Place("header", "HeaderAuth1"),),
            },
            [],
            id="a part of one way is all of another",
        ),
        pytest.param({"authenticators": ("ticket",)}, [], id="none for HTTP"),
    ],
)
def test_an_answer_is_kept_for_all_that_decides_or_not_at_all(
    settings: dict[str, Any], sources: list[str]
) -> None:
    assert api.http_identity_sources(make_settings(**settings)) == sources


@pytest.fixture(scope="module")
def app_module() -> Iterator[ModuleType]:
    """The app as it is imported where requests are authorized as a whole."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTP_AUTHORIZER", "request")
        spec = importlib.util.spec_from_file_location("app_of_requests", ROOT / "app.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "app_of_requests", module)
        spec.loader.exec_module(module)
        yield module


def test_a_wrong_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_AUTHORIZER", "none")
    with pytest.raises(ConfigurationError, match="HTTP_AUTHORIZER"):
        bootstrap.authorizes_whole_requests()


def test_a_token_event_lets_nobody_in(
    app_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the app was deployed without its extension."""
    settings = make_settings()
    monkeypatch.setattr(bootstrap, "settings", lambda: settings)
    services = bootstrap.build(settings, lambda: pytest.fail("no credentials are needed"))
    monkeypatch.setattr(bootstrap, "services", lambda: services)
    event = {
        "type": "TOKEN",
        "authorizationToken": "Bearer hello",
        "methodArn": "arn:aws:execute-api:us-east-1:123456789012:abcdef1234/api/POST/tickets",
    }
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        app_module.http_authorizer(event, None)
    services.executor.shutdown()


# Behind the local gateway, over the network


PARAMETERS: dict[str, Any] = {
    "authenticators": ("request_parameters", "ticket"),
    "header_auth_value": "h3ader",
    "query_string_value": "qu3ry",
}


@pytest.fixture
def parameters(
    database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch, app_module: ModuleType
) -> Iterator[AppUnderTest]:
    with app_under_test(database, monkeypatch, app_module, **PARAMETERS) as running:
        yield running


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        pytest.param("?QueryString1=qu3ry", {"HeaderAuth1": "h3ader"}, 200, id="both right"),
        pytest.param("?QueryString1=qu3ry", {"headerauth1": "h3ader"}, 200, id="any case"),
        pytest.param("", {"HeaderAuth1": "h3ader"}, 401, id="no parameter"),
        pytest.param("?QueryString1=qu3ry", {}, 401, id="no header"),
        pytest.param("?QueryString1=wrong", {"HeaderAuth1": "h3ader"}, 401, id="wrong parameter"),
        pytest.param("?QueryString1=qu3ry", {"HeaderAuth1": "wrong"}, 401, id="wrong header"),
        pytest.param(
            "?QueryString1=qu3ry&QueryString1=x", {"HeaderAuth1": "h3ader"}, 401, id="twice"
        ),
        pytest.param("", {"Authorization": "Bearer h3ader"}, 401, id="as a bearer token"),
    ],
)
def test_headers_and_query_parameters_decide(
    parameters: AppUnderTest, query: str, headers: dict[str, str], status: int
) -> None:
    assert parameters.request("POST", f"/tickets{query}", **headers)[0] == status
    assert len(parameters.items()) == (status == 200)


def test_a_stage_variable_decides_too(
    database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch, app_module: ModuleType
) -> None:
    expected = {"stage_variable_name": "StageVar1", "stage_variable_value": "stag3"}
    headers = {"HeaderAuth1": "h3ader"}
    for variables, status in (({"StageVar1": "stag3"}, 200), ({"StageVar1": "x"}, 401), ({}, 401)):
        settings = {**PARAMETERS, **expected, "stage_variables": variables}
        with app_under_test(database, monkeypatch, app_module, **settings) as running:
            found = running.request("POST", "/tickets?QueryString1=qu3ry", **headers)
        assert found[0] == status


GUIDE = {
    "HTTP_AUTHORIZER": "request",
    "CONSOLE": "off",
    "AUTHENTICATORS": "request_parameters",
    "HEADER_AUTH_VALUE": "headerValue1",
    "QUERY_STRING_VALUE": "queryValue1",
    "STAGE_VARIABLE_VALUE": "stageValue1",
    "STAGE_VARIABLES": "StageVar1=stageValue1",
}


def test_the_settings_of_awss_guide_are_served_as_they_are_documented() -> None:
    options = [it for name, value in GUIDE.items() for it in ("--env", f"{name}={value}")]
    header = {"HeaderAuth1": "headerValue1"}
    with GatewayProcess("--stage", "local", *options) as gateway:
        connections = f"{gateway.http_url}/connections?audience=everyone"
        assert get(f"{connections}&QueryString1=queryValue1", header) == 200
        assert get(f"{connections}&QueryString1=queryValue1", {}) == 401
        assert get(connections, header) == 401
        assert gateway.output.count("authorize_http") == 1, "a source was missing, or it was kept"
        assert get(f"{connections}&QueryString1=queryValue2", header) == 401
        assert gateway.output.count("authorize_http") == 2
    narrow = [*options, "--env", "DEFAULT_SCOPES=connect sendmessage"]
    with GatewayProcess("--stage", "local", *narrow) as gateway:
        connections = f"{gateway.http_url}/connections?audience=everyone"
        assert get(f"{connections}&QueryString1=queryValue1", header) == 403


def get(url: str, headers: Mapping[str, str]) -> int:
    request = urllib.request.Request(url, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


def test_plain_chalice_asks_only_with_an_authorization_and_knows_no_stage_variables(
    tmp_path: Path, database: EmbeddedDatabase
) -> None:
    database.create_table(connection_table("guide-chalice-local"))
    known = {
        "TABLE_NAME": "guide-chalice-local",
        "AWS_ENDPOINT_URL_DYNAMODB": database.endpoint_url,
    }
    without = {name: it for name, it in GUIDE.items() if not name.startswith("STAGE_VARIABLE")}
    header, bearer = {"HeaderAuth1": "headerValue1"}, {"Authorization": "anything"}
    path = "/connections?audience=everyone&QueryString1=queryValue1"
    with chalice_local(tmp_path / "without", **known, **without) as port:
        url = f"http://127.0.0.1:{port}{path}"
        assert get(url, header) == 401
        assert get(url, {**header, **bearer}) == 200
    with (
        chalice_local(tmp_path / "with", **known, **GUIDE) as port,
        pytest.raises(http.client.RemoteDisconnected),  # AWS answers 200
    ):
        get(f"http://127.0.0.1:{port}{path}", {**header, **bearer})


PLACES = (Place("bearer"), Place("header", "X-Credential"), Place("query", "jwt"))


@pytest.fixture
def app(
    database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch, app_module: ModuleType
) -> Iterator[AppUnderTest]:
    """Tokens in any of three places."""
    jwt = JwtSettings(ISSUER, (AUDIENCE,), keys=key_set_text(), scope_claim="scope")
    settings: dict[str, Any] = {
        "authenticators": ("jwt", "ticket"),
        "jwt": jwt,
        "credential_places": PLACES,
    }
    with app_under_test(database, monkeypatch, app_module, **settings) as running:
        yield running


def key_set_text() -> str:
    return json.dumps(key_set())


def statuses(app: AppUnderTest, token: str) -> list[int]:
    """Show a token in each of the places that can hold it."""
    shown = [
        app.request("POST", "/tickets", Authorization=f"Bearer {token}")[0],
        app.request("POST", "/tickets", **{"X-Credential": token})[0],
    ]
    if re.fullmatch(r"[\w.-]*", token, re.ASCII) and len(token) < 4000:
        shown.append(app.request("POST", f"/tickets?jwt={token}")[0])
    return shown


def test_a_token_is_found_wherever_a_handshake_may_have_it(app: AppUnderTest) -> None:
    assert statuses(app, sign(claims(scope="connect"))) == [200] * 3
    assert statuses(app, sign(claims(scope="publish"))) == [403] * 3


def test_a_query_parameter_of_the_credentials_is_no_parameter_of_the_route(
    app: AppUnderTest,
) -> None:
    token = sign(claims(scope="admin"))
    assert app.request("GET", f"/connections?limit=5&jwt={token}")[0] == 200
    bearer = {"Authorization": f"Bearer {token}"}
    assert app.request("GET", "/connections?QueryString1=x", **bearer)[0] == 400


def test_no_forged_token_gets_in_anywhere(app: AppUnderTest) -> None:
    found: list[int] = []
    for token in forged_tokens().values():
        if token.isprintable() and token.isascii() and token.strip() and len(token) < 9000:
            found += statuses(app, token)
    assert set(found) == {401}
    assert len(found) > 800
    assert app.items() == []


def test_a_ticket_buys_no_other_ticket(app: AppUnderTest) -> None:
    ticket = app.ticket(sign(claims(scope="connect")))
    assert app.request("POST", f"/tickets?ticket={ticket}")[0] == 401
    assert app.gateway.refusal(f"?ticket={ticket}", suppress_origin=True) == 101
