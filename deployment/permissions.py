"""Who may invoke a function: exactly the routes and authorizers of one API that use it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from deployment.blueprint import Blueprint

# A function's resource policy holds 20 KB, about fifty statements.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MOST_STATEMENTS = 25


def wanted_resources(blueprint: Blueprint, authorizer_id: str) -> dict[str, list[str]]:
    """Return, by Chalice's resource, what invokes it: the ends of ARNs after the API's id."""
    routes: dict[str, list[str]] = {}
    for route in blueprint.routes:
        routes.setdefault(route.integration.function, []).append(
            f"{blueprint.stage}/{route.route_key}"
        )
    wanted = {
        function: found if len(found) <= MOST_STATEMENTS else [f"{blueprint.stage}/*"]
        for function, found in routes.items()
    }
    wanted.setdefault(blueprint.authorizer.function, []).append(f"authorizers/{authorizer_id}")
    return wanted


def sync(
    client: Any, function: str, principal: str, api_arn: str, resources: Sequence[str]
) -> None:
    """Allow an API's ``resources`` to invoke a function, and nothing else of the same API.

    ``api_arn`` ends in the API's id. What is new is added before what is stale goes.
    """
    allow(client, function, principal, api_arn, resources)
    revoke_others(client, function, api_arn, resources)


def allow(
    client: Any, function: str, principal: str, api_arn: str, resources: Sequence[str]
) -> None:
    """Allow an API's ``resources`` to invoke a function, beside what may already."""
    wanted = {f"{api_arn}/{resource}" for resource in resources}
    present = _statements_of(client, function, api_arn)
    for source_arn in sorted(wanted - set(present.values())):
        client.add_permission(
            FunctionName=function,
            StatementId=_statement_id(source_arn),
            Action="lambda:InvokeFunction",
            Principal=principal,
            SourceArn=source_arn,
        )


def revoke_others(client: Any, function: str, api_arn: str, resources: Sequence[str]) -> None:
    """Take from an API what it may invoke a function for beside its ``resources``."""
    wanted = {f"{api_arn}/{resource}" for resource in resources}
    for statement_id, source_arn in _statements_of(client, function, api_arn).items():
        if source_arn not in wanted:
            client.remove_permission(FunctionName=function, StatementId=statement_id)


def _statements_of(client: Any, function: str, api_arn: str) -> dict[str, str]:
    try:
        policy = json.loads(client.get_policy(FunctionName=function)["Policy"])
    except client.exceptions.ResourceNotFoundException:
        return {}
    found = {it["Sid"]: source_arn(it) for it in policy["Statement"] if "Sid" in it}
    return {sid: arn for sid, arn in found.items() if arn and arn.startswith(f"{api_arn}/")}


def source_arn(statement: Mapping[str, Any]) -> str | None:
    """Return the ARN a statement of a function's policy asks for, however its key is written."""
    for condition in (statement.get("Condition") or {}).values():
        for key, value in condition.items():
            if key.lower() == "aws:sourcearn":
                return str(value)
    return None


def _statement_id(source_arn: str) -> str:
    return f"apigateway-{hashlib.sha256(source_arn.encode()).hexdigest()[:16]}"
