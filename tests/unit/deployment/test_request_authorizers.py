"""What both commands tell API Gateway of an authorizer that sees whole requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from chalice.app import Chalice
from chalice.deploy.swagger import (
    CFNSwaggerGenerator,
    SwaggerGenerator,
    TemplatedSwaggerGenerator,
)

from deployment import chalice_internals, http_api

GENERATORS = [CFNSwaggerGenerator, TemplatedSwaggerGenerator]


class Seeing:
    """An authorizer's kind that has identity sources."""

    identity_sources: Sequence[str] = ()


@pytest.fixture(autouse=True)
def hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "_generate_security_from_auth_obj"
    # wrap() is for good; this is undone after the test.
    monkeypatch.setattr(SwaggerGenerator, name, getattr(SwaggerGenerator, name))
    chalice_internals.wrap(SwaggerGenerator, name, http_api.describe_authorizer)


def described(
    generator: type[Any], sources: Sequence[str] | None, ttl_seconds: int | None = 60
) -> tuple[Any, Any]:
    """Return how an authorizer is described, and what its route says of it."""
    app = Chalice("site")

    @app.authorizer(name="gate", ttl_seconds=ttl_seconds)
    def gate(request: Any) -> Any: ...

    if sources is not None:
        kind = type("Kind", (Seeing, type(gate)), {"identity_sources": sources})
        gate.__class__ = kind

    @app.route("/orders", authorizer=gate)
    def orders() -> None: ...

    swagger = generator().generate_swagger(app)
    security = swagger["paths"]["/orders"]["get"]["security"]
    return swagger["securityDefinitions"]["gate"], security


@pytest.mark.parametrize("generator", GENERATORS)
def test_an_authorizer_with_sources_is_of_the_kind_request(generator: type[Any]) -> None:
    sources = ("method.request.header.A", "method.request.querystring.b", "stageVariables.C")
    definition, security = described(generator, sources)
    token, _ = described(generator, None)
    authorizer = definition.pop("x-amazon-apigateway-authorizer")
    assert authorizer == {
        "type": "request",
        "identitySource": ", ".join(sources),
        "authorizerUri": token["x-amazon-apigateway-authorizer"]["authorizerUri"],
        "authorizerResultTtlInSeconds": 60,
    }
    assert definition == {
        "in": "header",
        "type": "apiKey",
        "name": "Unused",
        "x-amazon-apigateway-authtype": "custom",
    }
    assert security == [{"gate": []}]


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("ttl_seconds", [None, 60])
def test_without_sources_no_answer_is_kept(generator: type[Any], ttl_seconds: int | None) -> None:
    definition, _ = described(generator, (), ttl_seconds)
    authorizer = definition["x-amazon-apigateway-authorizer"]
    assert authorizer["authorizerResultTtlInSeconds"] == 0
    assert "identitySource" not in authorizer


@pytest.mark.parametrize("generator", GENERATORS)
def test_any_other_is_as_chalice_has_it(generator: type[Any]) -> None:
    definition, _ = described(generator, None)
    assert definition["name"] == "Authorization"
    assert definition["x-amazon-apigateway-authorizer"]["type"] == "token"
    assert "identitySource" not in definition["x-amazon-apigateway-authorizer"]
