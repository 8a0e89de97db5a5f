"""Settings: read once, checked at once, silent about secrets."""

import pytest

from chalicelib.delivery_settings import DeliverySettings
from chalicelib.errors import ConfigurationError
from chalicelib.scopes import Scopes
from chalicelib.settings import CREDENTIAL_VARIABLES, DEMONSTRATION_VALUES, Settings, required

LOCAL = {"STAGE": "local", "TABLE_NAME": "portcullis-local"}
PROD = {"STAGE": "prod", "TABLE_NAME": "portcullis-prod"}
SECRET = "c0rrect-horse-battery"


def test_stage_and_table_are_enough_and_the_rest_has_defaults() -> None:
    assert Settings.from_environ(PROD) == Settings(stage="prod", table_name="portcullis-prod")


def test_everything_can_be_set() -> None:
    environ = {
        **PROD,
        "AUTHORIZER": "request_parameters",
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
        "CHANNEL_SHARDS": "2",
        "MAX_CHANNELS_PER_CONNECTION": "5",
        "QUEUE_NAME": "portcullis-prod",
        "FANOUT_THRESHOLD": "100",
        "DELIVERY_RATE": "950",
        "DELIVERY_WORKERS": "8",
        "DELIVERY_DEADLINE_SECONDS": "60",
        "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:8100",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:8100",
        "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": "http://127.0.0.1:8000/api",
    }
    assert Settings.from_environ(environ) == Settings(
        stage="prod",
        table_name="portcullis-prod",
        authorizer="request_parameters",
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
        dynamodb_endpoint="http://127.0.0.1:8100",
        management_endpoint="http://127.0.0.1:8000/api",
    )


def test_all_that_is_missing_or_invalid_is_named_at_once() -> None:
    environ = {"TABLE_NAME": "no spaces", "AUTHORIZER": "none", "CONNECTION_TTL_SECONDS": "0"}
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environ(environ)
    for variable in ("STAGE", *environ):
        assert variable in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("STAGE", "a/b", id="a stage with a slash"),
        pytest.param("TABLE_NAME", "ab", id="a table name of two letters"),
        pytest.param("AUTHORIZER", "none", id="an unknown authorizer"),
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
        pytest.param("DEFAULT_SCOPES", "fly", id="an unknown scope"),
        pytest.param("CHANNEL_SHARDS", "0", id="a channel without a shard"),
        pytest.param("MAX_CHANNELS_PER_CONNECTION", "many", id="no number of channels"),
        pytest.param("QUEUE_NAME", "a.fifo", id="a queue that keeps an order"),
        pytest.param("DELIVERY_WORKERS", "1", id="fewer workers than Lambda can be held to"),
        pytest.param("DELIVERY_WORKERS", "1001", id="more workers than Lambda has"),
        pytest.param("AWS_ENDPOINT_URL_SQS", "127.0.0.1:8100", id="a queue that is no URL"),
        pytest.param(
            "AWS_ENDPOINT_URL_DYNAMODB", "127.0.0.1:8100", id="an endpoint that is no URL"
        ),
        pytest.param("AWS_ENDPOINT_URL_DYNAMODB", "file:///etc", id="an endpoint without a host"),
    ],
)
def test_an_invalid_value_is_refused_and_not_repeated(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable) as caught:
        Settings.from_environ({**PROD, variable: value})
    assert "missing" not in str(caught.value)
    assert f" {value}" not in str(caught.value)


@pytest.mark.parametrize("value", sorted(DEMONSTRATION_VALUES))
@pytest.mark.parametrize("variable", CREDENTIAL_VARIABLES)
def test_demonstration_values_are_for_the_local_stage_only(variable: str, value: str) -> None:
    Settings.from_environ({**LOCAL, variable: value})
    with pytest.raises(ConfigurationError, match=f"{variable} .*demonstration"):
        Settings.from_environ({**PROD, variable: value})


def test_demonstration_values_are_refused_where_no_stage_is_named() -> None:
    with pytest.raises(ConfigurationError, match="demonstration"):
        Settings.from_environ({"TABLE_NAME": "portcullis", "SHARED_TOKEN": "hello"})


def test_an_empty_secret_counts_as_none() -> None:
    assert Settings.from_environ({**PROD, "SHARED_TOKEN": ""}).shared_token is None


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        pytest.param({}, None, id="not asked for"),
        pytest.param({"STAGE_VARIABLE_VALUE": "v"}, "StageVar1", id="a value is expected"),
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
