"""What a WebSocket API consists of, read from a Chalice app and its definition.

An app may expose ``websocket_api_definition()`` beside ``app``; it returns a dict of plain data::

    {
        "authorizer": {"function": NAME, "identity_sources": [EXPRESSION, ...]},
        "route_selection_expression": "$request.body.action",
        "routes": {
            ROUTE_KEY: {
                "function": NAME,  # none with MOCK
                "integration_type": "AWS" | "AWS_PROXY" | "MOCK",
                "request_templates": {KEY: VELOCITY_TEXT},
                "template_selection_expression": EXPRESSION,
                "passthrough_behavior": "WHEN_NO_MATCH" | "WHEN_NO_TEMPLATES" | "NEVER",
                "two_way": True,  # it has a route response: what is answered is sent
                "integration_responses": {
                    "$default" | "/REGEX/": {"response_templates": {KEY: VELOCITY_TEXT}}
                },
            }
        },
        "stage_variables": {NAME: VALUE},  # of the HTTP API's stage too
        "tables": [PROPERTIES_OF_AWS_DYNAMODB_TABLE, ...],
        "queues": [PROPERTIES_OF_AWS_SQS_QUEUE, ...],
        "gateway_responses": {TYPE: GATEWAY_RESPONSE},  # of the HTTP API
        "policy_names": {...},  # of a deployment's roles: ignored here
        "example": {"headers": {...}, "query": {...}, "message": {...}, "page": PATH},
    }

Every member is optional. NAME is the name of one of the app's Lambda functions. Texts of queues
may hold ``${Partition}``, ``${Region}`` and ``${AccountId}``. Without a definition the app has
Chalice's own three routes and no authorizer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from localgateway.authorization import IdentitySource
from localgateway.errors import StartError
from localgateway.route_selection import parse_expression

CHALICE_EXPRESSION = "$request.body.action"
"""Chalice fixes the route selection expression of every API it deploys to this one."""

_DEFINITION_KEYS = frozenset(
    {"authorizer", "route_selection_expression", "routes", "stage_variables"}
    # Of roles, which nobody has on one machine.
    | {"tables", "queues", "gateway_responses", "example", "policy_names"}
)
_INTEGRATION_TYPES = ("AWS", "AWS_PROXY", "MOCK")
_PASSTHROUGH_BEHAVIORS = ("WHEN_NO_MATCH", "WHEN_NO_TEMPLATES", "NEVER")


@dataclass(frozen=True, slots=True)
class Authorizer:
    """A REQUEST authorizer on ``$connect``."""

    function: str
    identity_sources: tuple[IdentitySource, ...] = ()


@dataclass(frozen=True, slots=True)
class IntegrationResponse:
    """How the answer of a non-proxy integration becomes what a two-way route sends."""

    response_templates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """One route and its integration."""

    function: str | None = None
    integration_type: str = "AWS_PROXY"
    request_templates: Mapping[str, str] = field(default_factory=dict)
    template_selection_expression: str | None = None
    passthrough_behavior: str = "WHEN_NO_MATCH"
    two_way: bool = False
    integration_responses: Mapping[str, IntegrationResponse] = field(default_factory=dict)


_ROUTE_KEYS = frozenset(part.name for part in fields(Route))


@dataclass(frozen=True, slots=True)
class Example:
    """What to show a newcomer: parameters that let in, a message to send, a page to open."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    message: Mapping[str, Any] = field(default_factory=dict)
    page: str = ""


@dataclass(frozen=True, slots=True)
class ApiDefinition:
    """A WebSocket API, ready to be served."""

    routes: Mapping[str, Route]
    authorizer: Authorizer | None = None
    route_selection_expression: str = CHALICE_EXPRESSION
    stage_variables: Mapping[str, str] = field(default_factory=dict)
    http_stage_variables: Mapping[str, str] = field(default_factory=dict)
    tables: Sequence[Mapping[str, Any]] = ()
    queues: Sequence[Mapping[str, Any]] = ()
    gateway_responses: Mapping[str, Any] = field(default_factory=dict)
    example: Example = field(default_factory=Example)


def read(
    handlers: Mapping[str, str], functions: Mapping[str, Any], definition: Mapping[str, Any]
) -> ApiDefinition:
    """Join Chalice's handlers (route key to function name) with the app's own definition.

    Raises ``StartError`` that names the first thing wrong: an unknown key, a function the app does
    not have, a route or an expression that API Gateway would refuse.
    """
    _refuse_unknown(definition, _DEFINITION_KEYS, "websocket_api_definition()")
    expression = definition.get("route_selection_expression", CHALICE_EXPRESSION)
    parse_expression(expression)
    routes = {key: Route(name) for key, name in handlers.items()}
    routes |= {key: _route(key, value) for key, value in definition.get("routes", {}).items()}
    authorizer = _authorizer(definition.get("authorizer"))
    named = [route.function for route in routes.values() if route.function is not None]
    _refuse_unknown_functions(
        [*named, authorizer.function] if authorizer is not None else named, functions
    )
    return ApiDefinition(
        routes=routes,
        authorizer=authorizer,
        route_selection_expression=expression,
        stage_variables=definition.get("stage_variables", {}),
        http_stage_variables=definition.get("stage_variables", {}),
        tables=definition.get("tables", ()),
        queues=definition.get("queues", ()),
        gateway_responses=definition.get("gateway_responses", {}),
        example=_example(definition.get("example", {})),
    )


def _route(route_key: str, value: Mapping[str, Any]) -> Route:
    if route_key.startswith("$"):
        raise StartError(
            f"route {route_key!r}: only Chalice's handlers serve keys that start with $"
        )
    _refuse_unknown(value, _ROUTE_KEYS, f"route {route_key!r}")
    if not route_key:
        raise StartError("route '': a key is wanted; a message without one goes to $default")
    responses = {
        key: IntegrationResponse(**response)
        for key, response in value.get("integration_responses", {}).items()
    }
    return checked(route_key, Route(**{**value, "integration_responses": responses}))


def checked(route_key: str, route: Route) -> Route:
    """Return a route API Gateway would take, or raise ``StartError`` that says what is wrong."""
    _one_of(route_key, "integration_type", route.integration_type, _INTEGRATION_TYPES)
    _one_of(route_key, "passthrough_behavior", route.passthrough_behavior, _PASSTHROUGH_BEHAVIORS)
    if route.template_selection_expression is not None:
        parse_expression(route.template_selection_expression)
    for key in route.integration_responses:
        _check_response_key(route_key, key)
    if (route.function is None) != (route.integration_type == "MOCK"):
        raise StartError(f"route {route_key!r}: a function is what MOCK has not and others have")
    return route


def _check_response_key(route_key: str, key: str) -> None:
    is_regex = len(key) > 1 and key.startswith("/") and key.endswith("/")
    if not is_regex and key != "$default":
        raise StartError(
            f"route {route_key!r}: response key {key!r} is neither $default nor /REGEX/"
        )
    try:
        re.compile(key[1:-1] if is_regex else "")
    except re.error as error:
        raise StartError(f"route {route_key!r}: response key {key!r}: {error}") from error


def _one_of(route_key: str, name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise StartError(f"route {route_key!r}: {name} {value!r} is none of {', '.join(known)}")


def _authorizer(value: Mapping[str, Any] | None) -> Authorizer | None:
    if value is None:
        return None
    _refuse_unknown(value, frozenset({"function", "identity_sources"}), "authorizer")
    if "function" not in value:
        raise StartError("authorizer: name its function")
    sources = tuple(IdentitySource.parse(str(text)) for text in value.get("identity_sources", ()))
    return Authorizer(value["function"], sources)


def _example(value: Mapping[str, Any]) -> Example:
    _refuse_unknown(value, frozenset(part.name for part in fields(Example)), "example")
    return Example(**value)


def _refuse_unknown(value: Any, known: frozenset[str], where: str) -> None:
    if not isinstance(value, Mapping):
        raise StartError(f"{where}: a dict is wanted, not {type(value).__name__}")
    unknown = sorted(value.keys() - known)
    if unknown:
        raise StartError(
            f"{where}: unknown {', '.join(unknown)}; known: {', '.join(sorted(known))}"
        )


def _refuse_unknown_functions(names: Sequence[str], functions: Mapping[str, Any]) -> None:
    missing = sorted(set(names) - functions.keys())
    if missing:
        raise StartError(
            f"the app has no function {', '.join(missing)}; it has {', '.join(sorted(functions))}"
        )
