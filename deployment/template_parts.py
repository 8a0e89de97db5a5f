"""What both halves of a template are put together with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from deployment.errors import DeploymentRefused

Resources = dict[str, Any]

_EXECUTE_API = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}"


def add(found: Resources, new: Mapping[str, Any]) -> None:
    """Add resources; DeploymentRefused where one of that name is there."""
    for name, resource in new.items():
        if name in found:
            raise DeploymentRefused(f"two resources would be named {name} in the template")
        found[name] = resource


def invoke_permission(function_id: str, api_id: str, resource: str, principal: str) -> Resources:
    """Allow a part of an API to invoke a function; both by their logical ids."""
    source = f"{_EXECUTE_API}:${{{api_id}}}/{resource}"
    digest = hashlib.sha256(resource.encode()).hexdigest()[:8]
    return {
        f"{function_id}InvokePermission{digest}": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": {"Ref": function_id},
                "Action": "lambda:InvokeFunction",
                "Principal": principal,
                "SourceArn": {"Fn::Sub": source},
            },
        }
    }
