"""One small stage, as it should be and as it is found when nothing is wrong with it."""

from __future__ import annotations

import json
from typing import Any

from deployment import blueprint, options, permissions
from deployment.blueprint import Blueprint
from deployment.doctor.expected import Expected, Function
from deployment.doctor.snapshot import Account, Role, Snapshot, StoredSecret, Table
from deployment.reconcile import content_description
from tests.unit.deployment.blueprints import (
    DEAD_LETTERS,
    FUNCTIONS,
    QUEUE,
    TABLE,
    make_blueprint,
    make_definition,
)

API_ID = "api1"
AUTHORIZER_ID = "authorizer1"
NAMES = {"Partition": "aws", "Region": "eu-west-1", "AccountId": "111122223333", "ApiId": API_ID}
ENVIRONMENT = {"STAGE": "dev", "TOKEN_PARAMETER": "/parrot/dev/token"}
RESERVED = {"websocket_connect": 5}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "${LogGroupArn}:*"},
        {
            "Effect": "Allow",
            "Action": ["dynamodb:Query", "dynamodb:PutItem"],
            "Resource": "${TableArn}",
            "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["a#*", "b#*"]}},
        },
        {
            "Effect": "Allow",
            "Action": "execute-api:ManageConnections",
            "Resource": "arn:${Partition}:execute-api:${Region}:${AccountId}:${ApiId}/*",
        },
    ],
}


def blueprint_with(**chosen: Any) -> Blueprint:
    """Return the stage's blueprint, with queues; keywords are options."""
    definition = make_definition(queues=[DEAD_LETTERS, QUEUE])
    return make_blueprint(definition, options=options.parse(chosen))


def make_expected(**chosen: Any) -> Expected:
    """Return what the stage should be; keywords are options."""
    return Expected(
        blueprint=blueprint_with(**chosen),
        functions={
            it: Function(
                name=f"parrot-dev-{it}",
                timeout=10,
                memory_size=256,
                reserved_concurrency=RESERVED.get(it),
                environment=ENVIRONMENT,
                policy=POLICY,
                log_group=f"/aws/lambda/parrot-dev-{it}",
                log_retention_days=30,
            )
            for it in FUNCTIONS
        },
        rest_permissions={},
        rest_api_name="parrot",
        rest_stage="api",
        credential_variables=frozenset({"TOKEN"}),
        demonstration_values=frozenset({"hello"}),
        deployed={},
    )


def function_arn(name: str) -> str:
    return f"arn:aws:lambda:eu-west-1:111122223333:function:parrot-dev-{name}"


def invocation_uri(name: str) -> str:
    path = f"path/2015-03-31/functions/{function_arn(name)}/invocations"
    return f"arn:aws:apigateway:eu-west-1:lambda:{path}"


def healthy(expected: Expected) -> Snapshot:
    """Return what the doctor finds where all is well, to be broken by a test."""
    api = {
        "ApiId": API_ID,
        "Name": expected.blueprint.api_name,
        "RouteSelectionExpression": "$request.body.action",
    }
    return Snapshot(
        names=NAMES,
        apis=[api],
        api=api,
        authorizers=[
            {
                "AuthorizerId": AUTHORIZER_ID,
                "Name": blueprint.AUTHORIZER_NAME,
                "AuthorizerType": "REQUEST",
                "AuthorizerUri": invocation_uri("websocket_authorizer"),
                "IdentitySource": ["route.request.header.token"],
            }
        ],
        routes=[_route(route) for route in expected.blueprint.routes],
        integrations=[_integration(route) for route in expected.blueprint.routes],
        stages=[
            {
                "StageName": "api",
                "DeploymentId": "deployment1",
                "StageVariables": {"StageVar1": "stageValue1"},
                "DefaultRouteSettings": {
                    "ThrottlingRateLimit": 1000.0,
                    "ThrottlingBurstLimit": 2000,
                    "DetailedMetricsEnabled": False,
                },
            }
        ],
        rest_api_id="rest1",
        http_stage_variables={"StageVar1": "stageValue1"},
        concurrency=dict(RESERVED),
        deployment={"Description": f"{content_description(expected.blueprint)}, parts 1"},
        functions={it: _configuration(it) for it in FUNCTIONS},
        permissions=_permissions(expected.blueprint),
        roles={it: _role(expected, it) for it in FUNCTIONS},
        tables={"parrot-dev": Table(TABLE["KeySchema"], "expiresAt")},  # type: ignore[arg-type]
        queues={"parrot-dev-dead": True, "parrot-dev": True},
        log_groups={f"/aws/lambda/parrot-dev-{it}": 30 for it in FUNCTIONS},
        secrets={"TOKEN_PARAMETER": StoredSecret(True, True, False)},
        account=Account("arn:aws:iam::111122223333:role/logs", 10_000, 5_000, 1_000, 1_000),
    )


def _route(route: blueprint.Route) -> dict[str, Any]:
    found = {"RouteKey": route.route_key, "Target": f"integrations/{route.integration_name}"}
    if route.authorized:
        return {**found, "AuthorizationType": "CUSTOM", "AuthorizerId": AUTHORIZER_ID}
    return {**found, "AuthorizationType": "NONE"}


def _integration(route: blueprint.Route) -> dict[str, Any]:
    found = {
        "IntegrationId": route.integration_name,
        "IntegrationType": route.integration.integration_type,
        "IntegrationUri": invocation_uri(route.integration.function),
    }
    templates = dict(route.integration.request_templates)
    return {**found, "RequestTemplates": templates} if templates else found


def _configuration(name: str) -> dict[str, Any]:
    return {
        "FunctionArn": function_arn(name),
        "Timeout": 10,
        "MemorySize": 256,
        "Runtime": "python3.13",
        "Environment": {"Variables": dict(ENVIRONMENT)},
    }


def _permissions(wanted: Blueprint) -> dict[str, Any]:
    ends = permissions.wanted_resources(wanted, AUTHORIZER_ID)
    return {name: [statement(end) for end in ends.get(name, [])] for name in FUNCTIONS}


def statement(end: str, api_id: str = API_ID) -> dict[str, Any]:
    """Return a statement of a function's policy that lets a part of an API invoke it."""
    arn = f"arn:aws:execute-api:eu-west-1:111122223333:{api_id}/{end}"
    return {
        "Sid": "some",
        "Effect": "Allow",
        "Principal": {"Service": "apigateway.amazonaws.com"},
        "Condition": {"ArnLike": {"AWS:SourceArn": arn}},
        "SourceArn": arn,
    }


def _role(expected: Expected, name: str) -> Role:
    statements = expected.role_statements(name, NAMES)
    # A role's policy comes back as JSON of its own order.
    document = {"Statement": json.loads(json.dumps(statements))[::-1]}
    return Role(inline={"policy": document})
