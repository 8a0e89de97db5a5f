"""The app's services on fakes, whatever of them a test does not care about."""

from __future__ import annotations

from concurrent.futures import Executor
from functools import cache, partial
from typing import Any

from chalicelib import bootstrap
from chalicelib.bootstrap import CredentialStores, Services
from chalicelib.broadcast import no_report
from chalicelib.secret_values import literal
from chalicelib.settings import Settings
from tests.factories import NOW, make_settings
from tests.fakes import (
    Clock,
    FakeManagementAPI,
    InMemoryConnectionRepository,
    InMemoryIdempotency,
    InMemoryJobStore,
    InMemoryKeys,
    InMemoryRates,
    InMemoryRevocations,
    InMemoryTickets,
)


def make_services(executor: Executor, settings: Settings | None = None, **changes: Any) -> Services:
    """Return services in memory, with the clock stopped at NOW."""
    settings = settings or make_settings()
    now = changes.setdefault("now", Clock(NOW))
    tickets = changes.setdefault("tickets", InMemoryTickets())
    management_api = FakeManagementAPI()
    keys = changes.pop("keys", InMemoryKeys())
    stores = CredentialStores(keys, tickets)
    known: dict[str, Any] = {
        "authenticators": partial(bootstrap.authenticators, settings, literal, stores, now),
        "allowed_origins": settings.allowed_origins,
        "keys": keys if "api_key" in settings.authenticators else None,
        "connections": InMemoryConnectionRepository(),
        "management_api": lambda api_id, stage: management_api,
        "executor": executor,
        "connection_ttl": settings.connection_ttl,
        "default_scopes": settings.default_scopes,
        "policies": lambda: None,
        "delivery": settings.delivery,
        "limits": settings.limits,
        "report": no_report,
        "revocations": InMemoryRevocations(),
        "rates": InMemoryRates(),
        "job_store": cache(InMemoryJobStore),
        "queue": None,
        "idempotency": InMemoryIdempotency(),
        "table_answers": lambda: True,
        "websocket_api": lambda: ("abcdef1234", "api"),
    }
    return Services(**(known | changes))
