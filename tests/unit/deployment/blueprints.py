"""Blueprints and definitions that tests change one thing of."""

from typing import Any

from deployment.blueprint import Blueprint, build
from deployment.options import Options

TAGS = {"aws-chalice": "version=1.34.0:stage=dev:app=parrot"}
FUNCTIONS = {
    "websocket_authorizer": "parrot-dev-websocket_authorizer",
    "websocket_connect": "parrot-dev-websocket_connect",
    "websocket_disconnect": "parrot-dev-websocket_disconnect",
    "websocket_message": "parrot-dev-websocket_message",
}
TABLE = {
    "TableName": "parrot-dev",
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
    "TimeToLiveSpecification": {"AttributeName": "expiresAt", "Enabled": True},
}
DEAD_LETTERS = {"QueueName": "parrot-dev-dead", "MessageRetentionPeriod": 1209600}
QUEUE = {
    "QueueName": "parrot-dev",
    "VisibilityTimeout": 60,
    "RedrivePolicy": {
        "deadLetterTargetArn": "arn:${Partition}:sqs:${Region}:${AccountId}:parrot-dev-dead",
        "maxReceiveCount": 3,
    },
}


def make_definition(**changes: Any) -> dict[str, Any]:
    definition = {
        "authorizer": {
            "function": "websocket_authorizer",
            "identity_sources": ["route.request.header.token"],
        },
        "route_selection_expression": "$request.body.action",
        "routes": {"sendmessage": make_route()},
        "stage_variables": {"StageVar1": "stageValue1"},
        "tables": [TABLE],
    }
    return {**definition, **changes}


def make_route(template: str = '{"body": $input.json("$")}', **changes: Any) -> dict[str, Any]:
    route = {
        "function": "websocket_message",
        "integration_type": "AWS",
        "request_templates": {"application/json": template},
    }
    return {**route, **changes}


def make_blueprint(
    definition: dict[str, Any] | None = None,
    chalice_routes: tuple[str, ...] = ("$connect", "$disconnect", "$default"),
    **changes: Any,
) -> Blueprint:
    values: dict[str, Any] = {
        "app_name": "parrot",
        "chalice_stage": "dev",
        "api_name": "parrot-dev-websocket-api",
        "stage": "api",
        "functions": FUNCTIONS,
        "tags": TAGS,
        "options": Options(),
    }
    return build(
        definition or make_definition(), chalice_routes=chalice_routes, **{**values, **changes}
    )
