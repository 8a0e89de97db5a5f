"""The calls of a plan that Chalice's client does not have, added to it by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalice.awsclient import TypedAWSClient

from deployment import http_stage, observability, permissions, policies, reconcile, stores
from deployment.blueprint import Blueprint
from deployment.errors import DeploymentRefused
from deployment.patience import Patient


def install() -> None:
    """Add the calls; Chalice's executor finds them by name."""
    calls = (
        delete_queue,
        delete_table,
        ensure_queue,
        ensure_table,
        prepare_websocket_api,
        publish_rest_api,
        publish_websocket_api,
        sync_permissions,
    )
    for call in calls:
        setattr(TypedAWSClient, call.__name__, call)


def prepare_websocket_api(
    aws: Any, blueprint: Blueprint, deployed_api_id: str | None
) -> dict[str, str]:
    """Find or create the API, still without routes or stage, and return the dynamic names."""
    client = Patient(aws._client("apigatewayv2"))
    api_id = deployed_api_id or _find_api(client, blueprint.api_name)
    if api_id is None:
        created = client.create_api(
            Name=blueprint.api_name,
            ProtocolType="WEBSOCKET",
            RouteSelectionExpression=blueprint.route_selection_expression,
            Tags=dict(blueprint.tags),
        )
        api_id = created["ApiId"]
    return {"ApiId": str(api_id), **_surroundings(aws)}


def publish_websocket_api(
    aws: Any,
    blueprint: Blueprint,
    names: Mapping[str, str],
    function_arns: Mapping[str, str],
) -> None:
    """Bring the API to what the blueprint says, with the permissions it needs."""

    def invocation_uri(function: str) -> str:
        path = f"path/2015-03-31/functions/{function_arns[function]}/invocations"
        return f"arn:{names['Partition']}:apigateway:{names['Region']}:lambda:{path}"

    reconcile.Publisher(
        Patient(aws._client("apigatewayv2")),
        names["ApiId"],
        blueprint,
        invocation_uri,
        _WebsocketPermissions(aws, blueprint, names),
        policies.fill_names(
            observability.access_log_settings(blueprint),
            lambda text: policies.substitute(text, names),
        ),
    ).publish()


def publish_rest_api(
    aws: Any, rest_api_id: str, api_gateway_stage: str, xray: bool, variables: Mapping[str, str]
) -> None:
    """Publish the HTTP API as Chalice would, on a stage with these variables."""
    client = Patient(aws._client("apigateway"))
    http_stage.publish(client, rest_api_id, api_gateway_stage, variables, tracing=bool(xray))


def sync_permissions(aws: Any, function_name: str, api_id: str, resources: Sequence[str]) -> None:
    """Allow routes and authorizers of one API, and nothing else of it, to invoke a function."""
    names = {"ApiId": api_id, **_surroundings(aws)}
    permissions.sync(
        aws._client("lambda"), function_name, _principal(aws), _api_arn(names), resources
    )


def ensure_table(aws: Any, properties: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Create the table unless it is there."""
    stores.ensure_table(aws._client("dynamodb"), properties, tags)


def ensure_queue(aws: Any, properties: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Create the queue unless it is there."""
    surroundings = _surroundings(aws)
    filled = policies.fill_names(properties, lambda text: policies.substitute(text, surroundings))
    stores.ensure_queue(aws._client("sqs"), filled, tags)


def delete_table(aws: Any, name: str) -> None:
    """Delete the table and all in it."""
    stores.delete_table(aws._client("dynamodb"), name)


def delete_queue(aws: Any, name: str) -> None:
    """Delete the queue and all in it."""
    stores.delete_queue(aws._client("sqs"), name)


@dataclass(frozen=True, slots=True)
class _WebsocketPermissions:
    """The permissions of a blueprint's functions, where they are."""

    aws: Any
    blueprint: Blueprint
    names: Mapping[str, str]

    def allow(self, authorizer_id: str) -> None:
        for function, resources in self._wanted(authorizer_id).items():
            permissions.allow(
                self.aws._client("lambda"),
                self.blueprint.functions[function],
                _principal(self.aws),
                _api_arn(self.names),
                resources,
            )

    def revoke_others(self, authorizer_id: str) -> None:
        wanted = self._wanted(authorizer_id)
        for function, name in self.blueprint.functions.items():
            permissions.revoke_others(
                self.aws._client("lambda"), name, _api_arn(self.names), wanted.get(function, ())
            )

    def _wanted(self, authorizer_id: str) -> dict[str, list[str]]:
        return permissions.wanted_resources(self.blueprint, authorizer_id)


def _principal(aws: Any) -> str:
    suffix = aws.endpoint_dns_suffix("apigateway", aws.region_name)
    return str(aws.service_principal("apigateway", aws.region_name, suffix))


def _api_arn(names: Mapping[str, str]) -> str:
    surroundings = f"{names['Region']}:{names['AccountId']}"
    return f"arn:{names['Partition']}:execute-api:{surroundings}:{names['ApiId']}"


def _surroundings(aws: Any) -> dict[str, str]:
    return {
        "Partition": aws.partition_name,
        "Region": aws.region_name,
        "AccountId": aws._client("sts").get_caller_identity()["Account"],
    }


def _find_api(client: Any, name: str) -> str | None:
    """Return the API a deployment made before it failed, or whose record was lost."""
    found = [
        it["ApiId"]
        for it in reconcile.items(client, "get_apis")
        if it["Name"] == name and it["ProtocolType"] == "WEBSOCKET"
    ]
    if len(found) > 1:
        raise DeploymentRefused(
            f"there are several WebSocket APIs named {name} ({', '.join(sorted(found))}) and "
            "no record of which one is this stage's: delete those that are not"
        )
    return found[0] if found else None
