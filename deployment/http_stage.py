"""The stage of the HTTP API: Chalice publishes it, and here it gets the definition's variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chalice.deploy import models

from deployment.errors import DeploymentRefused

_CHALICES_CALL = "deploy_rest_api"


def plan_rest_api(original: Callable[..., Any], stage: Any, resource: Any) -> Any:
    """Plan as Chalice does, but to publish the stage together with its variables."""
    planned = original(stage, resource)
    variables = getattr(resource, "stage_variables", None)
    if variables is None:
        return planned
    made = [_with_variables(entry, variables) for entry in planned]
    if made == planned:
        raise DeploymentRefused("Chalice's plan for an HTTP API is not the one that is known")
    return made


def _with_variables(entry: Any, variables: Mapping[str, str]) -> Any:
    if getattr(entry, "method_name", None) != _CHALICES_CALL:
        return entry
    params = {**entry.params, "variables": dict(variables)}
    return models.APICall(method_name="publish_rest_api", params=params)


def publish(
    client: Any, api_id: str, stage: str, variables: Mapping[str, str], *, tracing: bool
) -> None:
    """Make a deployment, move the stage to it, and give the stage these variables and no others.

    A new stage has them from the beginning: whoever decides by one never misses it. What
    ``CreateDeployment`` does to the variables of a stage that is there is not documented, so it is
    told none and what differs after it is changed, in one call.
    ``client`` is boto3's ``apigateway``.
    """
    is_new = _variables(client, api_id, stage) is None
    client.create_deployment(
        restApiId=api_id,
        stageName=stage,
        tracingEnabled=tracing,
        **({"variables": dict(variables)} if is_new else {}),
    )
    operations = changes(_variables(client, api_id, stage) or {}, variables)
    if operations:
        client.update_stage(restApiId=api_id, stageName=stage, patchOperations=operations)


def changes(present: Mapping[str, str], wanted: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the patch operations from some variables to others.

    A variable that is not there yet is replaced too:
    https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html
    """
    removed = [
        {"op": "remove", "path": f"/variables/{name}"}
        for name in sorted(present.keys() - wanted.keys())
    ]
    return removed + [
        {"op": "replace", "path": f"/variables/{name}", "value": value}
        for name, value in sorted(wanted.items())
        if present.get(name) != value
    ]


def _variables(client: Any, api_id: str, stage: str) -> Mapping[str, str] | None:
    """Return the variables of a stage, None where there is no such stage."""
    try:
        found = client.get_stage(restApiId=api_id, stageName=stage)
    except client.exceptions.NotFoundException:
        return None
    return dict(found.get("variables") or {})
