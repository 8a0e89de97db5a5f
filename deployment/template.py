"""``chalice package``: the same API in CloudFormation.

Chalice's own resources keep their logical ids, so that ``--merge-template`` files still fit. Last
of all the Deployment gets an id with a hash of what it takes a snapshot of, merged in or not: a
Deployment never changes, so with a fixed id an update of the stack would leave the stage on the
old one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chalice.deploy import models
from chalice.utils import to_cfn_resource_name

from deployment import (
    http_api,
    http_template,
    observability,
    observability_template,
    permissions,
    plan,
    policies,
)
from deployment.blueprint import AUTHORIZER_NAME, CHALICE_ROUTES, Blueprint, Route
from deployment.errors import DeploymentRefused
from deployment.naming import log_group
from deployment.reconcile import content_description, stage_settings
from deployment.template_parts import Resources, add, invoke_permission

API = {"Ref": "WebsocketAPI"}
AUTHORIZER = "WebsocketAuthorizerOnConnect"
DEPLOYMENT = "WebsocketAPIDeployment"
_CONNECT_ROUTE = "WebsocketConnectRoute"
_DYNAMIC = {
    "ApiId": "${WebsocketAPI}",
    "Partition": "${AWS::Partition}",
    "Region": "${AWS::Region}",
    "AccountId": "${AWS::AccountId}",
}
_FUNCTION_PATH = "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions"


def generate(original: Callable[..., Any], generator: Any, resources: Sequence[Any]) -> Any:
    """Generate as Chalice does, with policies filled in first and what it lacks added last."""
    blueprint = plan.find_blueprint(resources)
    if blueprint is None and not http_api.is_completed(resources):
        return original(generator, resources)
    if blueprint is not None:
        plan.fill_in(resources, blueprint, as_sub)
    template = original(generator, resources)
    found = template["Resources"]
    _give_log_groups(found, resources)
    http_template.give_stage_variables(found, resources)
    http_template.narrow_permissions(found, resources)
    if blueprint is not None:
        _add_own_resources(found, blueprint)
    return template


def _add_own_resources(found: Resources, blueprint: Blueprint) -> None:
    add(found, _tables(blueprint))
    add(found, _queues(blueprint))
    _await_queues(found, blueprint)
    add(found, observability_template.resources(blueprint, found, _DYNAMIC))


def as_sub(text: str) -> dict[str, str]:
    """Have CloudFormation fill the dynamic names; IAM's own variables are left to IAM."""
    parts = policies.DYNAMIC_NAME.split(text)
    parts[::2] = [part.replace("${", "${!") for part in parts[::2]]
    parts[1::2] = [_DYNAMIC[name] for name in parts[1::2]]
    return {"Fn::Sub": "".join(parts)}


def generate_websocket_api(
    original: Callable[..., None], generator: Any, resource: Any, template: Any
) -> None:
    """Protect what Chalice has generated, and add the routes it does not know."""
    original(generator, resource, template)
    blueprint = getattr(resource, "blueprint", None)
    if blueprint is None:
        return
    found: Resources = template["Resources"]
    principal = generator._options.service_principal("apigateway")
    _refuse_unknown_shape(found, blueprint)
    found["WebsocketAPI"]["Properties"] |= {
        "RouteSelectionExpression": blueprint.route_selection_expression,
        "Tags": dict(blueprint.tags),
    }
    add(found, {AUTHORIZER: _authorizer(blueprint)})
    for route in blueprint.routes:
        _complete_route(found, route)
    _replace_permissions(found, blueprint, principal)
    found[DEPLOYMENT]["Properties"]["Description"] = content_description(blueprint)
    access_log = policies.fill_names(observability.access_log_settings(blueprint), as_sub)
    if access_log:
        found["WebsocketAPIStage"]["DependsOn"] = observability_template.ACCESS_LOG_GROUP
    found["WebsocketAPIStage"]["Properties"] |= {
        **stage_settings(blueprint, access_log),
        "Tags": dict(blueprint.tags),
    }


def finish(
    original: Callable[..., None], processor: Any, template: Any, *args: Any, **kwargs: Any
) -> None:
    """Merge as Chalice does, then see that ``$connect`` is still closed, and publish."""
    original(processor, template, *args, **kwargs)
    found: Resources = template.get("Resources", {})
    if AUTHORIZER not in found:
        return
    connect = found[_CONNECT_ROUTE]["Properties"]
    if connect.get("AuthorizationType") not in ("CUSTOM", "AWS_IAM"):
        raise DeploymentRefused("the merged template takes the authorizer from $connect")
    _publish(found)


def _refuse_unknown_shape(found: Resources, blueprint: Blueprint) -> None:
    expected = {_route_id(route) for route in blueprint.routes if _is_chalices(route)}
    expected |= {"WebsocketAPI", DEPLOYMENT, "WebsocketAPIStage"}
    routes = {name for name, it in found.items() if it["Type"] == "AWS::ApiGatewayV2::Route"}
    problems = (expected - found.keys()) | (routes - expected)
    if problems:
        raise DeploymentRefused(
            f"Chalice's template is not the one that is known: {', '.join(sorted(problems))}"
        )


def _is_chalices(route: Route) -> bool:
    return route.route_key in CHALICE_ROUTES


def _route_id(route: Route) -> str:
    name = {"$default": "Message"}.get(route.route_key)
    return f"Websocket{name or to_cfn_resource_name(route.route_key.strip('$'))}Route"


def _integration_id(route: Route) -> str:
    name = CHALICE_ROUTES.get(route.route_key, route.route_key)
    return f"{to_cfn_resource_name(name)}APIIntegration"


def _authorizer(blueprint: Blueprint) -> dict[str, Any]:
    return {
        "Type": "AWS::ApiGatewayV2::Authorizer",
        "Properties": {
            "ApiId": API,
            "Name": AUTHORIZER_NAME,
            "AuthorizerType": "REQUEST",
            "AuthorizerUri": _invocation_uri(blueprint.authorizer.function),
            "IdentitySource": list(blueprint.authorizer.identity_sources),
        },
    }


def _complete_route(found: Resources, route: Route) -> None:
    route_id, integration_id = _route_id(route), _integration_id(route)
    if not _is_chalices(route):
        add(found, {integration_id: _integration(route), route_id: _route(route, integration_id)})
    if route.authorized:
        found[route_id]["Properties"] |= {
            "AuthorizationType": "CUSTOM",
            "AuthorizerId": {"Ref": AUTHORIZER},
        }


def _integration(route: Route) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "ApiId": API,
        "ConnectionType": "INTERNET",
        "ContentHandlingStrategy": "CONVERT_TO_TEXT",
        "Description": route.route_key,
        "IntegrationMethod": "POST",
        "IntegrationType": route.integration.integration_type,
        "IntegrationUri": _invocation_uri(route.integration.function),
    }
    if route.integration.request_templates:
        properties["RequestTemplates"] = dict(route.integration.request_templates)
    return {"Type": "AWS::ApiGatewayV2::Integration", "Properties": properties}


def _route(route: Route, integration_id: str) -> dict[str, Any]:
    return {
        "Type": "AWS::ApiGatewayV2::Route",
        "Properties": {
            "ApiId": API,
            "RouteKey": route.route_key,
            "AuthorizationType": "NONE",
            "Target": {"Fn::Sub": f"integrations/${{{integration_id}}}"},
        },
    }


def _invocation_uri(function: str) -> dict[str, str]:
    return {"Fn::Sub": f"{_FUNCTION_PATH}/${{{to_cfn_resource_name(function)}.Arn}}/invocations"}


def _replace_permissions(found: Resources, blueprint: Blueprint, principal: str) -> None:
    """Chalice allows the whole API to invoke each handler, on every route of every stage."""
    wanted = permissions.wanted_resources(blueprint, f"${{{AUTHORIZER}}}")
    for function, resources in wanted.items():
        name = to_cfn_resource_name(function)
        found.pop(f"{name}InvokePermission", None)
        for resource in resources:
            add(found, invoke_permission(name, "WebsocketAPI", resource, principal))


def _publish(found: Resources) -> None:
    """Give the Deployment an id that changes with what it publishes, and move the stage to it."""
    snapshot = {
        name: it["Properties"] for name, it in found.items() if it["Type"] in _SNAPSHOT_TYPES
    }
    routes = [name for name, it in found.items() if it["Type"] == "AWS::ApiGatewayV2::Route"]
    deployment_id = f"{DEPLOYMENT}{_digest(snapshot)}"
    deployment = found.pop(DEPLOYMENT)
    deployment["DependsOn"] = sorted(routes)
    # What a stack no longer has is deleted after the stage has moved on.
    found[deployment_id] = deployment
    found["WebsocketAPIStage"]["Properties"]["DeploymentId"] = {"Ref": deployment_id}


_SNAPSHOT_TYPES = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Authorizer",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)  # a merged YAML file may hold dates
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _tables(blueprint: Blueprint) -> Resources:
    return {
        f"{to_cfn_resource_name(it['TableName'])}Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {**it, "Tags": _tag_list(blueprint)},
        }
        for it in blueprint.tables
    }


def _queues(blueprint: Blueprint) -> Resources:
    made: Resources = {}
    for it in blueprint.queues:
        properties = policies.fill_names(dict(it), as_sub)
        made[_queue_id(it)] = {
            "Type": "AWS::SQS::Queue",
            # Those before may be its dead letter queue.
            **({"DependsOn": list(made)} if made else {}),
            "Properties": {**properties, "Tags": _tag_list(blueprint)},
        }
    return made


def _queue_id(properties: Mapping[str, Any]) -> str:
    return f"{to_cfn_resource_name(properties['QueueName'])}Queue"


def _await_queues(found: Resources, blueprint: Blueprint) -> None:
    """Have what reads a queue name the resource, not an ARN: it is not there before the queue."""
    arns = {
        f"arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:{it['QueueName']}": it
        for it in blueprint.queues
    }
    for function in found.values():
        for event in function["Properties"].get("Events", {}).values():
            queue = arns.get(str(event["Properties"].get("Queue", {}).get("Fn::Sub")))
            if event["Type"] == "SQS" and queue is not None:
                event["Properties"]["Queue"] = {"Fn::GetAtt": [_queue_id(queue), "Arn"]}


def _tag_list(blueprint: Blueprint) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(blueprint.tags.items())]


def _give_log_groups(found: Resources, resources: Sequence[Any]) -> None:
    """Name log groups without referring to functions: roles name them, and functions the roles."""
    for function in resources:
        if not isinstance(function, models.LambdaFunction) or function.log_group is None:
            continue
        group_id = to_cfn_resource_name(function.log_group.resource_name)
        found[group_id]["Properties"]["LogGroupName"] = log_group(function.function_name)
        function_id = to_cfn_resource_name(function.resource_name)
        # Chalice renames the one behind the routes.
        function_id = function_id if function_id in found else "APIHandler"
        found[function_id]["Properties"]["LoggingConfig"] = {"LogGroup": {"Ref": group_id}}
