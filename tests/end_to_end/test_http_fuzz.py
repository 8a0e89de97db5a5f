"""The HTTP API, fuzzed from its own document: never a 5xx, and every answer is described."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chalicelib import openapi
from chalicelib.http_routes import ROUTE_SCOPES
from chalicelib.scopes import Scopes
from localgateway.database import EmbeddedDatabase
from tests.app_under_test import AppUnderTest, app_under_test
from tests.http_cases import BEARER

SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(openapi.document(""))))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# A URL or headers too long for any route.
OF_GATEWAY = (414, 431)
NO_HTTP = b'{"message": "Bad Request"}'
"""Said of bytes that are no HTTP: a generated header may be that."""
BOUNDED = settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def app(database: EmbeddedDatabase) -> Iterator[AppUnderTest]:
    scopes = Scopes.parse(" ".join({*ROUTE_SCOPES.values()}))
    with (
        pytest.MonkeyPatch.context() as patch,
        app_under_test(
            database,
            patch,
            default_scopes=scopes,
            authenticators=("shared_token", "ticket", "api_key"),
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@SCHEMA.parametrize()
@BOUNDED
def test_whatever_is_asked_is_answered_as_described(
    case: schemathesis.Case[Any], app: AppUnderTest, session: requests.Session
) -> None:
    url = f"http://{app.gateway.address}"
    response = case.call(base_url=url, headers=BEARER, session=session, timeout=60)
    if response.status_code in OF_GATEWAY or response.content == NO_HTTP:
        return
    case.validate_response(response, checks=CHECKS)
