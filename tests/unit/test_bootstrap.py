"""Putting the services together: lazily, without secrets, boto3 or a network."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from chalicelib import bootstrap
from chalicelib.authorizers import Authenticator, authenticate
from chalicelib.authorizers.api_key import ApiKeyAuthenticator
from chalicelib.authorizers.jwt import JwtAuthenticator
from chalicelib.authorizers.request_parameters import RequestParameters
from chalicelib.authorizers.shared_token import SharedToken
from chalicelib.authorizers.ticket import TicketAuthenticator
from chalicelib.aws import Credentials
from chalicelib.credential_settings import BEARER, JwtSettings, Place
from chalicelib.delivery_settings import DeliverySettings
from chalicelib.errors import ConfigurationError, ServiceUnavailable
from chalicelib.settings import StoredName
from tests.factories import authorizer_request, make_settings
from tests.fakes import ScriptedServer

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret")
REQUEST_PARAMETERS = {
    "authenticators": ("request_parameters",),
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


def authenticators(**settings: Any) -> Sequence[Authenticator]:
    return bootstrap.build(make_settings(**settings), lambda: CREDENTIALS).authenticators()


def test_authenticators_are_asked_in_the_order_they_are_named_in() -> None:
    names = ("ticket", "api_key", "shared_token", "jwt")
    found = authenticators(
        authenticators=names, jwt=JwtSettings("https://issuer.example", keys="k")
    )
    kinds = [TicketAuthenticator, ApiKeyAuthenticator, SharedToken, JwtAuthenticator]
    assert [type(authenticator) for authenticator in found] == kinds


def test_over_http_only_what_fits_the_authorization_header_is_asked() -> None:
    names = ("ticket", "api_key", "request_parameters", "shared_token", "jwt")
    jwt = JwtSettings("https://issuer.example", keys="k")
    changes = {"authenticators": names, "jwt": jwt, "credential_places": (Place("query", "q2"),)}
    settings = make_settings(**{**REQUEST_PARAMETERS, **changes})
    services = bootstrap.build(settings, lambda: CREDENTIALS)
    key, token, verifier = services.bearer_authenticators()
    assert isinstance(key, ApiKeyAuthenticator)
    assert isinstance(verifier, JwtAuthenticator)
    assert isinstance(token, SharedToken)
    assert (key.places, verifier.places, token.place) == ((BEARER,), (BEARER,), BEARER)
    (own,) = [it for it in services.authenticators() if isinstance(it, JwtAuthenticator)]
    assert verifier.keys is own.keys, "which are fetched once for both"


def test_a_package_without_a_library_for_tokens_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("chalicelib.authorizers.jw")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jwt", None)
    monkeypatch.setitem(sys.modules, "jwt.algorithms", None)
    with pytest.raises(ConfigurationError, match=r"PyJWT\[crypto\] in requirements.txt"):
        authenticators(authenticators=("jwt",), jwt=JwtSettings("https://issuer.example"))


def test_the_setting_chooses_the_authenticator() -> None:
    (shared_token,) = authenticators()
    (parameters,) = authenticators(**REQUEST_PARAMETERS)
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
            assert authenticate(authenticators, request).demonstration is True
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


HEAVY = ["boto3", "botocore", "jwt", "cryptography", "urllib.request", "http.client", "chalice.cli"]


@pytest.mark.parametrize("kinds", ["shared_token", "request_parameters", "api_key", "ticket"])
def test_neither_importing_the_app_nor_its_authenticators_imports_what_is_slow(kinds: str) -> None:
    script = (
        "import sys, app; services = app.bootstrap.services(); "
        "services.management_api('a1', 'dev'); services.bearer_authenticators(); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    environ = {
        **os.environ,
        **{"STAGE": "local", "TABLE_NAME": "portcullis-local", "AUTHENTICATORS": kinds},
        **{"SHARED_TOKEN": "t", "HEADER_AUTH_VALUE": "h", "QUERY_STRING_VALUE": "q"},
    }
    completed = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False
    )
    assert (completed.stdout, completed.stderr) == ("[]\n", "")


FOR_OTHERS = (
    "actions",
    "broadcast",
    "closing",
    "console",
    "jobs",
    "messages",
    "operators",
    "sweep",
)


def test_letting_a_handshake_in_imports_nothing_that_only_other_functions_need() -> None:
    script = (
        "import json, pathlib, sys, app; "
        "event = json.loads(pathlib.Path('tests/events/authorizer-request.json').read_text()); "
        "event |= {'headers': {'token': 't'}, 'multiValueHeaders': {'token': ['t']}}; "
        "(statement,) = app.websocket_authorizer(event, None)['policyDocument']['Statement']; "
        f"imported = [it for it in {FOR_OTHERS} if f'chalicelib.{{it}}' in sys.modules]; "
        "print(statement['Effect'], imported)"
    )
    environ = {
        **os.environ,
        **{"STAGE": "local", "TABLE_NAME": "portcullis-local", "SHARED_TOKEN": "t"},
        **{"QUEUE_NAME": "portcullis-local", "AWS_REGION": "us-east-1"},
    }
    completed = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False
    )
    assert completed.stdout.endswith("}\nAllow []\n"), completed


OF_FIRST_CALLS = {
    "websocket_connect": "it.arrivals()",
    "websocket_message": "it.router('a1', 'api', 1), it.management_api('a1', 'api'), it.closer()",
    "websocket_deliver": "it.worker(), it._sending('a1', 'api')",
    "app": "it.operator(), it.publisher(Principal('alice', 'jwt', 1, it.default_scopes))",
}


@pytest.mark.parametrize(("handler", "asked"), OF_FIRST_CALLS.items())
def test_a_function_has_imported_what_its_first_call_needs_when_it_has_started(
    handler: str, asked: str
) -> None:
    script = (
        "import sys, app; from chalicelib.authorizers import Principal; "
        "before = set(sys.modules); it = app.bootstrap.services(); "
        f"{asked}; "
        "print([name for name in set(sys.modules) - before if name.startswith('chalicelib')])"
    )
    environ = {
        **os.environ,
        **{"_HANDLER": f"app.{handler}", "STAGE": "dev", "TABLE_NAME": "portcullis"},
        **{"SHARED_TOKEN": "t", "QUEUE_NAME": "portcullis", "AWS_REGION": "us-east-1"},
        **{"WEBSOCKET_API_ID": "a1", "WEBSOCKET_STAGE": "api"},
    }
    completed = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False
    )
    assert (completed.stdout, completed.stderr) == ("[]\n", "")


def test_tokens_import_what_they_need_and_no_boto3() -> None:
    script = (
        "import sys, app; services = app.bootstrap.services(); "
        "before = 'jwt' in sys.modules; services.authenticators(); "
        "print(before, 'jwt' in sys.modules, 'boto3' in sys.modules)"
    )
    environ = {
        **os.environ,
        **{"STAGE": "local", "TABLE_NAME": "portcullis-local", "AUTHENTICATORS": "jwt"},
        **{"JWT_ISSUER": "i", "JWT_AUDIENCE": "a", "JWT_JWKS_URL": "https://issuer.example/keys"},
    }
    completed = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False
    )
    assert (completed.stdout, completed.stderr) == ("False True False\n", "")


@pytest.mark.parametrize(
    ("milliseconds", "seconds"), [(28_000, 19.6), (60_000, 25.0), (5_000, 3.5), (0, 0.0)]
)
def test_a_broadcast_leaves_time_for_the_answer(milliseconds: int, seconds: float) -> None:
    assert bootstrap.message_budget(milliseconds) == pytest.approx(seconds)


def test_where_a_queue_is_named_the_import_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bootstrap.queue_and_workers() is None
    monkeypatch.setenv("QUEUE_NAME", "deliveries")
    assert bootstrap.queue_and_workers() == ("deliveries", 4)
    monkeypatch.setenv("DELIVERY_WORKERS", "7")
    assert bootstrap.queue_and_workers() == ("deliveries", 7)
    monkeypatch.setenv("QUEUE_NAME", "not a name")
    with pytest.raises(ConfigurationError, match="QUEUE_NAME"):
        bootstrap.queue_and_workers()


def test_only_with_a_queue_are_there_workers_and_all_together_keep_to_the_rate() -> None:
    without = bootstrap.build(make_settings(), lambda: CREDENTIALS)
    with pytest.raises(ConfigurationError, match="QUEUE_NAME"):
        without.worker()
    delivery = DeliverySettings(queue_name="deliveries", rate=950, workers=4)
    services = bootstrap.build(make_settings(delivery=delivery), lambda: CREDENTIALS)
    first, second = services.worker(), services.worker()
    assert first.rate * 4 == 950
    assert first.name != second.name
