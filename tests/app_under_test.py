"""The app of this repository behind a real gateway in this process, on a real engine."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from chalice.config import Config

import app as app_module
from chalicelib import api, bootstrap
from chalicelib.aws import Credentials
from chalicelib.credential_store import DynamoDBKeys
from chalicelib.settings import Settings
from localgateway.database import EmbeddedDatabase
from localgateway.definition import read
from localgateway.gateway_responses import GatewayResponses
from localgateway.http_routes import HttpRoutes
from tests.engine import make_dynamodb
from tests.factories import NOW, make_settings
from tests.fakes import Clock
from tests.gateway_under_test import NET, GatewayUnderTest

_numbers = itertools.count()
_HANDLERS = {
    "$connect": "websocket_connect",
    "$disconnect": "websocket_disconnect",
    "$default": "websocket_message",
}


class AppUnderTest:
    """The gateway, the app's settings and clock, and what is behind them."""

    def __init__(
        self, database: EmbeddedDatabase, module: ModuleType = app_module, **settings: Any
    ) -> None:
        """``module`` is the app as it was imported."""
        self.table = f"app-{next(_numbers)}"
        self.clock = Clock(NOW)
        self.dynamodb = make_dynamodb(database, self.table)
        self.keys = DynamoDBKeys(self.dynamodb, self.table)
        names = ("websocket_authorizer", *_HANDLERS.values())
        functions: dict[str, Any] = {name: getattr(module, name) for name in names}
        endpoint = {"dynamodb_endpoint": database.endpoint_url}
        self.settings: Settings = make_settings(table_name=self.table, **endpoint, **settings)
        definition = read(_HANDLERS, functions, api.definition(self.settings))
        responses = GatewayResponses(definition.gateway_responses)
        routes = HttpRoutes(
            module.app,
            Config(chalice_stage="local"),
            responses,
            definition.http_stage_variables,
        )
        # One clock for both: by the wall's, connections would end on the day the tests run.
        self.gateway = GatewayUnderTest(definition, functions, http_routes=routes, clock=self.clock)
        self.settings = make_settings(
            table_name=self.table,
            management_endpoint=self.gateway.management_url,
            **endpoint,
            **settings,
        )
        credentials = Credentials("testing", "testing")
        self.services = bootstrap.build(self.settings, lambda: credentials, self.clock)

    def items(self) -> list[Any]:
        """Return all that is in the table."""
        found: list[Any] = self.dynamodb.call("Scan", {"TableName": self.table})["Items"]
        return found

    def post(self, path: str, body: str, **headers: str) -> tuple[int, Any]:
        """Post a text as JSON; return the status and the JSON of the answer."""
        headers["Content-Type"] = "application/json"
        status, _, answer = self.request("POST", path, body, **headers)
        return status, answer

    def request(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Send an HTTP request; return its status, headers and JSON."""
        connection = http.client.HTTPConnection(self.gateway.address, timeout=NET)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            return response.status, dict(response.headers), json.loads(answer) if answer else None
        finally:
            connection.close()

    def ticket(self, credential: str, **headers: str) -> str:
        """Ask for a ticket, and fail if there is none."""
        bearer = {"Authorization": f"Bearer {credential}"}
        status, _, body = self.request("POST", "/tickets", **bearer, **headers)
        assert status == 200, body
        ticket: str = body["ticket"]
        return ticket


@contextmanager
def app_under_test(
    database: EmbeddedDatabase,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType = app_module,
    **settings: Any,
) -> Iterator[AppUnderTest]:
    """Serve the app with these settings."""
    known = make_settings(**settings)  # Chalice may ask for them when the app is served
    monkeypatch.setattr(bootstrap, "settings", lambda: known)
    running = AppUnderTest(database, module, **settings)
    monkeypatch.setattr(bootstrap, "services", lambda: running.services)
    monkeypatch.setattr(bootstrap, "settings", lambda: running.settings)
    try:
        yield running
    finally:
        running.gateway.stop()
        running.services.executor.shutdown()
