"""The composition root: the only place that reads the environment and imports boto3, late."""

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

from chalicelib.authorizers import Authenticator
from chalicelib.authorizers.request_parameters import RequestParameters
from chalicelib.authorizers.shared_token import SharedToken
from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.broadcast import Broadcaster, ManagementAPI
from chalicelib.connections import Audience, ConnectionRepository
from chalicelib.dynamodb import DynamoDB, DynamoDBConnectionRepository
from chalicelib.errors import ConfigurationError
from chalicelib.management_api import APIGatewayManagementAPI, management_endpoint
from chalicelib.messages import Router
from chalicelib.secret_stores import ParameterStore, SecretsManager, SecretStore
from chalicelib.secret_values import Secret, SecretSource, StoredSecret, literal
from chalicelib.settings import (
    DEMONSTRATION_VALUES,
    LOCAL_STAGE,
    Settings,
    StoreName,
    required,
)

# Each reads a shard of an audience or forgets a stale connection; posts need no threads.
THREADS = 16


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a handler may use; what only some functions need is built when asked for."""

    authenticators: Callable[[], Sequence[Authenticator]]
    connections: ConnectionRepository
    management_api: Callable[[str, str], ManagementAPI]
    """By API id and stage."""
    executor: Executor
    now: Callable[[], float]
    """Seconds since the epoch."""
    connection_ttl: int
    """Seconds."""

    def router(self, api_id: str, stage: str) -> Router:
        """Return what carries out the messages of one stage."""
        broadcaster = Broadcaster(
            self.connections, self.management_api(api_id, stage), self.executor, self.now
        )

        def broadcast(audience: Audience, payload: bytes) -> Mapping[str, int]:
            return broadcaster.broadcast(audience, payload).to_dict()

        return Router(broadcast, self.now, secrets.randbits)


@cache
def settings() -> Settings:
    """Read the settings once per execution environment, at first use.

    Not at import: ``chalice package`` imports the app where nothing is set, and Chalice's test
    client sets the stage's variables around each invocation only.
    """
    return Settings.from_environ(os.environ)


@cache
def services() -> Services:
    """Build the services once per execution environment, at first use."""
    return build(settings(), credentials_provider(os.environ))


def build(
    settings: Settings,
    credentials: Callable[[], Credentials],
    now: Callable[[], float] = time.time,
) -> Services:
    """Put the services together; no network, no secret and no boto3 is needed for it."""
    region = required(settings.region, "AWS_REGION")
    executor = ThreadPoolExecutor(THREADS, thread_name_prefix="table")
    client = SignedClient(
        settings.dynamodb_endpoint or settings.endpoint or public_endpoint("dynamodb", region),
        Signer(region, "dynamodb"),
        credentials,
        now,
        connect_timeout=1.0,
        read_timeout=2.0,
    )
    return Services(
        authenticators=cache(
            partial(authenticators, settings, secret_source(settings, credentials, now))
        ),
        connections=DynamoDBConnectionRepository(
            DynamoDB(client, Backoff()), settings.table_name, executor, settings.everyone_shards
        ),
        management_api=_management_apis(settings, region, credentials, now),
        executor=executor,
        now=now,
        connection_ttl=settings.connection_ttl,
    )


def authenticators(settings: Settings, secret: SecretSource = literal) -> Sequence[Authenticator]:
    """Return the chosen authenticators; ConfigurationError where an expected value is unknown."""
    if settings.authorizer == "shared_token":
        return (SharedToken.from_settings(settings, secret),)
    return (RequestParameters.from_settings(settings, secret),)


def secret_source(
    settings: Settings, credentials: Callable[[], Credentials], now: Callable[[], float]
) -> SecretSource:
    """Return what makes the secret of a variable; nothing is fetched before it is used."""
    refused = DEMONSTRATION_VALUES if settings.stage != LOCAL_STAGE else frozenset()
    store = cache(partial(_secret_store, settings, credentials, now))

    def secret(variable: str, value: str | None) -> Secret:
        stored = settings.stored_names.get(variable)
        if stored is None:
            return literal(variable, value)
        return StoredSecret(
            f"{variable} ({stored.store} {stored.name})",
            partial(store(stored.store).fetch, stored.name),
            now,
            cache_seconds=settings.secret_cache_seconds,
            refused=refused,
        )

    return secret


def _secret_store(
    settings: Settings,
    credentials: Callable[[], Credentials],
    now: Callable[[], float],
    name: StoreName,
) -> SecretStore:
    region = required(settings.region, "AWS_REGION")
    service, endpoint = "ssm", settings.ssm_endpoint
    if name == "secret":
        service, endpoint = "secretsmanager", settings.secrets_manager_endpoint
    client = SignedClient(
        endpoint or settings.endpoint or public_endpoint(service, region),
        Signer(region, service),
        credentials,
        now,
        # Current and previous value at their slowest still leave time in the authorizer's 10 s.
        connect_timeout=1.0,
        read_timeout=1.5,
    )
    store = ParameterStore if name == "parameter" else SecretsManager
    return store(client, Backoff(deadline=1.0), now, settings.secret_rotation_seconds)


def public_endpoint(service: str, region: str) -> str:
    """Return the public endpoint of a service in a region."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{service}.{region}.{suffix}"


def credentials_provider(environ: Mapping[str, str]) -> Callable[[], Credentials]:
    """Take the credentials Lambda puts into the environment, else what boto3 finds."""
    access_key_id = environ.get("AWS_ACCESS_KEY_ID")
    secret_access_key = environ.get("AWS_SECRET_ACCESS_KEY")
    if not access_key_id or not secret_access_key:
        return _boto3_credentials()
    token = environ.get("AWS_SESSION_TOKEN") or None
    credentials = Credentials(access_key_id, secret_access_key, token)
    return lambda: credentials


def _boto3_credentials() -> Callable[[], Credentials]:
    found = None

    def credentials() -> Credentials:
        nonlocal found
        if found is None:
            # 140 ms, which a Lambda function never pays: there the environment has them.
            import boto3

            found = boto3.Session().get_credentials()
        if found is None:
            raise ConfigurationError("no AWS credentials")
        frozen = found.get_frozen_credentials()  # refreshes those that are about to expire
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    return credentials


def _management_apis(
    settings: Settings,
    region: str,
    credentials: Callable[[], Credentials],
    now: Callable[[], float],
) -> Callable[[str, str], ManagementAPI]:
    # One client for each stage: Chalice's own keeps the first endpoint for ever, and a post to
    # the wrong stage is answered 410, for which live connections would be removed.
    signer = Signer(region, "execute-api")

    @cache
    def management_api(api_id: str, stage: str) -> ManagementAPI:
        endpoint = settings.management_endpoint or management_endpoint(
            api_id, stage, region, settings.endpoint
        )
        return APIGatewayManagementAPI(SignedClient(endpoint, signer, credentials, now))

    return management_api
