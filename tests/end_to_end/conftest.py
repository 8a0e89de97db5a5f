from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from localgateway.authorization import IdentitySource
from localgateway.definition import ApiDefinition, Authorizer, Route
from localgateway.limits import Limits
from localgateway.workers import MAX_THREADS
from tests.gateway_under_test import GatewayUnderTest, Handler, allow

Serve = Callable[..., GatewayUnderTest]


def accept(_event: Any, _context: Any) -> dict[str, int]:
    return {"statusCode": 200}


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start gateways whose functions are the keyword arguments; a missing one has no route."""
    running: list[GatewayUnderTest] = []

    def start(
        *,
        identity_sources: tuple[str, ...] = (),
        routes: Mapping[str, Route] | None = None,
        stage_variables: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        disconnects: int = 1,
        concurrency: int = MAX_THREADS,
        **functions: Handler,
    ) -> GatewayUnderTest:
        predefined = {"connect": "$connect", "disconnect": "$disconnect", "message": "$default"}
        handlers = {key: Route(name) for name, key in predefined.items() if name in functions}
        authorizer = None
        if "authorizer" in functions:
            sources = tuple(IdentitySource.parse(text) for text in identity_sources)
            authorizer = Authorizer("authorizer", sources)
        definition = ApiDefinition(
            routes={**handlers, **(routes or {})},
            authorizer=authorizer,
            stage_variables=stage_variables or {},
        )
        running.append(
            GatewayUnderTest(
                definition, functions, limits, disconnects=disconnects, concurrency=concurrency
            )
        )
        return running[-1]

    yield start
    for gateway in running:
        gateway.stop()


@pytest.fixture
def protected(serve: Serve) -> GatewayUnderTest:
    """A gateway with all handlers; the token header is the identity source."""
    return serve(
        identity_sources=("route.request.header.token",),
        authorizer=allow,
        connect=accept,
        disconnect=accept,
        message=accept,
    )
