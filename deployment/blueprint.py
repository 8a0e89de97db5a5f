"""What is to be deployed, as plain values: read by ``chalice deploy`` and ``chalice package``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deployment.errors import DeploymentRefused
from deployment.options import Options

CONNECT = "$connect"
# Chalice's own names for the functions behind its three routes.
CHALICE_ROUTES = {
    CONNECT: "websocket_connect",
    "$disconnect": "websocket_disconnect",
    "$default": "websocket_message",
}
CHALICE_EXPRESSION = "$request.body.action"
AUTHORIZER_NAME = "websocket-authorizer"
_INTEGRATION_TYPES = ("AWS", "AWS_PROXY")
_ROUTE_KEYS = frozenset({"function", "integration_type", "request_templates"})


@dataclass(frozen=True, slots=True)
class Integration:
    """How a route reaches its function; ``function`` is the name of Chalice's resource."""

    function: str
    integration_type: str
    request_templates: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Route:
    """A route; only ``$connect`` can have an authorizer."""

    route_key: str
    integration: Integration
    authorized: bool

    @property
    def integration_name(self) -> str:
        """Return the name of the integration: that of its route, for a route of its own."""
        return CHALICE_ROUTES.get(self.route_key, self.route_key)


@dataclass(frozen=True, slots=True)
class Authorizer:
    """A REQUEST authorizer; API Gateway offers no other on ``$connect``."""

    function: str
    identity_sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """One stage of a WebSocket API and what it needs beside its functions."""

    app_name: str
    chalice_stage: str
    api_name: str
    stage: str
    route_selection_expression: str
    authorizer: Authorizer
    routes: tuple[Route, ...]
    stage_variables: Mapping[str, str]
    tables: tuple[Mapping[str, Any], ...]
    queues: tuple[Mapping[str, Any], ...]
    policy_names: Mapping[str, str]
    functions: Mapping[str, str]
    """Function names by the name of Chalice's resource."""
    tags: Mapping[str, str]
    options: Options

    def content_hash(self) -> str:
        """Return what changes with anything that a deployment of the API takes a snapshot of."""
        snapshot = {
            "authorizer": asdict(self.authorizer),
            "routes": [asdict(route) for route in self.routes],
            "expression": self.route_selection_expression,
        }
        text = json.dumps(snapshot, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def build(
    definition: Mapping[str, Any],
    *,
    app_name: str,
    chalice_stage: str,
    api_name: str,
    stage: str,
    chalice_routes: Sequence[str],
    functions: Mapping[str, str],
    tags: Mapping[str, str],
    options: Options,
) -> Blueprint:
    """Put a definition and Chalice's own plan together; DeploymentRefused where they disagree."""
    if CONNECT not in chalice_routes:
        raise DeploymentRefused("the app has no $connect handler, so nothing could be authorized")
    if "authorizer" not in definition:
        raise DeploymentRefused("the definition has no authorizer, so the API would be open")
    blueprint = Blueprint(
        app_name=app_name,
        chalice_stage=chalice_stage,
        api_name=api_name,
        stage=stage,
        route_selection_expression=definition.get("route_selection_expression", CHALICE_EXPRESSION),
        authorizer=Authorizer(
            definition["authorizer"]["function"],
            tuple(definition["authorizer"].get("identity_sources", ())),
        ),
        routes=(*_chalice_routes(chalice_routes), *_own_routes(definition.get("routes", {}))),
        stage_variables=dict(definition.get("stage_variables", {})),
        tables=tuple(definition.get("tables", ())),
        queues=tuple(definition.get("queues", ())),
        policy_names=dict(definition.get("policy_names", {})),
        functions=dict(functions),
        tags=dict(tags),
        options=options,
    )
    _refuse_unknown_functions(blueprint)
    return blueprint


def _chalice_routes(route_keys: Sequence[str]) -> tuple[Route, ...]:
    unknown = sorted(set(route_keys) - CHALICE_ROUTES.keys())
    if unknown:
        raise DeploymentRefused(f"Chalice plans routes of its own that are not known: {unknown}")
    return tuple(
        Route(key, Integration(function, "AWS_PROXY", {}), authorized=key == CONNECT)
        for key, function in CHALICE_ROUTES.items()
        if key in route_keys
    )


def _own_routes(routes: Mapping[str, Any]) -> tuple[Route, ...]:
    return tuple(_own_route(key, route) for key, route in sorted(routes.items()))


def _own_route(route_key: str, route: Mapping[str, Any]) -> Route:
    """Read a route; what the local gateway knows and this does not is refused, not left out."""
    if route_key in CHALICE_ROUTES:
        raise DeploymentRefused(f"route {route_key} is Chalice's: it has a decorator")
    unknown = sorted(route.keys() - _ROUTE_KEYS)
    integration_type = route.get("integration_type", "AWS_PROXY")
    if unknown or integration_type not in _INTEGRATION_TYPES:
        what = ", ".join(unknown) or f"integration_type {integration_type}"
        raise DeploymentRefused(f"route {route_key}: {what} cannot be deployed")
    integration = Integration(
        str(route.get("function")), integration_type, dict(route.get("request_templates", {}))
    )
    return Route(route_key, integration, authorized=False)


def _refuse_unknown_functions(blueprint: Blueprint) -> None:
    named = {route.integration.function for route in blueprint.routes}
    unknown = sorted((named | {blueprint.authorizer.function}) - blueprint.functions.keys())
    if unknown:
        raise DeploymentRefused(
            f"the definition names functions the app does not have: {', '.join(unknown)}; "
            f"it has {', '.join(sorted(blueprint.functions))}"
        )
