"""Looks at an account through botocore; every call only reads.

What may not be looked at is noted with the permission it takes, and the rest goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError
from chalice.utils import to_cfn_resource_name

from deployment import observability, reconcile
from deployment.doctor import collect_stores
from deployment.doctor.expected import Expected
from deployment.doctor.snapshot import UNSEEN, Account, Denied, Role, Snapshot, Unseen
from deployment.permissions import source_arn

# What "you may not" is called differs by service; anything else is a fault and goes up.
_DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "ForbiddenException"}
_DENIED |= {"UnauthorizedOperation", "AuthorizationErrorException", "NotAuthorized"}
STACK_TAG = "aws:cloudformation:stack-name"


class Collector:
    """Looks at one stage. ``session`` is botocore's; ``stack`` names a CloudFormation stack."""

    def __init__(self, session: Any, expected: Expected, stack: str | None = None) -> None:
        self.client: Callable[[str], Any] = cache(session.create_client)
        self.expected = expected
        self.snapshot = Snapshot()
        self._region = session.get_config_variable("region")
        self._stack = stack
        self._physical: Mapping[str, str] = {}

    def collect(self) -> Snapshot:
        """Look at everything; botocore's errors mean that nothing can be seen at all."""
        identity = self.client("sts").get_caller_identity()
        self.snapshot.names = {
            "Partition": identity["Arn"].split(":")[1],
            "Region": self._region,
            "AccountId": identity["Account"],
        }
        self._find_api()
        self._look_at_api()
        for resource_name in self.expected.functions:
            self._look_at_function(resource_name)
        self._find_rest_api()
        self._look_at_http_stage()
        collect_stores.look_at_stores(self)
        collect_stores.look_at_secrets(self)
        self._look_at_account()
        self._look_at_alarms()
        return self.snapshot

    @contextmanager
    def looking(self, check: str, what: str, permission: str) -> Iterator[None]:
        """Note that ``what`` cannot be seen, should it be denied."""
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] not in _DENIED:
                raise
            self.snapshot.unseen.append(Denied(check, what, permission))

    def _find_api(self) -> None:
        name = self.expected.blueprint.api_name
        with self.looking("api", "the WebSocket API", "apigateway:GET"):
            found = reconcile.items(self.client("apigatewayv2"), "get_apis")
            self.snapshot.apis = [it for it in found if it["Name"] == name]
        recorded = self.expected.deployed.get("websocket_api", {}).get("websocket_api_id")
        self.snapshot.recorded_api_id = recorded
        apis = self.snapshot.apis or []
        of_stack = self._physical_ids(apis).get("WebsocketAPI")
        # Where a stack is named, its API is meant, not one that chalice deploy has recorded.
        wanted = of_stack if self._stack else recorded or of_stack
        chosen = [it for it in apis if it["ApiId"] == wanted] or ([] if wanted else apis)
        if len(chosen) == 1:
            self.snapshot.api = chosen[0]
            self.snapshot.names = {**self.snapshot.names, "ApiId": chosen[0]["ApiId"]}

    def _physical_ids(self, apis: Any) -> Mapping[str, str]:
        """Return ids by logical id, for a stage that CloudFormation deployed."""
        stacks = {tag for it in apis if (tag := it.get("Tags", {}).get(STACK_TAG))}
        stack = self._stack or (stacks.pop() if len(stacks) == 1 else None)
        if stack:
            with self.looking("api", f"the stack {stack}", "cloudformation:ListStackResources"):
                pages = self.client("cloudformation").get_paginator("list_stack_resources")
                self._physical = {
                    it["LogicalResourceId"]: it["PhysicalResourceId"]
                    for page in pages.paginate(StackName=stack)
                    for it in page["StackResourceSummaries"]
                    if it.get("PhysicalResourceId")
                }
        return self._physical

    def _look_at_api(self) -> None:
        api = self.snapshot.api
        if api is None:
            return
        client = self.client("apigatewayv2")

        def all_of(operation: str) -> list[Any]:
            return list(reconcile.items(client, operation, ApiId=api["ApiId"]))

        with self.looking("routes", "routes and authorizers", "apigateway:GET"):
            self.snapshot.authorizers = all_of("get_authorizers")
            self.snapshot.routes = all_of("get_routes")
            self.snapshot.integrations = all_of("get_integrations")
            self.snapshot.stages = all_of("get_stages")
            for stage in self.snapshot.stages:
                if stage["StageName"] == self.expected.blueprint.stage and stage.get(
                    "DeploymentId"
                ):
                    self.snapshot.deployment = client.get_deployment(
                        ApiId=api["ApiId"], DeploymentId=stage["DeploymentId"]
                    )

    def _look_at_function(self, resource_name: str) -> None:
        client = self.client("lambda")
        name = self._function_name(resource_name)
        with self.looking("functions", f"function {name}", "lambda:GetFunctionConfiguration"):
            try:
                found = client.get_function_configuration(FunctionName=name)
            except client.exceptions.ResourceNotFoundException:
                self.snapshot.functions[resource_name] = None
                return
            self.snapshot.functions[resource_name] = found
            self._look_at_role(resource_name, found["Role"].rpartition("/")[2])
            self._look_at_concurrency(resource_name, name)
        with self.looking("permissions", f"who may invoke {name}", "lambda:GetPolicy"):
            try:
                policy = json.loads(client.get_policy(FunctionName=name)["Policy"])
            except client.exceptions.ResourceNotFoundException:
                policy = {"Statement": []}
            self.snapshot.permissions[resource_name] = [
                {**it, "SourceArn": source_arn(it)} for it in policy["Statement"]
            ]

    def _look_at_concurrency(self, resource_name: str, name: str) -> None:
        if self.expected.functions[resource_name].reserved_concurrency is None:
            return
        permission = "lambda:GetFunctionConcurrency"
        with self.looking("functions", f"the concurrency of {name}", permission):
            found = self.client("lambda").get_function_concurrency(FunctionName=name)
            self.snapshot.concurrency[resource_name] = found.get("ReservedConcurrentExecutions")

    def _function_name(self, resource_name: str) -> str:
        # As the packager makes them; Chalice renames the function behind the routes.
        aliases = [to_cfn_resource_name(resource_name)]
        aliases += ["APIHandler"] if resource_name == "api_handler" else []
        of_stack = [self._physical[it] for it in aliases if it in self._physical]
        return of_stack[0] if of_stack else self.expected.functions[resource_name].name

    def _look_at_role(self, resource_name: str, role: str) -> None:
        client = self.client("iam")
        permission = "iam:ListRolePolicies, iam:GetRolePolicy, iam:ListAttachedRolePolicies"
        with self.looking("roles", f"role {role}", permission):
            try:
                names = client.list_role_policies(RoleName=role)["PolicyNames"]
                attached = client.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
            except client.exceptions.NoSuchEntityException:
                self.snapshot.roles[resource_name] = None
                return
            documents = {
                name: client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
                for name in names
            }
            self.snapshot.roles[resource_name] = Role(
                inline={name: _document(it) for name, it in documents.items()},
                attached=[it["PolicyArn"] for it in attached],
            )

    def _find_rest_api(self) -> None:
        if not self.expected.rest_permissions:
            return
        known = self._physical.get("RestAPI") or self.expected.deployed.get("rest_api", {}).get(
            "rest_api_id"
        )
        if known:
            self.snapshot.rest_api_id = known
            return
        with self.looking("permissions", "the HTTP API", "apigateway:GET"):
            pages = self.client("apigateway").get_paginator("get_rest_apis").paginate()
            found = [
                it["id"]
                for page in pages
                for it in page["items"]
                if it["name"] == self.expected.rest_api_name
            ]
            self.snapshot.rest_api_id = found[0] if len(found) == 1 else None

    def _look_at_http_stage(self) -> None:
        api_id, stage = self.snapshot.rest_api_id, self.expected.rest_stage
        if api_id is None or stage is None:
            return
        client = self.client("apigateway")
        with self.looking("http stage", "the stage of the HTTP API", "apigateway:GET"):
            try:
                found = client.get_stage(restApiId=api_id, stageName=stage)
            except client.exceptions.NotFoundException:
                self.snapshot.http_stage_variables = None
                return
            self.snapshot.http_stage_variables = dict(found.get("variables") or {})

    def _look_at_account(self) -> None:
        role: str | Unseen | None = UNSEEN
        throttling: Mapping[str, Any] = {}
        concurrency: Mapping[str, Any] = {}
        with self.looking("options", "the account's settings of API Gateway", "apigateway:GET"):
            found = self.client("apigateway").get_account()
            role, throttling = found.get("cloudwatchRoleArn"), found.get("throttleSettings", {})
        with self.looking("options", "the account's limits of Lambda", "lambda:GetAccountSettings"):
            concurrency = self.client("lambda").get_account_settings()["AccountLimit"]
        self.snapshot.account = Account(
            cloudwatch_role=role,
            throttling_rate_limit=throttling.get("rateLimit"),
            throttling_burst_limit=throttling.get("burstLimit"),
            concurrency_limit=concurrency.get("ConcurrentExecutions"),
            concurrency_unreserved=concurrency.get("UnreservedConcurrentExecutions"),
        )

    def _look_at_alarms(self) -> None:
        wanted = observability.resources(self.expected.blueprint)
        alarms = [it.name for it in wanted if it.kind == "alarm"]
        client = self.client("cloudwatch")
        if alarms:
            with self.looking("options", "alarms", "cloudwatch:DescribeAlarms"):
                found = client.describe_alarms(AlarmNames=alarms, MaxRecords=100)
                self.snapshot.alarms = {it["AlarmName"] for it in found["MetricAlarms"]}
        if any(it.kind == "dashboard" for it in wanted):
            with self.looking("options", "dashboards", "cloudwatch:ListDashboards"):
                pages = client.get_paginator("list_dashboards").paginate()
                self.snapshot.dashboards = {
                    it["DashboardName"] for page in pages for it in page["DashboardEntries"]
                }
        groups = {it.properties["LogGroupName"] for it in wanted if it.kind == "metric_filter"}
        if groups:
            with self.looking("options", "metric filters", "logs:DescribeMetricFilters"):
                self.snapshot.metric_filters = self._metric_filters(groups)

    def _metric_filters(self, groups: Collection[str]) -> dict[str, str]:
        client = self.client("logs")
        found: dict[str, str] = {}
        for group in groups:
            with suppress(client.exceptions.ResourceNotFoundException):  # said of the group itself
                for it in client.describe_metric_filters(logGroupName=group)["metricFilters"]:
                    found[f"{group}:{it['filterName']}"] = it["filterPattern"]
        return found


def _document(document: Any) -> Any:
    """Return a policy as data; botocore has decoded it already, unless it was handed a text."""
    return json.loads(unquote(document)) if isinstance(document, str) else document
