"""Putting the services together: lazily, without secrets, boto3 or a network."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib import bootstrap
from chalicelib.authorizers.request_parameters import RequestParameters
from chalicelib.authorizers.shared_token import SharedToken
from chalicelib.aws import Credentials
from chalicelib.delivery_settings import DeliverySettings
from chalicelib.errors import ConfigurationError
from tests.factories import make_settings

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
    ("region", "endpoint"),
    [
        ("eu-west-1", "https://dynamodb.eu-west-1.amazonaws.com"),
        ("cn-north-1", "https://dynamodb.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_dynamodb_is_where_the_region_says(region: str, endpoint: str) -> None:
    assert bootstrap.dynamodb_endpoint(region) == endpoint


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
