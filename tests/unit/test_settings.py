"""Settings: read once, checked at once, silent about secrets."""

import re
from typing import Any

import pytest

from chalicelib.credential_settings import JwtSettings, Place
from chalicelib.delivery_settings import DeliverySettings
from chalicelib.errors import ConfigurationError
from chalicelib.scopes import Scopes
from chalicelib.settings import (
    CREDENTIAL_VARIABLES,
    DEMONSTRATION_VALUES,
    Settings,
    StoredName,
    required,
)
from tests.chalice_project import ROOT
from tests.factories import make_settings
from tests.tokens import MARKER

LOCAL = {"STAGE": "local", "TABLE_NAME": "portcullis-local"}
PROD = {"STAGE": "prod", "TABLE_NAME": "portcullis-prod"}
SECRET = "c0rrect-horse-battery"


def test_stage_and_table_are_enough_and_the_rest_has_defaults() -> None:
    assert Settings.from_environ(PROD) == Settings(stage="prod", table_name="portcullis-prod")


def test_everything_can_be_set() -> None:
    environ = {
        **PROD,
        "AUTHENTICATORS": "request_parameters, shared_token",
        "CREDENTIAL_PLACES": "bearer, header:x-key, query:jwt, protocol",
        "ALLOWED_ORIGINS": "https://A.example:443/, http://localhost:3000",
        "SUBPROTOCOL": "chat",
        "TICKET_SECONDS": "10",
        "WEBSOCKET_URL": "wss://ws.example.com",
        "CONSOLE": "on",
        "SHARED_TOKEN": SECRET,
        "SHARED_TOKEN_HEADER": "x-token",
        "HEADER_AUTH_NAME": "H",
        "HEADER_AUTH_VALUE": "h",
        "QUERY_STRING_NAME": "Q",
        "QUERY_STRING_VALUE": "q",
        "STAGE_VARIABLE_NAME": "S",
        "STAGE_VARIABLE_VALUE": "s",
        "STAGE_VARIABLES": "S=s, Other=a.b/c",
        "PRINCIPAL_ID": "device",
        "CONNECTION_TTL_SECONDS": "60",
        "EVERYONE_SHARDS": "4",
        "DEFAULT_SCOPES": "connect join:channel:*",
        "CEDAR_POLICIES": "chalicelib/policies.cedar",
        "CHANNEL_SHARDS": "2",
        "MAX_CHANNELS_PER_CONNECTION": "5",
        "QUEUE_NAME": "portcullis-prod",
        "FANOUT_THRESHOLD": "100",
        "DELIVERY_RATE": "950",
        "DELIVERY_WORKERS": "8",
        "DELIVERY_DEADLINE_SECONDS": "60",
        "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:8100",
        "AWS_REGION": "eu-west-1",
        "SECRET_CACHE_SECONDS": "60",
        "SECRET_ROTATION_SECONDS": "0",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:8100",
        "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": "http://127.0.0.1:8000/api",
        "AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:8200",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:8300",
    }
    assert Settings.from_environ(environ) == Settings(
        stage="prod",
        table_name="portcullis-prod",
        authenticators=("request_parameters", "shared_token"),
        credential_places=(
            Place("bearer"),
            Place("header", "x-key"),
            Place("query", "jwt"),
            Place("protocol"),
        ),
        allowed_origins=frozenset({"https://a.example", "http://localhost:3000"}),
        subprotocol="chat",
        ticket_seconds=10,
        websocket_url="wss://ws.example.com",
        console=True,
        shared_token=SECRET,
        shared_token_header="x-token",
        header_auth_name="H",
        header_auth_value="h",
        query_string_name="Q",
        query_string_value="q",
        stage_variable_name="S",
        stage_variable_value="s",
        stage_variables={"S": "s", "Other": "a.b/c"},
        principal_id="device",
        connection_ttl=60,
        everyone_shards=4,
        default_scopes=Scopes.parse("connect join:channel:*"),
        cedar_policies="chalicelib/policies.cedar",
        delivery=DeliverySettings(
            channel_shards=2,
            max_channels=5,
            queue_name="portcullis-prod",
            fanout_threshold=100,
            rate=950,
            workers=8,
            job_seconds=60,
            sqs_endpoint="http://127.0.0.1:8100",
        ),
        region="eu-west-1",
        secret_cache_seconds=60,
        secret_rotation_seconds=0,
        endpoint="http://127.0.0.1:4566",
        dynamodb_endpoint="http://127.0.0.1:8100",
        management_endpoint="http://127.0.0.1:8000/api",
        ssm_endpoint="http://127.0.0.1:8200",
        secrets_manager_endpoint="http://127.0.0.1:8300",
    )


@pytest.mark.parametrize(
    ("changes", "authenticators"),
    [
        ({}, ("shared_token",)),
        ({"CONSOLE": "off"}, ("shared_token",)),
        ({"CONSOLE": "on"}, ("shared_token", "ticket")),
        ({"CONSOLE": "on", "AUTHENTICATORS": "api_key"}, ("api_key",)),
    ],
)
def test_the_console_brings_tickets_along_unless_something_else_is_said(
    changes: dict[str, str], authenticators: tuple[str, ...]
) -> None:
    assert Settings.from_environ({**PROD, **changes}).authenticators == authenticators


def test_all_that_is_missing_or_invalid_is_named_at_once() -> None:
    environ = {"TABLE_NAME": "no spaces", "AUTHENTICATORS": "none", "CONNECTION_TTL_SECONDS": "0"}
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environ(environ)
    for variable in ("STAGE", *environ):
        assert variable in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("STAGE", "a/b", id="a stage with a slash"),
        pytest.param("TABLE_NAME", "ab", id="a table name of two letters"),
        pytest.param("AUTHENTICATORS", "none", id="an unknown authenticator"),
        pytest.param("AUTHENTICATORS", "jwt;ticket", id="authenticators without commas"),
        pytest.param("AUTHENTICATORS", ",", id="a comma and no authenticator"),
        pytest.param("CREDENTIAL_PLACES", "cookie", id="an unknown place"),
        pytest.param("CREDENTIAL_PLACES", "header:a b", id="no name of a header, too"),
        pytest.param("CREDENTIAL_PLACES", "query:a&b", id="no name of a parameter"),
        pytest.param("CREDENTIAL_PLACES", "query:ticket", id="the parameter of tickets"),
        pytest.param("CREDENTIAL_PLACES", ",", id="a comma and no place"),
        pytest.param("AUTHORIZER", "shared_token", id="a name that is no more"),
        pytest.param("PRINCIPAL_ID", "a\nb", id="nobody who could be revoked"),
        pytest.param("PRINCIPAL_ID", "a" * 129, id="a principal of too many letters"),
        pytest.param("ALLOWED_ORIGINS", "app.example.com", id="an origin without a scheme"),
        pytest.param("ALLOWED_ORIGINS", "https://*.example.com", id="an origin with a star"),
        pytest.param("ALLOWED_ORIGINS", "https://a.example/path", id="an origin with a path"),
        pytest.param("ALLOWED_ORIGINS", "https://user@a.example", id="an origin with a user"),
        pytest.param("ALLOWED_ORIGINS", "https://a.example,null", id="the origin of nobody"),
        pytest.param("ALLOWED_ORIGINS", "https://bücher.example", id="an origin browsers escape"),
        pytest.param("ALLOWED_ORIGINS", ",", id="a comma and no origin"),
        pytest.param("DEFAULT_SCOPES", "connect openid", id="a scope of others"),
        pytest.param("SUBPROTOCOL", "a b", id="no name of a protocol"),
        pytest.param("SUBPROTOCOL", "bearer.x", id="a protocol like a credential"),
        pytest.param("TICKET_SECONDS", "301", id="a ticket for long"),
        pytest.param("WEBSOCKET_URL", "https://a.example", id="no address of a WebSocket"),
        pytest.param("CONSOLE", "yes", id="neither on nor off"),
        pytest.param("SHARED_TOKEN_HEADER", "to:ken", id="no name of a header"),
        pytest.param("HEADER_AUTH_NAME", "a b", id="no name of a header either"),
        pytest.param("QUERY_STRING_NAME", "a&b", id="no name of a query parameter"),
        pytest.param("STAGE_VARIABLE_NAME", "a b", id="no name of a stage variable"),
        pytest.param("STAGE_VARIABLES", "StageVar1", id="a stage variable without a value"),
        pytest.param("STAGE_VARIABLES", "A=1,A=2", id="a stage variable twice"),
        pytest.param("CONNECTION_TTL_SECONDS", "1h", id="no number"),
        pytest.param("CONNECTION_TTL_SECONDS", "-1", id="a negative number"),
        pytest.param("CONNECTION_TTL_SECONDS", "9" * 400, id="a huge number"),
        pytest.param("EVERYONE_SHARDS", "0", id="no shard"),
        pytest.param("EVERYONE_SHARDS", "257", id="more shards than a broadcast should read"),
        pytest.param("CEDAR_POLICIES", "../secret.cedar", id="a file outside of the package"),
        pytest.param("CEDAR_POLICIES", "chalicelib/../app.cedar", id="a way out of it"),
        pytest.param("DEFAULT_SCOPES", "fly", id="an unknown scope"),
        pytest.param(
            "DEFAULT_SCOPES",
            " ".join(f"join:channel:{number:04}" for number in range(120)),
            id="more scopes than an authorizer's answer may carry",
        ),
        pytest.param("CHANNEL_SHARDS", "0", id="a channel without a shard"),
        pytest.param("MAX_CHANNELS_PER_CONNECTION", "many", id="no number of channels"),
        pytest.param("QUEUE_NAME", "a.fifo", id="a queue that keeps an order"),
        pytest.param("DELIVERY_WORKERS", "1", id="fewer workers than Lambda can be held to"),
        pytest.param("DELIVERY_WORKERS", "1001", id="more workers than Lambda has"),
        pytest.param("AWS_ENDPOINT_URL_SQS", "127.0.0.1:8100", id="a queue that is no URL"),
        pytest.param(
            "AWS_ENDPOINT_URL_DYNAMODB", "127.0.0.1:8100", id="an endpoint that is no URL"
        ),
        pytest.param("AWS_ENDPOINT_URL", "localhost", id="an endpoint of all that is no URL"),
        pytest.param("AWS_ENDPOINT_URL_SSM", "ssm", id="an endpoint of SSM that is no URL"),
        pytest.param("SECRET_CACHE_SECONDS", "29", id="a cache that wrong tokens would outrun"),
        pytest.param("SECRET_ROTATION_SECONDS", "-1", id="a rotation that ends before it begins"),
        pytest.param("SHARED_TOKEN_PARAMETER", "/p/token:3", id="a parameter's version"),
        pytest.param("SHARED_TOKEN_PARAMETER", "/p/the token", id="no name of a parameter"),
        pytest.param(
            "SHARED_TOKEN_PARAMETER",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:p/token-AbCdEf",
            id="a parameter that is a secret",
        ),
        pytest.param("SHARED_TOKEN_SECRET", "p/the token", id="no name of a secret"),
        pytest.param(
            "SHARED_TOKEN_SECRET",
            "arn:aws:ssm:eu-west-1:123456789012:parameter/p/token",
            id="a secret that is a parameter",
        ),
        pytest.param("AWS_ENDPOINT_URL_DYNAMODB", "file:///etc", id="an endpoint without a host"),
    ],
)
def test_an_invalid_value_is_refused_and_not_repeated(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable) as caught:
        Settings.from_environ({**PROD, variable: value})
    assert "missing" not in str(caught.value)
    assert f" {value}" not in str(caught.value)


_SOURCES = (ROOT / "chalicelib").glob("*settings.py")
VARIABLES = {
    name for it in _SOURCES for name in re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', it.read_text())
}


@pytest.mark.parametrize(
    "value", [f"{MARKER} \0é{{", f"{MARKER},{MARKER}=", f"https://u:{MARKER}@h/"]
)
def test_whatever_is_wrong_with_any_variable_its_value_is_not_repeated(value: str) -> None:
    """A secret may stand in the wrong variable."""
    assert len(VARIABLES) > 50
    chosen = {"AUTHENTICATORS": "jwt,api_key,request_parameters,shared_token,ticket"}
    for environ in (dict.fromkeys(VARIABLES, value), dict.fromkeys(VARIABLES, value) | chosen):
        with pytest.raises(ConfigurationError) as caught:
            Settings.from_environ(environ)
        assert MARKER not in str(caught.value)
        assert caught.value.__cause__ is caught.value.__context__ is None, "a log shows them, too"
    said = [problem_with({**PROD, **chosen, variable: value}) for variable in sorted(VARIABLES)]
    assert len(list(filter(None, said))) > 20
    assert MARKER not in "".join(said)


def problem_with(environ: dict[str, str]) -> str:
    """Return all that an error says, empty where there is none."""
    try:
        Settings.from_environ(environ)
    except ConfigurationError as error:
        return f"{error!r} {error.__context__!r}"
    return ""


@pytest.mark.parametrize("value", sorted(DEMONSTRATION_VALUES))
@pytest.mark.parametrize("variable", CREDENTIAL_VARIABLES)
def test_demonstration_values_are_for_the_local_stage_only(variable: str, value: str) -> None:
    Settings.from_environ({**LOCAL, variable: value})
    with pytest.raises(ConfigurationError, match=f"{variable} .*demonstration"):
        Settings.from_environ({**PROD, variable: value})


def test_demonstration_values_are_refused_where_no_stage_is_named() -> None:
    with pytest.raises(ConfigurationError, match="demonstration"):
        Settings.from_environ({"TABLE_NAME": "portcullis", "SHARED_TOKEN": "hello"})


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("parameter", "/portcullis/dev/shared-token"),
        ("parameter", "token"),
        ("parameter", "arn:aws:ssm:eu-west-1:123456789012:parameter/p/token"),
        ("secret", "portcullis/dev/shared-token"),
        ("secret", "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:p/token-AbCdEf"),
    ],
)
@pytest.mark.parametrize("variable", CREDENTIAL_VARIABLES)
def test_a_credential_can_be_named_in_place_of_its_value(
    variable: str, source: Any, name: str
) -> None:
    settings = Settings.from_environ({**PROD, f"{variable}_{source.upper()}": name})
    assert settings.stored_names == {variable: StoredName(source, name)}


@pytest.mark.parametrize(
    "sources",
    [
        ("SHARED_TOKEN", "SHARED_TOKEN_PARAMETER"),
        ("SHARED_TOKEN", "SHARED_TOKEN_SECRET"),
        ("QUERY_STRING_VALUE_PARAMETER", "QUERY_STRING_VALUE_SECRET"),
    ],
)
def test_a_credential_has_one_source(sources: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=" and ".join(sources)) as caught:
        Settings.from_environ({**PROD, **dict.fromkeys(sources, SECRET)})
    assert SECRET not in str(caught.value)


def test_an_empty_secret_counts_as_none() -> None:
    assert Settings.from_environ({**PROD, "SHARED_TOKEN": ""}).shared_token is None


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        pytest.param({}, None, id="not asked for"),
        pytest.param({"STAGE_VARIABLE_VALUE": "v"}, "StageVar1", id="a value is expected"),
        pytest.param({"STAGE_VARIABLE_VALUE_PARAMETER": "v"}, "StageVar1", id="one is stored"),
        pytest.param({"STAGE_VARIABLE_VALUE_SECRET": "v"}, "StageVar1", id="one is stored there"),
        pytest.param({"STAGE_VARIABLES": "StageVar1=v"}, "StageVar1", id="the stage has it"),
        pytest.param({"STAGE_VARIABLES": "Other=v"}, None, id="the stage has another one"),
        pytest.param({"STAGE_VARIABLE_NAME": "Mine"}, "Mine", id="named, its value still unknown"),
    ],
)
def test_a_stage_variable_is_asked_for_where_anything_says_so(
    environ: dict[str, str], name: str | None
) -> None:
    assert Settings.from_environ({**PROD, **environ}).stage_variable_name == name


def test_the_region_is_lambdas_or_else_the_default() -> None:
    default = {**PROD, "AWS_DEFAULT_REGION": "eu-west-1"}
    assert Settings.from_environ(default).region == "eu-west-1"
    assert Settings.from_environ({**default, "AWS_REGION": "eu-north-1"}).region == "eu-north-1"


def test_secrets_are_not_shown() -> None:
    environ = {variable: f"{SECRET}-{variable}" for variable in CREDENTIAL_VARIABLES}
    settings = Settings.from_environ({**PROD, **environ, "STAGE_VARIABLES": f"A={SECRET}"})
    assert SECRET not in repr(settings)


def test_what_only_some_functions_need_is_asked_for_by_name() -> None:
    assert required("value", "SHARED_TOKEN") == "value"
    with pytest.raises(ConfigurationError, match="SHARED_TOKEN"):
        required(None, "SHARED_TOKEN")


JWT = {
    **PROD,
    "AUTHENTICATORS": "jwt",
    "JWT_ISSUER": "https://issuer.example",
    "JWT_AUDIENCE": "api",
    "JWT_JWKS_URL": "https://issuer.example/jwks.json?v=1",
}


def test_whose_tokens_are_taken_can_be_set() -> None:
    environ = {
        **JWT,
        "JWT_AUDIENCE": "api, other",
        "JWT_CLIENT_IDS": "web",
        "JWT_ALGORITHMS": "ES256, EdDSA",
        "JWT_TOKEN_USE": "access",
        "JWT_TYPE": "at+jwt",
        "JWT_SCOPE_CLAIM": "scope",
        "JWT_SCOPE_PREFIX": "portcullis/",
    }
    assert Settings.from_environ(environ).jwt == JwtSettings(
        issuer="https://issuer.example",
        audiences=("api", "other"),
        client_ids=("web",),
        algorithms=("ES256", "EdDSA"),
        jwks_url="https://issuer.example/jwks.json?v=1",
        token_use="access",
        type="at+jwt",
        scope_claim="scope",
        scope_prefix="portcullis/",
    )


def test_tokens_are_configured_only_where_they_are_asked_for() -> None:
    assert Settings.from_environ({**JWT, "AUTHENTICATORS": "ticket"}).jwt is None


@pytest.mark.parametrize("variable", ["JWT_ISSUER", "JWT_AUDIENCE"])
def test_an_issuer_and_for_whom_it_issues_are_required(variable: str) -> None:
    with pytest.raises(ConfigurationError, match=f"missing.*{variable}"):
        Settings.from_environ({**JWT, variable: ""})


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"JWT_ALGORITHMS": "none"}, id="no signature"),
        pytest.param({"JWT_ALGORITHMS": "HS256,RS256"}, id="secrets and public keys at once"),
        pytest.param({"JWT_ALGORITHMS": "HS256"}, id="a secret from a URL"),
        pytest.param({"JWT_KEYS": "{}"}, id="a URL and pinned keys"),
        pytest.param({"JWT_JWKS_URL": "http://issuer.example/jwks.json"}, id="no TLS"),
        pytest.param({"JWT_JWKS_URL": "http://127.0.0.1:80/jwks.json"}, id="no TLS, this machine"),
        pytest.param({"JWT_JWKS_URL": "https://u:p@issuer.example/"}, id="a user in the URL"),
        pytest.param({"JWT_JWKS_URL": "https://issuer.example"}, id="no path"),
        pytest.param({"JWT_JWKS_URL": "file:///etc/passwd"}, id="a file"),
        pytest.param({"JWT_TOKEN_USE": "a b"}, id="no token use"),
        pytest.param({"JWT_SCOPE_CLAIM": "a b"}, id="no name of a claim"),
    ],
)
def test_what_would_make_tokens_unsafe_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="JWT_"):
        Settings.from_environ({**JWT, **changes})


def test_keys_may_come_without_tls_from_this_machine_on_the_local_stage() -> None:
    url = "http://127.0.0.1:8099/jwks.json"
    settings = Settings.from_environ({**JWT, **LOCAL, "JWT_JWKS_URL": url})
    assert settings.jwt is not None
    assert settings.jwt.jwks_url == url
    for other in ("http://localhost:80/", "http://192.0.2.1:80/", "http://127.0.0.1:80@evil/x"):
        with pytest.raises(ConfigurationError, match="JWT_JWKS_URL"):
            Settings.from_environ({**JWT, **LOCAL, "JWT_JWKS_URL": other})


PLACES = (Place("bearer"), Place("query", "jwt"), Place("header", "X-Credential"))


@pytest.mark.parametrize(
    ("authenticators", "names"),
    [
        (("shared_token", "ticket"), set()),
        (("jwt",), {"jwt"}),
        (("api_key", "shared_token"), {"jwt"}),
        (("request_parameters",), {"QueryString1"}),
        (("request_parameters", "jwt"), {"QueryString1", "jwt"}),
    ],
)
def test_query_parameters_that_may_hold_a_credential_are_known(
    authenticators: tuple[str, ...], names: set[str]
) -> None:
    settings = make_settings(authenticators=authenticators, credential_places=PLACES)
    assert settings.credential_parameters() == names
