"""The composition root: the only place that reads the environment and imports boto3, late."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import cache
from importlib import import_module

from chalicelib.bootstrap.authentication import CredentialStores, authenticators, cedar_policies
from chalicelib.bootstrap.building import build, key_store, websocket_api
from chalicelib.bootstrap.clients import public_endpoint
from chalicelib.bootstrap.credentials import credentials_provider
from chalicelib.bootstrap.services import BROADCAST_SHARE, Services
from chalicelib.credential_settings import read_cors
from chalicelib.environment import Reader
from chalicelib.settings import Settings, delivery_settings

__all__ = [
    "CredentialStores",
    "Services",
    "authenticators",
    "authorizes_whole_requests",
    "build",
    "cedar_policies",
    "cors_allow_origin",
    "credentials_provider",
    "http_credential_parameters",
    "http_identity_sources",
    "http_seconds",
    "import_ahead",
    "key_store",
    "message_budget",
    "public_endpoint",
    "queue_and_workers",
    "services",
    "settings",
    "websocket_api",
]

# What API Gateway waits for is 29 s.
MAX_BUDGET = 25.0

# By the name of the handler, as Lambda knows it.
_AHEAD = {
    "app.websocket_connect": ("arrivals",),
    "app.websocket_message": (
        *("broadcast", "closing", "gate", "job_table", "management_api"),
        *("messages", "rates", "renewal"),
    ),
    "app.websocket_deliver": ("job_table", "management_api"),
    "app.app": ("http_connections", "http_publishing", "job_table", "management_api"),
}

_logger = logging.getLogger(__name__)


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


def import_ahead() -> None:
    """Import what this Lambda function will need at its first call.

    While it starts it has a whole processor, later the part that its memory buys.
    https://serverlessland.com/content/service/lambda/guides/effectively-running-java-on-serverless/init-heavy-lifting
    """
    for module in _AHEAD.get(os.environ.get("_HANDLER", ""), ()):
        import_module(f"chalicelib.{module}")


def http_seconds(remaining_milliseconds: float) -> float:
    """Return how many seconds an HTTP route has left in a function that ends then."""
    return min(MAX_BUDGET, remaining_milliseconds / 1000 - 1)


def message_budget(remaining_milliseconds: int) -> float:
    """Return how many seconds a broadcast may take in a function that ends then."""
    return min(MAX_BUDGET, BROADCAST_SHARE * remaining_milliseconds / 1000)


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
