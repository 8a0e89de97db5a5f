"""Reads what CloudFormation would make of a packaged template, as far as tests ask."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

ACCOUNT_ID, REGION, API_ID = "123456789012", "us-east-1", "abcdef1234"
_PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT_ID,
    "WebsocketAPI": API_ID,
}


def of_type(template: Mapping[str, Any], *types: str) -> dict[str, Any]:
    """Return the properties of all resources of these types, by logical id."""
    return {
        name: it.get("Properties", {})
        for name, it in template["Resources"].items()
        if it["Type"] in types
    }


def resolved(value: Any) -> Any:
    """Fill pseudo parameters and the API's id; a reference to another resource is its name."""
    if isinstance(value, Mapping):
        if set(value) == {"Fn::Sub"}:
            return re.sub(r"\$\{([^!}]+)\}", _named, value["Fn::Sub"]).replace("${!", "${")
        if set(value) == {"Ref"}:
            return _PSEUDO.get(value["Ref"], value["Ref"])
        return {key: resolved(it) for key, it in value.items()}
    return [resolved(it) for it in value] if isinstance(value, list) else value


def without_deployment(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return a template the emulator can take, with its stage published at once instead."""
    kind = "AWS::ApiGatewayV2::Deployment"
    resources = {name: it for name, it in template["Resources"].items() if it["Type"] != kind}
    stage = resources["WebsocketAPIStage"]["Properties"]
    del stage["DeploymentId"]
    stage["AutoDeploy"] = True
    return {**template, "Resources": resources}


def _named(match: re.Match[str]) -> str:
    return _PSEUDO.get(match[1], match[0])


def policies(template: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the statements of each function's role, by the function's logical id."""
    roles = of_type(template, "AWS::IAM::Role")
    found = {}
    for name, function in of_type(template, "AWS::Serverless::Function").items():
        role_id, _arn = function["Role"]["Fn::GetAtt"]
        (policy,) = roles[role_id]["Policies"]
        found[name] = resolved(policy["PolicyDocument"]["Statement"])
    return found


def strings(value: Any) -> Iterator[str]:
    """Yield every text in a piece of JSON that is one or a list of them."""
    yield from [value] if isinstance(value, str) else value


class _ManagedPolicies:
    """The managed policies of an account; SAM would ask IAM for them."""

    def load(self) -> dict[str, str]:
        name = "AWSLambdaBasicExecutionRole"
        return {name: f"arn:aws:iam::aws:policy/service-role/{name}"}


def translated(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return what SAM makes of a packaged template, as CloudFormation gets it."""
    from samtranslator.translator.transform import transform  # takes a second

    copy = json.loads(json.dumps(template))
    for name in of_type(copy, "AWS::Serverless::Function"):  # as `aws cloudformation package` does
        copy["Resources"][name]["Properties"]["CodeUri"] = "s3://bucket/key"
    made: dict[str, Any] = transform(copy, {}, _ManagedPolicies())
    return made
