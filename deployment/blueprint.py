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
AUTHORIZER_NAME = "websocket-authorizer"


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

    def deployment_description(self) -> str:
        """Return what a deployment is described by, which tells whether it is an old one."""
        return f"content {self.content_hash()}"


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
    blueprint = Blueprint(
        app_name=app_name,
        chalice_stage=chalice_stage,
        api_name=api_name,
        stage=stage,
        route_selection_expression=definition["route_selection_expression"],
        authorizer=Authorizer(
            definition["authorizer"]["function"],
            tuple(definition["authorizer"]["identity_sources"]),
        ),
        routes=(*_chalice_routes(chalice_routes), *_own_routes(definition["routes"])),
        stage_variables=dict(definition["stage_variables"]),
        tables=tuple(definition["tables"]),
        queues=tuple(definition.get("queues", ())),
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
    return tuple(
        Route(
            key,
            Integration(route["function"], route["integration_type"], route["request_templates"]),
            authorized=False,
        )
        for key, route in sorted(routes.items())
    )


def _refuse_unknown_functions(blueprint: Blueprint) -> None:
    named = {route.integration.function for route in blueprint.routes}
    unknown = sorted((named | {blueprint.authorizer.function}) - blueprint.functions.keys())
    if unknown:
        raise DeploymentRefused(
            f"the definition names functions the app does not have: {', '.join(unknown)}; "
            f"it has {', '.join(sorted(blueprint.functions))}"
        )
