"""``chalice deploy``: what Chalice plans, with the WebSocket API replaced by one that is protected.

Chalice creates roles and functions first and the API last. Here tables, queues and the API itself
come first, without any route or stage, for the roles need their ids; the rest of the API comes
last, in one call that publishes it in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chalice.deploy import models

from deployment import http_api, observability_plan, policies
from deployment.blueprint import Blueprint
from deployment.chalice_internals import KEPT_CALLS, REPLACED_CALLS, StringFormat, Variable
from deployment.errors import DeploymentRefused

NAMES = "deployment_names"


def execute(original: Callable[..., Any], stage: Any, resources: Sequence[Any]) -> Any:
    """Plan as Chalice does, between what the roles need first and what nothing may precede."""
    blueprint = find_blueprint(resources)
    if blueprint is None:
        plan = original(stage, resources)
        if http_api.is_completed(resources):
            http_api.narrow_permissions(plan, resources)
        return plan
    fill_in(resources, blueprint, as_string_format)
    plan = original(stage, resources)
    first, messages = _preamble(stage, resources, blueprint)
    conditions, condition_messages = observability_plan.first(blueprint)
    last, last_messages = observability_plan.last(blueprint, as_string_format)
    plan.instructions[:] = [*conditions, *first, *plan.instructions, *last]
    plan.messages.update({**messages, **condition_messages, **last_messages})
    http_api.narrow_permissions(plan, resources)
    return plan


def find_blueprint(resources: Sequence[Any]) -> Blueprint | None:
    """Return what was attached to the WebSocket API, if the app has one that is defined."""
    for resource in resources:
        if isinstance(resource, models.WebsocketAPI):
            return getattr(resource, "blueprint", None)
    return None


def fill_in(resources: Sequence[Any], blueprint: Blueprint, fill_text: policies.FillText) -> None:
    """Fill the names in the variables of functions, and in every policy that is a file.

    Not before the policies: a variable is a name there too.
    """
    _refuse_shared_roles(resources)
    for function in resources:
        policy = _own_policy(function)
        if policy is not None:
            values = policies.static_values(
                blueprint, function.resource_name, function.environment_variables
            )
            policy.document = policies.fill(policy.document, values, fill_text)
    for function in resources:
        if isinstance(function, models.LambdaFunction):
            function.environment_variables = policies.fill_variables(
                function.environment_variables, blueprint.stage, fill_text
            )


def _refuse_shared_roles(resources: Sequence[Any]) -> None:
    """A role of several functions could name the log group of one only."""
    owners: dict[int, list[str]] = {}
    for function in resources:
        policy = _own_policy(function)
        if policy is not None and policies.names(policy.document) - policies.DYNAMIC:
            owners.setdefault(id(policy), []).append(function.resource_name)
    shared = sorted(name for names in owners.values() if len(names) > 1 for name in names)
    if shared:
        raise DeploymentRefused(
            f"{', '.join(shared)} share a role whose policy has names to fill: give each function "
            "an iam_policy_file of its own under lambda_functions in config.json"
        )


def _own_policy(function: Any) -> Any:
    if not isinstance(function, models.LambdaFunction):
        return None
    policy = getattr(function.role, "policy", None)
    return policy if isinstance(policy, models.FileBasedIAMPolicy) else None


def as_string_format(text: str) -> Any:
    """Have Chalice's executor fill the dynamic names, once the API exists."""
    parts = policies.DYNAMIC_NAME.split(text)
    parts[::2] = [part.replace("{", "{{").replace("}", "}}") for part in parts[::2]]
    parts[1::2] = [f"{{{NAMES}[{name}]}}" for name in parts[1::2]]
    return StringFormat("".join(parts), [NAMES])


def plan_websocket_api(original: Callable[..., Any], stage: Any, resource: Any) -> Any:
    """Drop what Chalice would publish without an authorizer, and publish it in one call instead."""
    planned = original(stage, resource)
    blueprint = getattr(resource, "blueprint", None)
    if blueprint is None:
        return planned
    kept = [entry for entry in planned if not _is_replaced(entry)]
    if len(kept) == len(planned):
        raise DeploymentRefused("Chalice's plan for a WebSocket API is not the one that is known")
    position = 1 + max(
        i for i, entry in enumerate(kept) if isinstance(_bare(entry), models.JPSearch)
    )
    return [*kept[:position], *_publication(blueprint), *kept[position:]]


def _bare(entry: Any) -> Any:
    return entry[0] if isinstance(entry, tuple) else entry


def _is_replaced(entry: Any) -> bool:
    instruction = _bare(entry)
    if not isinstance(instruction, models.APICall):
        # Only what nothing refers to any more: the id comes from the first call of the plan.
        return isinstance(instruction, models.StoreValue) and (
            instruction.name in {"websocket_api_id", "routes"}
            or instruction.name.endswith("-integration-lambda-path")
        )
    if instruction.method_name in REPLACED_CALLS:
        return True
    if instruction.method_name in KEPT_CALLS:
        return False
    raise DeploymentRefused(
        f"Chalice plans {instruction.method_name} for the WebSocket API, which is not known here"
    )


def _publication(blueprint: Blueprint) -> list[Any]:
    functions = {route.integration.function for route in blueprint.routes}
    functions.add(blueprint.authorizer.function)
    call = models.APICall(
        method_name="publish_websocket_api",
        params={
            "blueprint": blueprint,
            "names": Variable(NAMES),
            "function_arns": {name: Variable(f"{name}_lambda_arn") for name in sorted(functions)},
        },
    )
    return [(call, f"Publishing WebSocket API: {blueprint.api_name}\n")]


def _preamble(
    stage: Any, resources: Sequence[Any], blueprint: Blueprint
) -> tuple[list[Any], dict[int, str]]:
    prepare = models.APICall(
        method_name="prepare_websocket_api",
        params={"blueprint": blueprint, "deployed_api_id": _deployed_api_id(stage, resources)},
        output_var=NAMES,
    )
    instructions: list[Any] = []
    messages: dict[int, str] = {}
    for kind, name, params in _stores(blueprint):
        call = models.APICall(method_name=f"ensure_{kind}", params=params)
        messages[id(call)] = f"Preparing {kind}: {name}\n"
        record = models.RecordResourceValue(
            resource_type=kind, resource_name=f"{kind}:{name}", name=f"{kind}_name", value=name
        )
        instructions += [call, record]
    messages[id(prepare)] = f"Preparing WebSocket API: {blueprint.api_name}\n"
    api_id = models.StoreValue(
        name="websocket_api_id", value=StringFormat(f"{{{NAMES}[ApiId]}}", [NAMES])
    )
    return [*instructions, prepare, api_id], messages


def _stores(blueprint: Blueprint) -> list[tuple[str, str, dict[str, Any]]]:
    tags = dict(blueprint.tags)
    return [
        *(("table", it["TableName"], {"properties": it, "tags": tags}) for it in blueprint.tables),
        *(("queue", it["QueueName"], {"properties": it, "tags": tags}) for it in blueprint.queues),
    ]


def _deployed_api_id(stage: Any, resources: Sequence[Any]) -> str | None:
    state = stage._remote_state
    for resource in resources:
        if isinstance(resource, models.WebsocketAPI) and state.resource_exists(resource):
            return str(state.resource_deployed_values(resource)["websocket_api_id"])
    return None
