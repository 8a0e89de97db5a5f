"""The credentials of a deployed stage, against real stores: MiniStack's, over the wire.

The services are those that ship, built from settings as a Lambda function builds them.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from chalicelib import bootstrap
from chalicelib.authorizers import Authenticator, AuthorizerRequest, authenticate
from chalicelib.aws import Credentials
from chalicelib.errors import ConfigurationError, ConnectionGone, Unauthorized
from chalicelib.settings import Settings
from tests.emulator import Emulator
from tests.factories import authorizer_request
from tests.fakes import Clock

CREDENTIALS = Credentials("testing", "testing")
OLD, NEW = "0ld-horse-battery", "c0rrect-horse-battery"
# What the store's own clock says is compared with ours.
ROTATION = 600


@pytest.fixture(scope="module")
def emulator(isolated_environment: None) -> Iterator[Emulator]:
    with Emulator("ssm", "secretsmanager", "apigateway") as emulator:
        yield emulator


class Store(NamedTuple):
    """One kind of store, as its owner uses it."""

    variable: str
    put: Callable[[str, str], str]
    """Stores a value under a name, and returns the ARN."""
    changed_at: Callable[[str], float]
    """Tells when the value was stored, by the store's clock."""
    delete: Callable[[str], object]


def parameter_store(emulator: Emulator) -> Store:
    client: Any = emulator.client("ssm")

    def put(name: str, value: str) -> str:
        client.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
        return str(client.get_parameter(Name=name)["Parameter"]["ARN"])

    def changed_at(name: str) -> float:
        modified = client.get_parameter(Name=name)["Parameter"]["LastModifiedDate"]
        return float(modified.timestamp())

    return Store(
        "SHARED_TOKEN_PARAMETER", put, changed_at, lambda name: client.delete_parameter(Name=name)
    )


def secrets_manager(emulator: Emulator) -> Store:
    client: Any = emulator.client("secretsmanager")

    def put(name: str, value: str) -> str:
        try:
            answer = client.create_secret(Name=name, SecretString=value)
        except client.exceptions.ResourceExistsException:
            answer = client.put_secret_value(SecretId=name, SecretString=value)
        return str(answer["ARN"])

    def changed_at(name: str) -> float:
        return float(client.get_secret_value(SecretId=name)["CreatedDate"].timestamp())

    def delete(name: str) -> object:
        return client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)

    return Store("SHARED_TOKEN_SECRET", put, changed_at, delete)


@pytest.fixture(params=[parameter_store, secrets_manager])
def store(request: pytest.FixtureRequest, emulator: Emulator) -> Store:
    made: Store = request.param(emulator)
    return made


@pytest.fixture
def name() -> str:
    return f"/portcullis/{uuid4()}/shared-token"


class Stage:
    """A stage named prod, whose token is stored under a name or an ARN."""

    def __init__(self, emulator: Emulator, store: Store, name: str, now: float) -> None:
        self.clock = Clock(now)
        environ = {
            "STAGE": "prod",
            "TABLE_NAME": "portcullis-prod",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": emulator.url,
            "SECRET_ROTATION_SECONDS": str(ROTATION),
            store.variable: name,
        }
        settings = Settings.from_environ(environ)
        self.services = bootstrap.build(settings, lambda: CREDENTIALS, self.clock)

    def authenticators(self) -> tuple[Authenticator, ...]:
        return tuple(self.services.authenticators())

    def admits(self, token: str) -> bool:
        request: AuthorizerRequest = authorizer_request(headers=[("token", token)])
        try:
            authenticate(self.authenticators(), request)
        except Unauthorized:
            return False
        return True


def test_a_stored_token_lets_in_and_another_does_not(
    emulator: Emulator, store: Store, name: str
) -> None:
    store.put(name, NEW)
    stage = Stage(emulator, store, name, store.changed_at(name))
    assert stage.admits(NEW)
    assert not stage.admits(OLD)


def test_the_store_is_found_by_arn_too_and_the_rotation_with_it(
    emulator: Emulator, store: Store, name: str
) -> None:
    store.put(name, OLD)
    arn = store.put(name, NEW)
    stage = Stage(emulator, store, arn, store.changed_at(name))
    assert stage.admits(NEW)
    assert stage.admits(OLD)


def test_a_rotation_accepts_old_and_new_for_its_time_and_then_the_new_one_alone(
    emulator: Emulator, store: Store, name: str
) -> None:
    store.put(name, "older still")
    store.put(name, OLD)
    stage = Stage(emulator, store, name, store.changed_at(name))
    assert stage.admits(OLD)

    store.put(name, NEW)
    changed_at = store.changed_at(name)
    stage.clock.now = changed_at + 60  # a client comes with the new one before the cache ends
    assert [stage.admits(token) for token in (NEW, OLD, "older still")] == [True, True, False]

    stage.clock.now = changed_at + ROTATION - 0.5
    assert [stage.admits(token) for token in (NEW, OLD)] == [True, True]
    stage.clock.now = changed_at + ROTATION
    assert [stage.admits(token) for token in (NEW, OLD)] == [True, False]


def test_a_new_execution_environment_after_the_rotation_does_not_know_the_old_one(
    emulator: Emulator, store: Store, name: str
) -> None:
    store.put(name, OLD)
    store.put(name, NEW)
    stage = Stage(emulator, store, name, store.changed_at(name) + ROTATION)
    assert [stage.admits(token) for token in (NEW, OLD)] == [True, False]


def test_storing_the_new_value_twice_ends_the_old_one_at_once(
    emulator: Emulator, store: Store, name: str
) -> None:
    for value in (OLD, NEW, NEW):
        store.put(name, value)
    stage = Stage(emulator, store, name, store.changed_at(name))
    assert [stage.admits(token) for token in (NEW, OLD)] == [True, False]


def test_the_demonstration_token_lets_nobody_in_though_it_is_stored(
    emulator: Emulator, store: Store, name: str
) -> None:
    store.put(name, "hello")
    stage = Stage(emulator, store, name, store.changed_at(name))
    with pytest.raises(ConfigurationError, match="demonstration"):
        stage.admits("hello")


def test_a_name_that_is_not_there_is_a_wrong_deployment_and_named(
    emulator: Emulator, store: Store, name: str
) -> None:
    stage = Stage(emulator, store, name, 0)
    with pytest.raises(ConfigurationError, match=name):
        stage.admits(NEW)


def test_a_token_that_is_deleted_ends_with_the_cache(
    emulator: Emulator, store: Store, name: str
) -> None:
    store.put(name, NEW)
    stage = Stage(emulator, store, name, store.changed_at(name))
    assert stage.admits(NEW)
    store.delete(name)
    stage.clock.sleep(300)
    with pytest.raises(ConfigurationError, match=name):
        stage.admits(NEW)


def test_connections_are_managed_below_the_emulators_one_url(emulator: Emulator) -> None:
    client = emulator.client("apigatewayv2")
    api = client.create_api(
        Name="sockets", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
    )
    client.create_stage(ApiId=api["ApiId"], StageName="api")
    store = parameter_store(emulator)
    stage = Stage(emulator, store, "/not/asked/for", 0)
    with pytest.raises(ConnectionGone):
        stage.services.management_api(api["ApiId"], "api").post_to_connection("unknown", b"{}")
