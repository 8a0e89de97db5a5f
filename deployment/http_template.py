"""``chalice package``: what the HTTP API's stage lacks, and less than Chalice allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chalice.deploy import models
from chalice.utils import to_cfn_resource_name

from deployment import http_api
from deployment.template_parts import Resources, add, invoke_permission


def give_stage_variables(found: Resources, resources: Sequence[Any]) -> None:
    """Name the variables of the stage, which SAM makes together with the API.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-api.html
    """
    for api in resources:
        variables = getattr(api, "stage_variables", None)
        if isinstance(api, models.RestAPI) and variables:
            found["RestAPI"]["Properties"]["Variables"] = dict(variables)


def narrow_permissions(found: Resources, resources: Sequence[Any]) -> None:
    """Allow the stage's own routes and authorizers, where Chalice allows the whole API."""
    for api in resources:
        if not isinstance(api, models.RestAPI):
            continue
        wanted = http_api.permissions(api)
        ids = {api.lambda_function.function_name: "APIHandler"} | {
            it.function_name: to_cfn_resource_name(it.resource_name) for it in api.authorizers
        }
        for function, arn_ends in wanted.items():
            function_id = ids[function]
            principal = found.pop(f"{function_id}InvokePermission")["Properties"]["Principal"]
            for arn_end in arn_ends:
                add(found, invoke_permission(function_id, "RestAPI", arn_end, principal))
