"""Putting the services together: lazily, without secrets, boto3 or a network."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib import bootstrap
from chalicelib.authorizers import authenticate
from chalicelib.authorizers.request_parameters import RequestParameters
from chalicelib.authorizers.shared_token import SharedToken
from chalicelib.aws import Credentials
from chalicelib.errors import ConfigurationError, ServiceUnavailable
from chalicelib.settings import StoredName
from tests.factories import authorizer_request, make_settings
from tests.fakes import ScriptedServer

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret")
REQUEST_PARAMETERS = {
    "authorizer": "request_parameters",
    "header_auth_value": "h",
    "query_string_value": "q",
}


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An execution environment in which nothing has been built yet."""
    bootstrap.settings.cache_clear()
    bootstrap.services.cache_clear()
    yield monkeypatch
    bootstrap.settings.cache_clear()
    bootstrap.services.cache_clear()


def test_the_setting_chooses_the_authenticator() -> None:
    (shared_token,) = bootstrap.authenticators(make_settings())
    (parameters,) = bootstrap.authenticators(make_settings(**REQUEST_PARAMETERS))
    assert isinstance(shared_token, SharedToken)
    assert isinstance(parameters, RequestParameters)


def test_services_are_built_without_a_secret_and_only_the_authenticator_misses_it() -> None:
    services = bootstrap.build(make_settings(shared_token=None), lambda: CREDENTIALS)
    with pytest.raises(ConfigurationError, match="SHARED_TOKEN"):
        services.authenticators()


def test_services_need_a_region() -> None:
    with pytest.raises(ConfigurationError, match="AWS_REGION"):
        bootstrap.build(make_settings(region=None), lambda: CREDENTIALS)


def test_each_stage_has_a_management_api_of_its_own_and_keeps_it() -> None:
    services = bootstrap.build(make_settings(), lambda: CREDENTIALS)
    first = services.management_api("a1", "dev")
    assert services.management_api("a1", "dev") is first
    assert services.management_api("a1", "prod") is not first
    assert services.management_api("b2", "dev") is not first


REFUSED = b'HTTP/1.1 400 Bad Request\r\nContent-Length: 20\r\n\r\n{"__type":"Refused"}'
NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("store", "variable", "target"),
    [
        ("parameter", "ssm_endpoint", b"AmazonSSM.GetParameter"),
        ("secret", "secrets_manager_endpoint", b"secretsmanager.GetSecretValue"),
    ],
)
@pytest.mark.parametrize("is_specific", [True, False])
def test_a_stored_secret_is_asked_for_where_settings_say(
    store: Any, variable: str, target: bytes, is_specific: bool
) -> None:
    with ScriptedServer([[REFUSED]]) as server:
        endpoints = {"endpoint": server.origin}
        if is_specific:
            endpoints = {"endpoint": NOWHERE, variable: server.origin}
        stored_names = {"SHARED_TOKEN": StoredName(store, "p/token")}
        settings = make_settings(shared_token=None, stored_names=stored_names, **endpoints)
        services = bootstrap.build(settings, lambda: CREDENTIALS)
        authenticators = services.authenticators()
        assert not server.requests  # nothing is fetched before somebody comes
        with pytest.raises(ConfigurationError, match=rf"SHARED_TOKEN \({store} p/token\).*Refused"):
            authenticate(authenticators, authorizer_request(headers=[("token", "x")]))
    (request,) = server.requests
    assert target in request
    signed_for = {"parameter": b"/us-east-1/ssm/aws4_request", "secret": b"/secretsmanager/aws4"}
    assert signed_for[store] in request


@pytest.mark.parametrize("is_specific", [True, False])
def test_the_table_is_where_settings_say(is_specific: bool) -> None:
    with ScriptedServer([[REFUSED]]) as server:
        endpoints = {"endpoint": server.origin}
        if is_specific:
            endpoints = {"endpoint": NOWHERE, "dynamodb_endpoint": server.origin}
        services = bootstrap.build(make_settings(**endpoints), lambda: CREDENTIALS)
        with pytest.raises(ConfigurationError, match="DynamoDB"):
            services.connections.get("id", 0)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("endpoints", "path"),
    [
        pytest.param(("endpoint",), b"/_aws/execute-api/a1/dev/@connections/id", id="of all"),
        pytest.param(("endpoint", "management_endpoint"), b"/@connections/id", id="its own"),
    ],
)
def test_connections_are_managed_where_settings_say(
    endpoints: tuple[str, ...], path: bytes
) -> None:
    with ScriptedServer([[REFUSED]]) as server:
        settings = make_settings(**dict.fromkeys(endpoints, server.origin))
        management_api = bootstrap.build(settings, lambda: CREDENTIALS).management_api("a1", "dev")
        with pytest.raises(ConfigurationError):
            management_api.post_to_connection("id", b"{}")
    assert server.requests[0].startswith(b"POST " + path + b" ")


@pytest.mark.parametrize(("stage", "is_admitted"), [("local", True), ("dev", False)])
def test_a_stored_demonstration_value_is_for_the_local_stage_only(
    stage: str, is_admitted: bool
) -> None:
    body = b'{"Parameter":{"Value":"hello","Version":1,"LastModifiedDate":1}}'
    stored = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with ScriptedServer([[stored]]) as server:
        settings = make_settings(
            stage=stage,
            shared_token=None,
            stored_names={"SHARED_TOKEN": StoredName("parameter", "p/token")},
            endpoint=server.origin,
        )
        authenticators = bootstrap.build(settings, lambda: CREDENTIALS).authenticators()
        request = authorizer_request(headers=[("token", "hello")])
        if is_admitted:
            assert authenticate(authenticators, request).context["demonstration"] is True
        else:
            with pytest.raises(ConfigurationError, match="demonstration"):
                authenticate(authenticators, request)


def test_a_store_that_cannot_be_reached_is_a_fault_of_ours() -> None:
    stored_names = {"SHARED_TOKEN": StoredName("parameter", "p/token")}
    settings = make_settings(shared_token=None, stored_names=stored_names, ssm_endpoint=NOWHERE)
    authenticators = bootstrap.build(settings, lambda: CREDENTIALS).authenticators()
    with pytest.raises(ServiceUnavailable, match="SHARED_TOKEN"):
        authenticate(authenticators, authorizer_request(headers=[("token", "x")]))


def test_the_environment_is_read_at_first_use_and_once(fresh: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="STAGE"):
        bootstrap.services()
    fresh.setenv("STAGE", "local")
    fresh.setenv("TABLE_NAME", "portcullis-local")
    services = bootstrap.services()
    fresh.setenv("STAGE", "prod")
    assert bootstrap.services() is services
    assert bootstrap.settings().stage == "local"


@pytest.mark.parametrize(
    ("service", "region", "endpoint"),
    [
        ("dynamodb", "eu-west-1", "https://dynamodb.eu-west-1.amazonaws.com"),
        ("ssm", "cn-north-1", "https://ssm.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_a_service_is_where_the_region_says(service: str, region: str, endpoint: str) -> None:
    assert bootstrap.public_endpoint(service, region) == endpoint


@pytest.mark.parametrize("token", ["", "t0ken"])
def test_credentials_are_those_lambda_put_into_the_environment(token: str) -> None:
    environ = {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": token,
    }
    expected = Credentials("AKIDEXAMPLE", "secret", token or None)
    assert bootstrap.credentials_provider(environ)() == expected


def test_other_credentials_are_what_boto3_finds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profile = tmp_path / "credentials"
    profile.write_text("[default]\naws_access_key_id=AKIDPROFILE\naws_secret_access_key=s\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    provider = bootstrap.credentials_provider({})
    assert provider() == provider() == Credentials("AKIDPROFILE", "s")


def test_without_any_credentials_the_deployment_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigurationError, match="credentials"):
        bootstrap.credentials_provider({})()


def test_neither_importing_the_app_nor_building_its_services_imports_boto3() -> None:
    script = (
        "import sys, app; app.bootstrap.services().management_api('a1', 'dev'); "
        "print(sorted({'boto3', 'botocore'} & sys.modules.keys()))"
    )
    environ = {**os.environ, "STAGE": "local", "TABLE_NAME": "portcullis-local"}
    completed = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False
    )
    assert (completed.stdout, completed.stderr) == ("[]\n", "")
