"""The HTTP API: what the definition says of it, and permissions for the stage's own routes only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from chalice.deploy import models

from deployment.chalice_internals import Variable
from deployment.permissions import MOST_STATEMENTS

_PARAMETER = re.compile(r"\{[^/}]+\}")


def complete(api: Any, definition: Mapping[str, Any]) -> None:
    """Have API Gateway answer in the definition's words where no function is asked.

    Its stage gets the same variables as the WebSocket API's.
    """
    responses = definition.get("gateway_responses")
    api.stage_variables = dict(definition.get("stage_variables", {}))
    if responses:
        api.swagger_doc["x-amazon-apigateway-gateway-responses"] = dict(responses)


def is_completed(resources: Sequence[Any]) -> bool:
    """Whether there is an HTTP API of an app that has installed the extension."""
    return any(hasattr(it, "stage_variables") for it in resources if isinstance(it, models.RestAPI))


def narrow_permissions(plan: Any, resources: Sequence[Any]) -> None:
    """Replace what Chalice plans to allow: any stage, any method and path of the API."""
    sources = {
        function: sources
        for resource in resources
        if isinstance(resource, models.RestAPI)
        for function, sources in permissions(resource).items()
    }
    for position, instruction in enumerate(plan.instructions):
        if getattr(instruction, "method_name", None) == "add_permission_for_apigateway":
            function = instruction.params["function_name"]
            plan.instructions[position] = models.APICall(
                method_name="sync_permissions",
                params={
                    "function_name": function,
                    "api_id": Variable("rest_api_id"),
                    "resources": sources[function],
                },
            )


def describe_authorizer(
    original: Callable[..., None], generator: Any, api: dict[str, Any], authorizer: Any
) -> None:
    """Describe as of the kind REQUEST an authorizer that has ``identity_sources``.

    Chalice knows TOKEN alone. Without sources API Gateway may not keep an answer.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-authorizer.html
    """
    original(generator, api, authorizer)
    sources = getattr(authorizer, "identity_sources", None)
    if sources is None:
        return
    definition = api["securityDefinitions"][authorizer.name]
    definition["name"] = "Unused"  # of a header; API Gateway's own exports say the same
    described = definition["x-amazon-apigateway-authorizer"]
    described["type"] = "request"
    if sources:
        described["identitySource"] = ", ".join(sources)
    else:
        described["authorizerResultTtlInSeconds"] = 0


def permissions(api: models.RestAPI) -> dict[str, list[str]]:
    """Return what of the API may invoke each function, as the ends of ARNs after the API's id."""
    handler: dict[str, list[str]] = {
        api.lambda_function.function_name: _routes(api.api_gateway_stage, api.swagger_doc)
    }
    # API Gateway chooses the ids when it imports the API.
    return handler | {it.function_name: ["authorizers/*"] for it in api.authorizers}


def _routes(stage: str, swagger: Any) -> list[str]:
    found = sorted(
        # What stands in place of a parameter is not documented; the console writes an asterisk.
        f"{stage}/{method}{_PARAMETER.sub('*', path)}"
        for path, methods in swagger["paths"].items()
        for method in _methods(methods)
    )
    return found if len(found) <= MOST_STATEMENTS else [f"{stage}/*"]


def _methods(methods: Mapping[str, Any]) -> Iterator[str]:
    for method, operation in methods.items():
        integration = operation.get("x-amazon-apigateway-integration", {})
        if integration.get("type") != "mock":  # preflights are answered by API Gateway itself
            yield "*" if method == "x-amazon-apigateway-any-method" else method.upper()
