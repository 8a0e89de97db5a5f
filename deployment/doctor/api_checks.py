"""Checks of the WebSocket API: that it is there, protected, and published as it is defined now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deployment.blueprint import AUTHORIZER_NAME, CONNECT, Blueprint, Route
from deployment.doctor.expected import Expected
from deployment.doctor.findings import Finding, not_looked, problem
from deployment.doctor.snapshot import Json, Snapshot
from deployment.reconcile import content_description

REDEPLOY = "deploy the stage again"


def check_api(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    """There is one API with the stage's name, and it is the one that was recorded."""
    name = expected.blueprint.api_name
    if found.apis is None:
        yield not_looked("api")
        return
    ids = sorted(it["ApiId"] for it in found.apis)
    if not ids:
        yield problem("api", f"there is no WebSocket API named {name}", REDEPLOY)
    elif len(ids) > 1:
        yield problem(
            "api",
            f"there are {len(ids)} WebSocket APIs named {name}: {', '.join(ids)}",
            "delete those that no client uses",
        )
    if found.api is None and ids and found.recorded_api_id:
        yield problem(
            "api",
            f"the recorded API {found.recorded_api_id} is gone",
            f"{REDEPLOY}: it takes up the API of that name",
        )
    expression = expected.blueprint.route_selection_expression
    if found.api and found.api["RouteSelectionExpression"] != expression:
        yield problem(
            "api",
            f"routes are selected by {found.api['RouteSelectionExpression']}, not {expression}",
            REDEPLOY,
        )


def check_authorizer(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    """``$connect`` asks the authorizer that is defined, with its identity sources."""
    if found.authorizers is None or found.routes is None:
        yield not_looked("authorizer")
        return
    named = [it for it in found.authorizers if it["Name"] == AUTHORIZER_NAME]
    connect = [it for it in found.routes if it["RouteKey"] == CONNECT]
    if not named:
        yield problem(
            "authorizer",
            "the API has no authorizer: it is open, but for what the connect handler refuses",
            REDEPLOY,
        )
        return
    yield from _authorizer_differences(expected, found, named[0])
    if not connect:
        return  # said of the routes
    if connect[0].get("AuthorizationType", "NONE") != "CUSTOM":
        yield problem(
            "authorizer",
            "the authorizer is detached from $connect: as soon as somebody "
            "publishes the API it is open, if it is not open now",
            REDEPLOY,
        )
    elif connect[0].get("AuthorizerId") != named[0]["AuthorizerId"]:
        yield problem("authorizer", "$connect asks another authorizer", REDEPLOY)


def _authorizer_differences(
    expected: Expected, found: Snapshot, authorizer: Json
) -> Iterator[Finding]:
    wanted = expected.blueprint.authorizer
    if authorizer.get("AuthorizerType") != "REQUEST":
        yield problem("authorizer", "it is not of type REQUEST", REDEPLOY)
    if not _invokes(found, authorizer.get("AuthorizerUri"), wanted.function):
        yield problem("authorizer", f"it asks another function than {wanted.function}", REDEPLOY)
    sources = sorted(authorizer.get("IdentitySource", []))
    if sources != sorted(wanted.identity_sources):
        yield problem(
            "authorizer",
            f"its identity sources are {', '.join(sources) or 'none'}, "
            f"not {', '.join(sorted(wanted.identity_sources))}",
            REDEPLOY,
        )


def _invokes(found: Snapshot, uri: str | None, function: str) -> bool:
    """Whether a URI invokes a function; so it does if the function cannot be seen."""
    configuration = found.functions.get(function)
    return configuration is None or f"/{configuration['FunctionArn']}/" in str(uri)


def check_routes(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    """Every route is there, reaches its function by its mapping template, and none is stale."""
    if found.routes is None or found.integrations is None:
        yield not_looked("routes")
        return
    present = {it["RouteKey"]: it for it in found.routes}
    integrations = {f"integrations/{it['IntegrationId']}": it for it in found.integrations}
    for route in expected.blueprint.routes:
        if route.route_key not in present:
            yield problem("routes", f"route {route.route_key} is missing", REDEPLOY)
            continue
        integration = integrations.get(present[route.route_key].get("Target", ""))
        yield from _integration_differences(route, integration, found)
    wanted = {route.route_key for route in expected.blueprint.routes}
    for route_key in sorted(present.keys() - wanted):
        yield problem("routes", f"route {route_key} is not in the definition", REDEPLOY)


def _integration_differences(
    route: Route, integration: Json | None, found: Snapshot
) -> Iterator[Finding]:
    name = f"route {route.route_key}"
    wanted = route.integration
    if integration is None:
        yield problem("routes", f"{name} leads nowhere: it has no integration", REDEPLOY)
        return
    if not _invokes(found, integration.get("IntegrationUri"), wanted.function):
        yield problem("routes", f"{name} invokes another function than {wanted.function}", REDEPLOY)
    if integration.get("IntegrationType") != wanted.integration_type:
        yield problem("routes", f"{name} is not of type {wanted.integration_type}", REDEPLOY)
    if dict(integration.get("RequestTemplates") or {}) != dict(wanted.request_templates):
        yield problem("routes", f"{name} has another mapping template", REDEPLOY)


def check_stage(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    """The stage publishes what is defined now, and nothing by itself."""
    if found.stages is None:
        yield not_looked("stage")
        return
    blueprint = expected.blueprint
    stages = {it["StageName"]: it for it in found.stages}
    stage = stages.get(blueprint.stage)
    if stage is None:
        yield problem("stage", f"stage {blueprint.stage} is missing: nobody can connect", REDEPLOY)
        return
    for other in sorted(stages.keys() - {blueprint.stage}):
        yield problem(
            "stage",
            f"there is a stage {other} too, which may publish an open state of the API",
            f"delete stage {other}",
        )
    if stage.get("AutoDeploy"):
        yield problem(
            "stage", "AutoDeploy is on: every half-made change is published at once", REDEPLOY
        )
    yield from _deployment_differences(blueprint, found)
    yield from _setting_differences(blueprint, stage)


def _deployment_differences(blueprint: Blueprint, found: Snapshot) -> Iterator[Finding]:
    # "content HASH", and behind a comma what else a deployment is known by.
    content = str((found.deployment or {}).get("Description")).partition(",")[0]
    if content != content_description(blueprint):
        yield problem(
            "stage",
            "it is on an old deployment, or one that was not made here: clients do not get what "
            "is defined now",
            REDEPLOY,
        )


def _setting_differences(blueprint: Blueprint, stage: Json) -> Iterator[Finding]:
    variables = dict(stage.get("StageVariables") or {})
    wanted = dict(blueprint.stage_variables)
    names = sorted(
        name for name in variables.keys() | wanted.keys() if variables.get(name) != wanted.get(name)
    )
    if names:
        yield problem("stage", f"stage variables differ: {', '.join(names)}", REDEPLOY)
    throttling: Mapping[str, Any] = stage.get("DefaultRouteSettings") or {}
    limits = {
        "ThrottlingRateLimit": float(blueprint.options.throttling_rate_limit),
        "ThrottlingBurstLimit": blueprint.options.throttling_burst_limit,
    }
    for name, limit in limits.items():
        if throttling.get(name) != limit:
            yield problem("stage", f"{name} is {throttling.get(name)}, not {limit}", REDEPLOY)
    for route_key in sorted(stage.get("RouteSettings") or {}):
        yield problem("stage", f"route {route_key} has settings of its own", REDEPLOY)
