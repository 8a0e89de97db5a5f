"""Brings a WebSocket API to what a blueprint says, published in one step.

Order matters. The authorizer is there before ``$connect`` names it, and only when every route is
as it shall be one deployment is made and the stage moved to it: what clients reach is either all
of the old or all of the new. What the old one used goes after that. A stage is created last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from deployment.blueprint import AUTHORIZER_NAME, CHALICE_ROUTES, CONNECT, Blueprint, Route

Json = dict[str, Any]

# What else an integration can have. ``UpdateIntegration`` adds to its maps and takes nothing away,
# so one that has more than it should is replaced.
_NOTHING_ELSE: Json = {
    "CredentialsArn": None,
    "RequestParameters": None,
    "RequestTemplates": None,
    "TemplateSelectionExpression": None,
}
# What is absent is as API Gateway has it anyway.
_DEFAULTS: Json = {"PassthroughBehavior": "WHEN_NO_MATCH", "TimeoutInMillis": 29_000}


class Permissions(Protocol):
    """Who may invoke the functions of one API."""

    def allow(self, authorizer_id: str) -> None:
        """Allow what the blueprint's API needs."""

    def revoke_others(self, authorizer_id: str) -> None:
        """Take from the same API what it needs no more."""


@dataclass(slots=True)
class Publisher:
    """Works on one API through boto3's ``apigatewayv2`` client.

    ``invocation_uri`` makes the URI of a function that integrations call; ``access_log`` is where
    and what the stage logs, if it does.
    """

    client: Any
    api_id: str
    blueprint: Blueprint
    invocation_uri: Callable[[str], str]
    permissions: Permissions
    access_log: Mapping[str, Any] | None = None
    changed: bool = field(default=False, init=False)

    def publish(self) -> None:
        """Make the API as the blueprint says.

        What is as it should be is not touched; without any change there is no new deployment.
        """
        stage = self._stage()
        if stage and stage.get("AutoDeploy"):  # would publish every step by itself
            self.client.update_stage(**self._stage_key(), AutoDeploy=False)
        self._sync_api()
        authorizer_id = self._sync_authorizer()
        self.permissions.allow(authorizer_id)
        targets = self._sync_routes(authorizer_id)
        self._remove_stale_routes()
        self._deploy(stage, self._description(authorizer_id, targets))
        self._remove_unused(authorizer_id, set(targets.values()))
        self.permissions.revoke_others(authorizer_id)

    def _sync_api(self) -> None:
        wanted = {"RouteSelectionExpression": self.blueprint.route_selection_expression}
        if _differs(self.client.get_api(ApiId=self.api_id), wanted):
            self._do(self.client.update_api, **wanted)

    def _sync_authorizer(self) -> str:
        wanted = {
            "Name": AUTHORIZER_NAME,
            "AuthorizerType": "REQUEST",
            "AuthorizerUri": self.invocation_uri(self.blueprint.authorizer.function),
            "IdentitySource": list(self.blueprint.authorizer.identity_sources),
        }
        for present in self._all("get_authorizers"):
            if present["Name"] == AUTHORIZER_NAME:
                authorizer_id = str(present["AuthorizerId"])
                if _differs(present, wanted):
                    self._do(self.client.update_authorizer, AuthorizerId=authorizer_id, **wanted)
                return authorizer_id
        return str(self._do(self.client.create_authorizer, **wanted)["AuthorizerId"])

    def _sync_routes(self, authorizer_id: str) -> dict[str, str]:
        """Return the id of the integration of each route."""
        present = {route["RouteKey"]: route for route in self._all("get_routes")}
        integrations = {it["IntegrationId"]: it for it in self._all("get_integrations")}
        targets = {}
        # $connect first: until it has its authorizer, whoever publishes would publish it open.
        for route in sorted(self.blueprint.routes, key=lambda route: route.route_key != CONNECT):
            existing = present.get(route.route_key, {})
            integration_id = self._integration_for(route, existing.get("Target"), integrations)
            self._sync_route(existing, _wanted_route(route, integration_id, authorizer_id))
            targets[route.route_key] = integration_id
        return targets

    def _sync_route(self, existing: Mapping[str, Any], wanted: Json) -> None:
        if not existing:
            self._do(self.client.create_route, **{key: it for key, it in wanted.items() if it})
        elif _differs(existing, wanted):
            self._do(self.client.update_route, RouteId=existing["RouteId"], **wanted)

    def _integration_for(
        self, route: Route, target: str | None, integrations: Mapping[str, Json]
    ) -> str:
        """Keep the integration a route has if it is right, which it is for no other route."""
        wanted = self._wanted_integration(route)
        existing = integrations.get((target or "").rpartition("/")[2])
        if existing is None or _differs(existing, {**_NOTHING_ELSE, **_DEFAULTS, **wanted}):
            return str(self._do(self.client.create_integration, **wanted)["IntegrationId"])
        return str(existing["IntegrationId"])

    def _wanted_integration(self, route: Route) -> Json:
        wanted: Json = {
            "ConnectionType": "INTERNET",
            "ContentHandlingStrategy": "CONVERT_TO_TEXT",
            "Description": route.route_key,
            "IntegrationMethod": "POST",
            "IntegrationType": route.integration.integration_type,
            "IntegrationUri": self.invocation_uri(route.integration.function),
            "TimeoutInMillis": 29_000,
        }
        if route.integration.request_templates:
            wanted["RequestTemplates"] = dict(route.integration.request_templates)
        return wanted

    def _remove_stale_routes(self) -> None:
        wanted = {route.route_key for route in self.blueprint.routes}
        for route in list(self._all("get_routes")):
            if route["RouteKey"] not in wanted:
                self._do(self.client.delete_route, RouteId=route["RouteId"])

    def _remove_unused(self, authorizer_id: str, integration_ids: set[str]) -> None:
        for it in list(self._all("get_integrations")):
            if it["IntegrationId"] not in integration_ids:
                self.client.delete_integration(ApiId=self.api_id, IntegrationId=it["IntegrationId"])
        for it in list(self._all("get_authorizers")):
            if it["AuthorizerId"] != authorizer_id:
                self.client.delete_authorizer(ApiId=self.api_id, AuthorizerId=it["AuthorizerId"])

    def _description(self, authorizer_id: str, targets: Mapping[str, str]) -> str:
        """Describe a deployment so that it is known again.

        By its parts too: what was made anew by a run that failed before it published has the same
        content, and still is not what the stage is on.
        """
        parts = json.dumps([authorizer_id, sorted(targets.items())])
        digest = hashlib.sha256(parts.encode()).hexdigest()[:8]
        return f"{content_description(self.blueprint)}, parts {digest}"

    def _deploy(self, stage: Mapping[str, Any] | None, description: str) -> None:
        settings = stage_settings(self.blueprint, self.access_log)
        if stage is None or self.changed or self._deployed(stage) != description:
            deployment = self.client.create_deployment(ApiId=self.api_id, Description=description)
            settings["DeploymentId"] = deployment["DeploymentId"]
        if stage is None:
            tags = dict(self.blueprint.tags)
            self.client.create_stage(**self._stage_key(), **settings, Tags=tags)
        elif _differs(stage, settings):
            settings["StageVariables"] |= _to_remove(stage, settings)
            self.client.update_stage(**self._stage_key(), **settings)
        if stage and stage.get("AccessLogSettings") and not self.access_log:
            self.client.delete_access_log_settings(**self._stage_key())

    def _deployed(self, stage: Mapping[str, Any]) -> str | None:
        if not stage.get("DeploymentId"):
            return None
        found = self.client.get_deployment(ApiId=self.api_id, DeploymentId=stage["DeploymentId"])
        description = found.get("Description")
        return str(description) if description is not None else None

    def _stage(self) -> Json | None:
        for stage in self._all("get_stages"):
            if stage["StageName"] == self.blueprint.stage:
                return stage
        return None

    def _stage_key(self) -> Json:
        return {"ApiId": self.api_id, "StageName": self.blueprint.stage}

    def _all(self, operation: str) -> Iterator[Json]:
        yield from items(self.client, operation, ApiId=self.api_id)

    def _do(self, operation: Callable[..., Any], **parameters: Any) -> Any:
        """Change what a deployment takes a snapshot of."""
        self.changed = True
        return operation(ApiId=self.api_id, **parameters)


def content_description(blueprint: Blueprint) -> str:
    """Return how the description of a deployment of this content begins."""
    return f"content {blueprint.content_hash()}"


def items(client: Any, operation: str, **parameters: Any) -> Iterator[Json]:
    """Yield the items of all pages of a ``get_…`` call."""
    token: Json = {}
    while True:
        page = getattr(client, operation)(**parameters, **token)
        yield from page.get("Items", [])
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def _wanted_route(route: Route, integration_id: str, authorizer_id: str) -> Json:
    wanted: Json = {
        "RouteKey": route.route_key,
        "Target": f"integrations/{integration_id}",
        "AuthorizationType": "NONE",
        "ApiKeyRequired": False,
        # Chalice gives it to its own routes, in its templates too.
        "RouteResponseSelectionExpression": "$default" if route.route_key in CHALICE_ROUTES else "",
    }
    if route.authorized:
        wanted |= {"AuthorizationType": "CUSTOM", "AuthorizerId": authorizer_id}
    return wanted


def stage_settings(blueprint: Blueprint, access_log: Mapping[str, Any] | None = None) -> Json:
    """Return what a stage has beside its deployment, in the words of ``UpdateStage``."""
    return {
        **({"AccessLogSettings": dict(access_log)} if access_log else {}),
        "AutoDeploy": False,
        "StageVariables": dict(blueprint.stage_variables),
        "DefaultRouteSettings": {
            "ThrottlingRateLimit": float(blueprint.options.throttling_rate_limit),
            "ThrottlingBurstLimit": blueprint.options.throttling_burst_limit,
        },
    }


def _differs(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether anything that is wanted is not so."""
    return any(_is_other(name, present.get(name), value) for name, value in wanted.items())


def _is_other(name: str, present: Any, wanted: Any) -> bool:
    if name == "DefaultRouteSettings":  # API Gateway adds settings of its own
        return _differs(present or {}, wanted)
    if name == "IdentitySource":  # a set
        return sorted(present or ()) != sorted(wanted)
    if present is None and wanted in ("NONE", _DEFAULTS.get(name)):
        return False
    return (present or None) != (wanted or None)  # absent and empty are one


def _to_remove(stage: Mapping[str, Any], settings: Json) -> dict[str, str]:
    """``UpdateStage`` adds to the variables; an empty value takes one away."""
    present = stage.get("StageVariables") or {}
    return dict.fromkeys(present.keys() - settings["StageVariables"].keys(), "")
