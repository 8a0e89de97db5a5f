"""Puts the services together: which implementation stands where."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING

from chalicelib.aws import Credentials
from chalicelib.bootstrap.authentication import (
    CredentialStores,
    authenticators,
    cedar_policies,
    secret_source,
)
from chalicelib.bootstrap.clients import Clients
from chalicelib.bootstrap.services import Services
from chalicelib.connection_table import DynamoDBConnectionRepository
from chalicelib.credential_store import DynamoDBKeys, DynamoDBTickets
from chalicelib.errors import ConfigurationError
from chalicelib.health import TableHealth
from chalicelib.idempotency_table import DynamoDBIdempotency
from chalicelib.metrics import DeliveryMetrics
from chalicelib.rate_table import DynamoDBRates
from chalicelib.revocation_table import DynamoDBRevocations
from chalicelib.settings import Settings, required

if TYPE_CHECKING:
    from chalicelib.dynamodb import DynamoDB
    from chalicelib.jobs import JobStore

# Each reads a shard of an audience or forgets a stale connection; posts need no threads.
THREADS = 16
# What API Gateway calls an API, and a stage: never a name that was to be filled in.
_API_ID = re.compile(r"[a-z0-9]{1,32}")
_API_STAGE = re.compile(r"[A-Za-z0-9_-]{1,128}|\$default")

_logger = logging.getLogger(__name__)


def build(
    settings: Settings,
    credentials: Callable[[], Credentials],
    now: Callable[[], float] = time.time,
    write_metrics: Callable[[str], object] = _logger.debug,
) -> Services:
    """Put the services together; no network, no secret and no boto3 is needed for it."""
    clients = Clients(settings, credentials, now)
    dynamodb, table = clients.dynamodb(), settings.table_name
    keys, tickets = DynamoDBKeys(dynamodb, table), DynamoDBTickets(dynamodb, table)
    stores = CredentialStores(keys, tickets)
    secret = secret_source(clients)
    return Services(
        authenticators=cache(partial(authenticators, settings, secret, stores, now)),
        allowed_origins=settings.allowed_origins,
        tickets=tickets,
        keys=keys if "api_key" in settings.authenticators else None,
        connections=DynamoDBConnectionRepository(
            dynamodb, table, settings.everyone_shards, settings.delivery.channel_shards
        ),
        management_api=clients.management_apis(),
        executor=ThreadPoolExecutor(THREADS, thread_name_prefix="table"),
        now=now,
        connection_ttl=settings.connection_ttl,
        default_scopes=settings.default_scopes,
        policies=cache(partial(cedar_policies, settings.cedar_policies)),
        delivery=settings.delivery,
        limits=settings.limits,
        revocations=DynamoDBRevocations(dynamodb, table),
        rates=DynamoDBRates(dynamodb, table),
        report=DeliveryMetrics(settings.stage, now, write_metrics),
        job_store=cache(partial(_job_store, dynamodb, table)),
        queue=clients.queue(),
        idempotency=DynamoDBIdempotency(dynamodb, table),
        table_answers=TableHealth(clients.impatient_dynamodb(), table),
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
    settings: Settings, credentials: Callable[[], Credentials], now: Callable[[], float] = time.time
) -> DynamoDBKeys:
    """Return the API keys of a stage, for those who manage them."""
    return DynamoDBKeys(Clients(settings, credentials, now).dynamodb(), settings.table_name)


def _job_store(dynamodb: DynamoDB, table: str) -> JobStore:
    from chalicelib.job_table import DynamoDBJobStore

    return DynamoDBJobStore(dynamodb, table)
