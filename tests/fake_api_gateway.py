"""A stand-in for API Gateway's control plane that takes snapshots, and looks at them itself.

After every call an audit is taken of what clients reach then: whether a published ``$connect`` is
open, and whether what is published may still invoke its functions. Its rules are AWS's where they
are known: a deployment is a copy, ``AutoDeploy`` makes one at every change, ``UpdateStage`` and
``UpdateIntegration`` add to maps and take away what is empty, what is referred to cannot go.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import ClientError

Json = dict[str, Any]

_MAPS = frozenset({"RequestParameters", "RequestTemplates", "StageVariables"})


class InjectedFailure(Exception):
    """A call that did not come through."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What clients of one stage would reach right after a call."""

    call: str
    stage: str
    deployment_id: str | None
    is_open: bool
    is_broken: bool
    """Whether something published may not invoke its function."""


@dataclass
class FakeApiGateway:
    """The ``apigatewayv2`` client of one API, and the permissions of its functions."""

    page_size: int = 2
    stage_name: str = "api"
    api: Json = field(default_factory=dict)
    routes: dict[str, Json] = field(default_factory=dict)
    integrations: dict[str, Json] = field(default_factory=dict)
    authorizers: dict[str, Json] = field(default_factory=dict)
    stages: dict[str, Json] = field(default_factory=dict)
    deployments: dict[str, Json] = field(default_factory=dict)
    snapshots: dict[str, Json] = field(default_factory=dict)
    permitted: set[tuple[str, str]] = field(default_factory=set)
    """Functions' URIs, and what may invoke each: ``api/$connect``, ``authorizers/<id>``."""
    mutations: list[str] = field(default_factory=list)
    audits: list[Audit] = field(default_factory=list)
    fail_at: int | None = None
    """The call that fails, counted from 0; nothing of it is carried out."""
    _calls: int = 0
    _ids: Iterator[int] = field(default_factory=itertools.count)

    # Reading

    def get_api(self, ApiId: str) -> Json:
        self._call("get_api")
        return {"ApiId": ApiId, **deepcopy(self.api)}

    def get_routes(self, ApiId: str, NextToken: str = "0") -> Json:
        return self._page("get_routes", self.routes, NextToken)

    def get_integrations(self, ApiId: str, NextToken: str = "0") -> Json:
        return self._page("get_integrations", self.integrations, NextToken)

    def get_authorizers(self, ApiId: str, NextToken: str = "0") -> Json:
        return self._page("get_authorizers", self.authorizers, NextToken)

    def get_stages(self, ApiId: str, NextToken: str = "0") -> Json:
        return self._page("get_stages", self.stages, NextToken)

    def get_deployment(self, ApiId: str, DeploymentId: str) -> Json:
        self._call("get_deployment")
        return deepcopy(self._found(self.deployments, DeploymentId))

    # Changing

    def update_api(self, ApiId: str, **changes: Any) -> Json:
        return self._change("update_api", lambda: _updated(self.api, changes))

    def create_route(self, ApiId: str, **values: Any) -> Json:
        if any(it["RouteKey"] == values["RouteKey"] for it in self.routes.values()):
            raise _error("ConflictException", f"there is a route {values['RouteKey']}")
        return self._change(
            "create_route", lambda: self._create(self.routes, "RouteId", self._route(values))
        )

    def update_route(self, ApiId: str, RouteId: str, **changes: Any) -> Json:
        route = self._found(self.routes, RouteId)
        self._route({**route, **changes})
        return self._change("update_route", lambda: _updated(route, changes))

    def delete_route(self, ApiId: str, RouteId: str) -> None:
        self._found(self.routes, RouteId)
        self._change("delete_route", lambda: self.routes.pop(RouteId))

    def create_integration(self, ApiId: str, **values: Any) -> Json:
        return self._change(
            "create_integration",
            lambda: self._create(
                self.integrations,
                "IntegrationId",
                # What API Gateway puts there by itself.
                {"PassthroughBehavior": "WHEN_NO_MATCH", "TimeoutInMillis": 29000, **values},
            ),
        )

    def update_integration(
        self,
        ApiId: str,
        IntegrationId: str,
        **changes: Any,
    ) -> Json:
        found = self._found(self.integrations, IntegrationId)
        return self._change("update_integration", lambda: _updated(found, changes))

    def delete_integration(self, ApiId: str, IntegrationId: str) -> None:
        self._found(self.integrations, IntegrationId)
        if any(it["Target"] == f"integrations/{IntegrationId}" for it in self.routes.values()):
            raise _error("ConflictException", "a route refers to the integration")
        self._change("delete_integration", lambda: self.integrations.pop(IntegrationId))

    def create_authorizer(self, ApiId: str, **values: Any) -> Json:
        return self._change(
            "create_authorizer", lambda: self._create(self.authorizers, "AuthorizerId", values)
        )

    def update_authorizer(self, ApiId: str, AuthorizerId: str, **changes: Any) -> Json:
        found = self._found(self.authorizers, AuthorizerId)
        return self._change("update_authorizer", lambda: _updated(found, changes))

    def delete_authorizer(self, ApiId: str, AuthorizerId: str) -> None:
        self._found(self.authorizers, AuthorizerId)
        if any(it.get("AuthorizerId") == AuthorizerId for it in self.routes.values()):
            raise _error("ConflictException", "a route refers to the authorizer")
        self._change("delete_authorizer", lambda: self.authorizers.pop(AuthorizerId))

    def create_deployment(self, ApiId: str, **values: Any) -> Json:
        return self._change("create_deployment", lambda: self._deployment(values))

    def create_stage(self, ApiId: str, StageName: str, **values: Any) -> Json:
        if StageName in self.stages:
            raise _error("ConflictException", f"there is a stage {StageName}")
        stage = {"StageName": StageName, **values}
        return self._change("create_stage", lambda: self.stages.setdefault(StageName, stage))

    def update_stage(self, ApiId: str, StageName: str, **changes: Any) -> Json:
        stage = self._found(self.stages, StageName)
        if "DeploymentId" in changes:
            self._found(self.deployments, changes["DeploymentId"])
            if changes.get("AutoDeploy", stage.get("AutoDeploy")):
                raise _error("BadRequestException", "AutoDeploy chooses the deployment")
        return self._change("update_stage", lambda: _updated(stage, changes))

    # Permissions

    def allow(self, authorizer_id: str) -> None:
        self._change("allow", lambda: self.permitted.update(self.wanted_permissions(authorizer_id)))

    def revoke_others(self, authorizer_id: str) -> None:
        wanted = set(self.wanted_permissions(authorizer_id))
        self._change("revoke_others", lambda: self.permitted.intersection_update(wanted))

    wanted_permissions: Callable[[str], list[tuple[str, str]]] = lambda _authorizer_id: []

    # What a test sets up and looks at

    def publish(self, stage_name: str, description: str | None) -> None:
        """Put a stage on the definition as it is, as a console's button does."""
        values = {} if description is None else {"Description": description}
        deployment = self._deployment(values)
        self.stages.setdefault(stage_name, {"StageName": stage_name})
        self.stages[stage_name]["DeploymentId"] = deployment["DeploymentId"]

    def published(self, stage_name: str) -> Json | None:
        stage = self.stages.get(stage_name, {})
        return self.snapshots.get(stage.get("DeploymentId", ""))

    def is_open(self, stage_name: str) -> bool:
        snapshot = self.published(stage_name) or {"routes": {}}
        return any(
            route["RouteKey"] == "$connect" and route.get("AuthorizationType") != "CUSTOM"
            for route in snapshot["routes"].values()
        )

    def is_broken(self, stage_name: str) -> bool:
        snapshot = self.published(stage_name) or {"routes": {}, "authorizers": {}}
        return not all(
            self._may_invoke(uri, resource) for uri, resource in _invocations(snapshot, stage_name)
        )

    def forget_calls(self, fail_at: int | None = None) -> None:
        self.mutations.clear()
        self.audits.clear()
        self._calls, self.fail_at = 0, fail_at

    @property
    def calls(self) -> int:
        return self._calls

    def _may_invoke(self, uri: str, resource: str) -> bool:
        return any(uri == it[0] and fnmatchcase(resource, it[1]) for it in self.permitted)

    def _route(self, values: Mapping[str, Any]) -> Json:
        self._found(self.integrations, values["Target"].rpartition("/")[2])
        if values.get("AuthorizationType") == "CUSTOM":
            self._found(self.authorizers, values["AuthorizerId"])
        return dict(values)

    def _create(self, items: dict[str, Json], key: str, values: Mapping[str, Any]) -> Json:
        name = f"{key[:3].lower()}{next(self._ids)}"
        items[name] = {key: name, **deepcopy(dict(values))}
        return items[name]

    def _deployment(self, values: Mapping[str, Any]) -> Json:
        made = self._create(self.deployments, "DeploymentId", values)
        self.snapshots[made["DeploymentId"]] = deepcopy(
            {
                "api": self.api,
                "routes": self.routes,
                "integrations": self.integrations,
                "authorizers": self.authorizers,
            }
        )
        return made

    def _page(self, call: str, items: Mapping[str, Json], token: str) -> Json:
        self._call(call)
        start, end = int(token), int(token) + self.page_size
        page: Json = {"Items": deepcopy(list(items.values())[start:end])}
        return page | ({"NextToken": str(end)} if end < len(items) else {})

    def _found(self, items: Mapping[str, Json], name: str) -> Json:
        if name not in items:
            raise _error("NotFoundException", f"no {name}")
        return items[name]

    def _call(self, call: str) -> None:
        self._calls += 1
        if self._calls - 1 == self.fail_at:
            raise InjectedFailure(call)

    def _change(self, call: str, change: Callable[[], Any]) -> Json:
        self._call(call)
        self.mutations.append(call)
        result: Json = deepcopy(change())
        for name, stage in self.stages.items():
            if stage.get("AutoDeploy") and call not in {"allow", "revoke_others"}:
                self.publish(name, "made by itself")
            self.audits.append(
                Audit(
                    call, name, stage.get("DeploymentId"), self.is_open(name), self.is_broken(name)
                )
            )
        return result


def _invocations(snapshot: Mapping[str, Any], stage_name: str) -> Iterator[tuple[str, str]]:
    for route in snapshot["routes"].values():
        integration = snapshot["integrations"][route["Target"].rpartition("/")[2]]
        yield integration["IntegrationUri"], f"{stage_name}/{route['RouteKey']}"
        if route.get("AuthorizationType") == "CUSTOM":
            authorizer = snapshot["authorizers"][route["AuthorizerId"]]
            yield authorizer["AuthorizerUri"], f"authorizers/{authorizer['AuthorizerId']}"


def _updated(present: Json, changes: Mapping[str, Any]) -> Json:
    for name, value in changes.items():
        if name in _MAPS:
            merged = {**present.get(name, {}), **value}
            present[name] = {key: it for key, it in merged.items() if it != ""}
        else:
            present[name] = deepcopy(value)
    return present


def _error(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "apigatewayv2")
