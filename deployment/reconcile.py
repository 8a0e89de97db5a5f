"""Brings a WebSocket API to what a blueprint says, in place, published in one step.

Order matters. The authorizer is there before ``$connect`` names it, every route is as it shall be
before stale ones go, and only then one deployment is made and the stage moved to it: what clients
reach is either all of the old or all of the new. A stage is created last of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deployment.blueprint import AUTHORIZER_NAME, CONNECT, Blueprint, Route

Json = dict[str, Any]


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
    access_log: Mapping[str, str] | None = None
    changed: bool = field(default=False, init=False)

    def publish(self, permit: Callable[[str], None]) -> None:
        """Make the API as the blueprint says.

        ``permit(authorizer_id)`` lets the API invoke its functions. What is as it should be is
        not touched; without any change there is no new deployment.
        """
        self._sync_api()
        stage = self._stage()
        if stage and stage.get("AutoDeploy"):  # would publish every step by itself
            self.client.update_stage(**self._stage_key(), AutoDeploy=False)
        authorizer_id = self._sync_authorizer()
        permit(authorizer_id)
        self._sync_routes(authorizer_id)
        self._remove_stale(authorizer_id)
        self._deploy(stage)

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
                if _differs(present, wanted):
                    self._do(
                        self.client.update_authorizer,
                        AuthorizerId=present["AuthorizerId"],
                        **wanted,
                    )
                return str(present["AuthorizerId"])
        return str(self._do(self.client.create_authorizer, **wanted)["AuthorizerId"])

    def _sync_routes(self, authorizer_id: str) -> None:
        present = {route["RouteKey"]: route for route in self._all("get_routes")}
        integrations = {it["IntegrationId"]: it for it in self._all("get_integrations")}
        # $connect first: until it has its authorizer, whoever publishes would publish it open.
        for route in sorted(self.blueprint.routes, key=lambda route: route.route_key != CONNECT):
            existing = present.get(route.route_key, {})
            integration_id = self._sync_integration(route, existing.get("Target"), integrations)
            wanted = {"Target": f"integrations/{integration_id}", "AuthorizationType": "NONE"}
            if route.authorized:
                wanted |= {"AuthorizationType": "CUSTOM", "AuthorizerId": authorizer_id}
            self._sync_route(route.route_key, existing, wanted)

    def _sync_route(self, route_key: str, existing: Mapping[str, Any], wanted: Json) -> None:
        if not existing:
            self._do(self.client.create_route, RouteKey=route_key, **wanted)
        elif _differs(existing, wanted):
            self._do(self.client.update_route, RouteId=existing["RouteId"], **wanted)

    def _sync_integration(
        self, route: Route, target: str | None, unclaimed: dict[str, Json]
    ) -> str:
        """Reuse the integration a route has, unless another route has taken it."""
        wanted = self._integration(route)
        existing = unclaimed.pop((target or "").rpartition("/")[2], None)
        if existing is None:
            return str(self._do(self.client.create_integration, **wanted)["IntegrationId"])
        if _differs(existing, wanted):
            self._do(
                self.client.update_integration,
                IntegrationId=existing["IntegrationId"],
                **wanted,
            )
        return str(existing["IntegrationId"])

    def _integration(self, route: Route) -> Json:
        wanted: Json = {
            "ConnectionType": "INTERNET",
            "ContentHandlingStrategy": "CONVERT_TO_TEXT",
            "Description": route.route_key,
            "IntegrationMethod": "POST",
            "IntegrationType": route.integration.integration_type,
            "IntegrationUri": self.invocation_uri(route.integration.function),
        }
        if route.integration.request_templates:
            wanted["RequestTemplates"] = dict(route.integration.request_templates)
        return wanted

    def _remove_stale(self, authorizer_id: str) -> None:
        wanted = {route.route_key for route in self.blueprint.routes}
        routes = list(self._all("get_routes"))
        for route in routes:
            if route["RouteKey"] not in wanted:
                self._do(self.client.delete_route, RouteId=route["RouteId"])
        used = {it.get("Target") for it in routes if it["RouteKey"] in wanted}
        for integration in list(self._all("get_integrations")):
            if f"integrations/{integration['IntegrationId']}" not in used:
                self._do(self.client.delete_integration, IntegrationId=integration["IntegrationId"])
        for authorizer in list(self._all("get_authorizers")):
            if authorizer["AuthorizerId"] != authorizer_id:
                self._do(self.client.delete_authorizer, AuthorizerId=authorizer["AuthorizerId"])

    def _deploy(self, stage: Mapping[str, Any] | None) -> None:
        settings = stage_settings(self.blueprint, self.access_log)
        description = self.blueprint.deployment_description()
        if stage is None or self.changed or self._deployed(stage) != description:
            deployment = self.client.create_deployment(ApiId=self.api_id, Description=description)
            settings["DeploymentId"] = deployment["DeploymentId"]
        if stage is None:
            tags = dict(self.blueprint.tags)
            self.client.create_stage(**self._stage_key(), **settings, Tags=tags)
        elif _differs(stage, settings):
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
        self.changed = True
        return operation(ApiId=self.api_id, **parameters)


def items(client: Any, operation: str, **parameters: Any) -> Iterator[Json]:
    """Yield the items of all pages of a ``get_…`` call."""
    token: Json = {}
    while True:
        page = getattr(client, operation)(**parameters, **token)
        yield from page.get("Items", [])
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def stage_settings(blueprint: Blueprint, access_log: Mapping[str, Any] | None) -> Json:
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
    # Absent and empty are one; so are an absent AuthorizationType and NONE.
    return (present or None) != (wanted or None) and (present, wanted) != (None, "NONE")
