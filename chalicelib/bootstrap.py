"""The composition root: the only place that reads the environment and imports boto3, late."""

import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chalicelib.arrivals import Arrivals
from chalicelib.authorizers import Authenticator, Principal
from chalicelib.authorizers.api_key import ApiKeyAuthenticator, KeyStore
from chalicelib.authorizers.request_parameters import RequestParameters
from chalicelib.authorizers.shared_token import SharedToken
from chalicelib.authorizers.ticket import TicketAuthenticator, TicketStore
from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.broadcast import Broadcaster, ManagementAPI, Report, Sending
from chalicelib.closing import Closer
from chalicelib.connection_table import DynamoDBConnectionRepository
from chalicelib.connections import Audience, ConnectionRepository
from chalicelib.credential_settings import read_cors
from chalicelib.credential_store import DynamoDBKeys, DynamoDBTickets
from chalicelib.delivery_settings import DeliverySettings
from chalicelib.dynamodb import DynamoDB
from chalicelib.environment import Reader
from chalicelib.errors import ConfigurationError
from chalicelib.gate import Gate
from chalicelib.health import TableHealth
from chalicelib.idempotency import IdempotencyStore
from chalicelib.idempotency_table import DynamoDBIdempotency
from chalicelib.job_table import DynamoDBJobStore
from chalicelib.jobs import JobQueue, JobStore, TaskQueue, Worker
from chalicelib.limit_settings import LimitSettings
from chalicelib.management_api import APIGatewayManagementAPI, management_endpoint
from chalicelib.messages import Broadcast, Policies, Router
from chalicelib.metrics import DeliveryMetrics
from chalicelib.rate_table import DynamoDBRates
from chalicelib.rates import RateLimiter, RateStore
from chalicelib.renewal import Renewal
from chalicelib.revocation import RevocationStore, Revoker, is_kept_out
from chalicelib.revocation_table import DynamoDBRevocations
from chalicelib.scopes import Scopes
from chalicelib.secret_stores import ParameterStore, SecretsManager, SecretStore
from chalicelib.secret_values import Secret, SecretSource, StoredSecret, literal
from chalicelib.settings import (
    DEMONSTRATION_VALUES,
    LOCAL_STAGE,
    Settings,
    StoreName,
    delivery_settings,
    required,
)
from chalicelib.sqs import Queue
from chalicelib.sweep import Sweep

if TYPE_CHECKING:
    from chalicelib.http_connections import Operator
    from chalicelib.http_publishing import Publisher

# What API Gateway waits for is 29 s.
MAX_BUDGET = 25.0
# The rest is for the answer to the sender, which may take all the time a connection and a post may.
BROADCAST_SHARE = 0.7
# Each reads a shard of an audience or forgets a stale connection; posts need no threads.
THREADS = 16
# What API Gateway calls an API, and a stage: never a name that was to be filled in.
_API_ID = re.compile(r"[a-z0-9]{1,32}")
_API_STAGE = re.compile(r"[A-Za-z0-9_-]{1,128}|\$default")


_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CredentialStores:
    """Where credentials are kept that are not the same for all."""

    keys: KeyStore
    tickets: TicketStore


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a handler may use; what only some functions need is built when asked for."""

    authenticators: Callable[[], Sequence[Authenticator]]
    allowed_origins: Collection[str] | None
    tickets: TicketStore
    connections: ConnectionRepository
    management_api: Callable[[str, str], ManagementAPI]
    """By API id and stage."""
    executor: Executor
    now: Callable[[], float]
    """Seconds since the epoch."""
    connection_ttl: int
    """Seconds."""
    default_scopes: Scopes
    policies: Callable[[], Policies | None]
    delivery: DeliverySettings
    limits: LimitSettings
    report: Report
    revocations: RevocationStore
    rates: RateStore
    job_store: JobStore
    queue: TaskQueue | None
    """None where no queue is set."""

    idempotency: IdempotencyStore
    table_answers: Callable[[], bool]
    websocket_api: Callable[[], tuple[str, str]]
    """API id and stage, for functions that no event of the WebSocket API tells them."""

    def bearer_authenticators(self) -> Sequence[Authenticator]:
        """Return those for HTTP, whose TOKEN authorizer sees the Authorization header alone."""
        found = (authenticator.as_bearer() for authenticator in self.authenticators())
        return tuple(authenticator for authenticator in found if authenticator is not None)

    def request_authenticators(self) -> Sequence[Authenticator]:
        """Return those for HTTP where its authorizer sees whole requests.

        A ticket opens a connection and nothing else.
        """
        return tuple(it for it in self.authenticators() if not isinstance(it, TicketAuthenticator))

    def router(self, api_id: str, stage: str, budget: float) -> Router:
        """Return what carries out the messages of one stage, within ``budget`` seconds each."""
        return Router(
            self._gate(),
            self._renewal().renew,
            self.connections,
            self._broadcast(api_id, stage, budget),
            self.now,
            secrets.randbits,
            self.default_scopes,
            self.delivery.max_channels,
            self.policies(),
        )

    def keeps_out(self, principal: Principal) -> bool:
        """Tell whether the credential that showed this principal is revoked."""
        not_before = self.revocations.not_before(principal.principal_id)
        return is_kept_out(not_before, principal.context())

    def arrivals(self) -> Arrivals:
        """Return who decides whether a new connection may stay."""
        most = self.limits.max_connections
        return Arrivals(self.connections, self.revocations, most, self.now, time.sleep)

    def closer(self) -> Closer:
        """Return what closes connections."""
        return Closer(self.connections, self.management_api, self.executor, self.now)

    def sweep(self) -> Sweep:
        """Return what ends those who have expired."""
        return Sweep(self.closer())

    def revoker(self) -> Revoker:
        """Return what ends the connections of principals and keeps them out."""
        return Revoker(self.revocations, self.connections, self.closer(), self.now)

    def worker(self) -> Worker:
        """Return what works one task of the queue."""
        return Worker(
            self.job_store,
            required(self.queue, "QUEUE_NAME"),
            self._sending,
            self.delivery.rate / self.delivery.workers,
            secrets.token_hex(8),
            self.report,
        )

    def _gate(self) -> Gate:
        rate = self.limits.rate
        limiter = None if rate is None else RateLimiter(self.rates, rate)
        return Gate(self.connections, limiter, self.now)

    def _renewal(self) -> Renewal:
        return Renewal(self.bearer_authenticators, self.connections, self.revocations, self.now)

    def publisher(self, principal_id: str) -> "Publisher":
        """Return what sends for a principal over HTTP."""
        # Functions of the WebSocket API need not pay for it.
        from chalicelib.http_publishing import Publisher

        return Publisher(
            principal_id,
            lambda seconds: self._broadcast(*self.websocket_api(), BROADCAST_SHARE * seconds),
            self.idempotency,
            self.now,
            secrets.randbits,
        )

    def operator(self) -> "Operator":
        """Return what looks at connections and closes them."""
        from chalicelib.http_connections import Operator

        management_api = self.management_api(*self.websocket_api())
        return Operator(self.connections, management_api, self.executor, self.now)

    def _broadcast(self, api_id: str, stage: str, budget: float) -> Broadcast:
        broadcaster = Broadcaster(
            self._sending(api_id, stage),
            self._jobs(api_id, stage),
            self.delivery.fanout_threshold,
            budget,
            self.report,
        )

        def broadcast(audience: Audience, payload: bytes, message_id: str) -> Mapping[str, Any]:
            return broadcaster.broadcast(audience, payload, message_id).to_dict()

        return broadcast

    def _sending(self, api_id: str, stage: str) -> Sending:
        management_api = self.management_api(api_id, stage)
        return Sending(self.connections, management_api, self.executor, self.now)

    def _jobs(self, api_id: str, stage: str) -> JobQueue | None:
        if self.queue is None:
            return None
        return JobQueue(
            self.job_store, self.queue, api_id, stage, self.now, self.delivery.job_seconds
        )


def http_seconds(remaining_milliseconds: float) -> float:
    """Return how many seconds an HTTP route has left in a function that ends then."""
    return min(MAX_BUDGET, remaining_milliseconds / 1000 - 1)


def message_budget(remaining_milliseconds: int) -> float:
    """Return how many seconds a broadcast may take in a function that ends then."""
    return min(MAX_BUDGET, BROADCAST_SHARE * remaining_milliseconds / 1000)


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
    # Lambda takes what is printed to the log as it is: a logger would put words before it.
    write = print if "AWS_LAMBDA_FUNCTION_NAME" in os.environ else _logger.debug
    return build(settings(), credentials_provider(os.environ), write_metrics=write)


def build(
    settings: Settings,
    credentials: Callable[[], Credentials],
    now: Callable[[], float] = time.time,
    write_metrics: Callable[[str], object] = _logger.debug,
) -> Services:
    """Put the services together; no network, no secret and no boto3 is needed for it."""
    region = required(settings.region, "AWS_REGION")
    executor = ThreadPoolExecutor(THREADS, thread_name_prefix="table")
    dynamodb = _dynamodb(settings, credentials, now)
    stores = CredentialStores(
        keys=DynamoDBKeys(dynamodb, settings.table_name),
        tickets=DynamoDBTickets(dynamodb, settings.table_name),
    )
    secret = secret_source(settings, credentials, now)
    return Services(
        authenticators=cache(partial(authenticators, settings, secret, stores, now)),
        allowed_origins=settings.allowed_origins,
        tickets=stores.tickets,
        connections=DynamoDBConnectionRepository(
            dynamodb,
            settings.table_name,
            settings.everyone_shards,
            settings.delivery.channel_shards,
        ),
        management_api=_management_apis(settings, region, credentials, now),
        executor=executor,
        now=now,
        connection_ttl=settings.connection_ttl,
        default_scopes=settings.default_scopes,
        policies=cache(partial(cedar_policies, settings.cedar_policies)),
        delivery=settings.delivery,
        limits=settings.limits,
        revocations=DynamoDBRevocations(dynamodb, settings.table_name),
        rates=DynamoDBRates(dynamodb, settings.table_name),
        report=DeliveryMetrics(settings.stage, now, write_metrics),
        job_store=DynamoDBJobStore(dynamodb, settings.table_name),
        queue=_queue(settings, region, credentials, now),
        idempotency=DynamoDBIdempotency(dynamodb, settings.table_name),
        table_answers=TableHealth(_impatient(settings, credentials, now), settings.table_name),
        websocket_api=partial(websocket_api, settings),
    )


def websocket_api(settings: Settings) -> tuple[str, str]:
    """Return API id and stage, which the deployment tells functions that ask for them."""
    if settings.management_endpoint is not None:  # which says it all
        return "local", "api"
    api_id = required(settings.websocket_api_id, "WEBSOCKET_API_ID")
    stage = required(settings.websocket_stage, "WEBSOCKET_STAGE")
    if not _API_ID.fullmatch(api_id) or not _API_STAGE.fullmatch(stage):
        problem = "WEBSOCKET_API_ID, WEBSOCKET_STAGE (the deployment has not filled them in)"
        raise ConfigurationError(f"invalid environment variables: {problem}")
    return api_id, stage


def key_store(
    settings: Settings,
    credentials: Callable[[], Credentials],
    now: Callable[[], float] = time.time,
) -> DynamoDBKeys:
    """Return the API keys of a stage, for those who manage them."""
    return DynamoDBKeys(_dynamodb(settings, credentials, now), settings.table_name)


def _dynamodb(
    settings: Settings,
    credentials: Callable[[], Credentials],
    now: Callable[[], float],
    backoff: Backoff | None = None,
    *,
    connect_timeout: float = 1.0,
    read_timeout: float = 2.0,
) -> DynamoDB:
    region = required(settings.region, "AWS_REGION")
    client = SignedClient(
        settings.dynamodb_endpoint or settings.endpoint or public_endpoint("dynamodb", region),
        Signer(region, "dynamodb"),
        credentials,
        now,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
    )
    return DynamoDB(client, backoff or Backoff())


def _impatient(
    settings: Settings, credentials: Callable[[], Credentials], now: Callable[[], float]
) -> DynamoDB:
    """Return what gives up after two seconds, for one who only asks whether it is there."""
    patience = Backoff(deadline=0.5)
    return _dynamodb(settings, credentials, now, patience, connect_timeout=0.5, read_timeout=1.0)


def _queue(
    settings: Settings,
    region: str,
    credentials: Callable[[], Credentials],
    now: Callable[[], float],
) -> Queue | None:
    name = settings.delivery.queue_name
    if name is None:
        return None
    endpoint = settings.delivery.sqs_endpoint or settings.endpoint or public_endpoint("sqs", region)
    client = SignedClient(endpoint, Signer(region, "sqs"), credentials, now, read_timeout=2.0)
    return Queue(client, Backoff(), name)


def cors_allow_origin() -> str | None:
    """Return whose pages may call the HTTP API, None for nobody's; read as the queue's name is."""
    reader = Reader(os.environ)
    origin = read_cors(reader)
    reader.finish()
    return origin


def queue_and_workers() -> tuple[str, int] | None:
    """Return what Chalice must know of the queue where it imports the app, None without a queue.

    All else is read at first use. Whoever plans, packages or serves a stage sets its variables
    before the import; Lambda has them from the beginning.
    """
    delivery = delivery_settings(os.environ)
    return None if delivery.queue_name is None else (delivery.queue_name, delivery.workers)


def authorizes_whole_requests() -> bool:
    """Tell what Chalice must know of the HTTP authorizer where it imports the app."""
    reader = Reader(os.environ)
    (kind, *_) = reader.choices("HTTP_AUTHORIZER", ("token", "request"), "token") or ("token",)
    reader.finish()
    return kind == "request"


def http_identity_sources() -> Sequence[str]:
    """Name what API Gateway must find in an HTTP request before it asks the authorizer."""
    from chalicelib import api  # nothing on Lambda needs it

    return api.http_identity_sources(settings())


def http_credential_parameters() -> frozenset[str]:
    """Return the query parameters of HTTP that are the authorizer's and not the routes'."""
    return settings().credential_parameters() if authorizes_whole_requests() else frozenset()


def authenticators(
    settings: Settings, secret: SecretSource, stores: CredentialStores, now: Callable[[], float]
) -> Sequence[Authenticator]:
    """Return the chosen authenticators; ConfigurationError where an expected value is unknown."""
    build: Mapping[str, Callable[[], Authenticator]] = {
        "shared_token": partial(SharedToken.from_settings, settings, secret),
        "request_parameters": partial(RequestParameters.from_settings, settings, secret),
        "jwt": partial(jwt_authenticator, settings, secret, now),
        "api_key": partial(
            ApiKeyAuthenticator,
            stores.keys,
            settings.credential_places,
            settings.connection_ttl,
        ),
        "ticket": partial(TicketAuthenticator, stores.tickets, settings.connection_ttl),
    }
    return tuple(build[name]() for name in settings.authenticators)


def cedar_policies(name: str | None) -> Policies | None:
    """Return the policies of a file beside app.py; ConfigurationError where they cannot be had."""
    if name is None:
        return None
    try:
        # 40 ms, which only those pay who ask for it.
        from chalicelib.cedar import CedarPolicies

        return CedarPolicies((Path(__file__).parents[1] / name).read_text("utf-8"))
    except ModuleNotFoundError as error:
        raise ConfigurationError("CEDAR_POLICIES needs cedarpy in requirements.txt") from error
    except OSError as error:
        raise ConfigurationError("CEDAR_POLICIES names no file of the package") from error


def jwt_authenticator(
    settings: Settings, secret: SecretSource, now: Callable[[], float]
) -> Authenticator:
    """Return what verifies tokens; ConfigurationError where the package has nothing to do so."""
    try:
        # 100 ms, which only those pay who ask for it.
        from chalicelib.authorizers.jwt import JwtAuthenticator
    except ModuleNotFoundError as error:
        raise ConfigurationError("jwt needs PyJWT[crypto] in requirements.txt") from error
    return JwtAuthenticator.from_settings(settings, secret, now)


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
