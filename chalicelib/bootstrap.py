"""The composition root: the only place that reads the environment and imports boto3, late."""

import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from chalicelib.authorizers import Authenticator
from chalicelib.authorizers.request_parameters import RequestParameters
from chalicelib.authorizers.shared_token import SharedToken
from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.broadcast import Broadcaster, ManagementAPI, Report, Sending
from chalicelib.connection_table import DynamoDBConnectionRepository
from chalicelib.connections import Audience, ConnectionRepository
from chalicelib.delivery_settings import DeliverySettings
from chalicelib.dynamodb import DynamoDB
from chalicelib.errors import ConfigurationError
from chalicelib.job_table import DynamoDBJobStore
from chalicelib.jobs import JobQueue, JobStore, TaskQueue, Worker
from chalicelib.management_api import APIGatewayManagementAPI, management_endpoint
from chalicelib.messages import Router
from chalicelib.metrics import DeliveryMetrics
from chalicelib.scopes import Scopes
from chalicelib.settings import Settings, delivery_settings, required
from chalicelib.sqs import Queue, sqs_endpoint

# What API Gateway waits for is 29 s.
MAX_BUDGET = 25.0
# The rest is for the answer to the sender, which may take all the time a connection and a post may.
BROADCAST_SHARE = 0.7
# Each reads a shard of an audience or forgets a stale connection; posts need no threads.
THREADS = 16


_logger = logging.getLogger(__name__)


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
    default_scopes: Scopes
    delivery: DeliverySettings

    report: Report

    job_store: JobStore
    queue: TaskQueue | None
    """None where no queue is set."""

    def router(self, api_id: str, stage: str, budget: float) -> Router:
        """Return what carries out the messages of one stage, within ``budget`` seconds each."""
        broadcaster = Broadcaster(
            self._sending(api_id, stage),
            self._jobs(api_id, stage),
            self.delivery.fanout_threshold,
            budget,
            self.report,
        )

        def broadcast(audience: Audience, payload: bytes, message_id: str) -> Mapping[str, Any]:
            return broadcaster.broadcast(audience, payload, message_id).to_dict()

        return Router(
            self.connections,
            broadcast,
            self.now,
            secrets.randbits,
            self.default_scopes,
            self.delivery.max_channels,
        )

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

    def _sending(self, api_id: str, stage: str) -> Sending:
        management_api = self.management_api(api_id, stage)
        return Sending(self.connections, management_api, self.executor, self.now)

    def _jobs(self, api_id: str, stage: str) -> JobQueue | None:
        if self.queue is None:
            return None
        return JobQueue(
            self.job_store, self.queue, api_id, stage, self.now, self.delivery.job_seconds
        )


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
    client = SignedClient(
        settings.dynamodb_endpoint or dynamodb_endpoint(region),
        Signer(region, "dynamodb"),
        credentials,
        now,
        connect_timeout=1.0,
        read_timeout=2.0,
    )
    dynamodb = DynamoDB(client, Backoff())
    return Services(
        authenticators=cache(partial(authenticators, settings)),
        connections=DynamoDBConnectionRepository(
            dynamodb,
            settings.table_name,
            settings.everyone_shards,
            settings.delivery.channel_shards,
        ),
        management_api=_management_apis(settings.management_endpoint, region, credentials, now),
        executor=executor,
        now=now,
        connection_ttl=settings.connection_ttl,
        default_scopes=settings.default_scopes,
        delivery=settings.delivery,
        report=DeliveryMetrics(settings.stage, now, write_metrics),
        job_store=DynamoDBJobStore(dynamodb, settings.table_name),
        queue=_queue(settings.delivery, region, credentials, now),
    )


def _queue(
    delivery: DeliverySettings,
    region: str,
    credentials: Callable[[], Credentials],
    now: Callable[[], float],
) -> Queue | None:
    if delivery.queue_name is None:
        return None
    endpoint = delivery.sqs_endpoint or sqs_endpoint(region)
    client = SignedClient(endpoint, Signer(region, "sqs"), credentials, now, read_timeout=2.0)
    return Queue(client, Backoff(), delivery.queue_name)


def queue_and_workers() -> tuple[str, int] | None:
    """Return what Chalice must know of the queue where it imports the app, None without a queue.

    All else is read at first use. Whoever plans, packages or serves a stage sets its variables
    before the import; Lambda has them from the beginning.
    """
    delivery = delivery_settings(os.environ)
    return None if delivery.queue_name is None else (delivery.queue_name, delivery.workers)


def authenticators(settings: Settings) -> Sequence[Authenticator]:
    """Return the chosen authenticators; ConfigurationError where an expected value is unknown."""
    if settings.authorizer == "shared_token":
        return (SharedToken.from_settings(settings),)
    return (RequestParameters.from_settings(settings),)


def dynamodb_endpoint(region: str) -> str:
    """Return DynamoDB's public endpoint of a region."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://dynamodb.{region}.{suffix}"


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
    override: str | None,
    region: str,
    credentials: Callable[[], Credentials],
    now: Callable[[], float],
) -> Callable[[str, str], ManagementAPI]:
    # One client for each stage: Chalice's own keeps the first endpoint for ever, and a post to
    # the wrong stage is answered 410, for which live connections would be removed.
    signer = Signer(region, "execute-api")

    @cache
    def management_api(api_id: str, stage: str) -> ManagementAPI:
        endpoint = override or management_endpoint(api_id, stage, region)
        return APIGatewayManagementAPI(SignedClient(endpoint, signer, credentials, now))

    return management_api
