"""Every private name of Chalice that is relied on, in one place.

Chalice promises none of them. A release that moves one is refused before anything is deployed:
``pyproject.toml`` pins the minor version, and :func:`verify` looks at each name at run time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import chalice
from chalice import package
from chalice.awsclient import TypedAWSClient
from chalice.config import Config
from chalice.deploy import appgraph, deployer, models, planner, swagger, sweeper
from chalice.policy import AppPolicyGenerator
from chalice.utils import OSUtils

from deployment.errors import DeploymentRefused

SUPPORTED = "1.34."

BuildStage = deployer.BuildStage
PlanStage = planner.PlanStage
ResourceSweeper = sweeper.ResourceSweeper
SwaggerGenerator = swagger.SwaggerGenerator
SAMTemplateGenerator = package.SAMTemplateGenerator
TerraformGenerator = package.TerraformGenerator
StringFormat = planner.StringFormat
Variable = planner.Variable

TemplateMergePostProcessor = package.TemplateMergePostProcessor

# Without effect where what they delete is gone already.
DELETING_CALLS = (
    "delete_function",
    "delete_log_group",
    "delete_rest_api",
    "delete_role",
    "delete_websocket_api",
    "remove_lambda_event_source",
)

RELIED_ON: dict[type, tuple[str, ...]] = {
    BuildStage: ("execute",),
    PlanStage: ("execute", "_plan_restapi", "_plan_websocketapi"),
    ResourceSweeper: ("_plan_deletion", "_delete_log_group", "_delete_lambda_function"),
    SAMTemplateGenerator: ("generate", "_generate_websocketapi"),
    SwaggerGenerator: ("_generate_security_from_auth_obj",),
    TerraformGenerator: ("generate",),
    TemplateMergePostProcessor: ("process",),
    TypedAWSClient: (
        "_client",
        "endpoint_dns_suffix",
        "log_group_exists",
        "partition_name",
        "region_name",
        "service_principal",
        *DELETING_CALLS,
    ),
    models.WebsocketAPI: (),
    models.ManagedIAMRole: (),
    models.LambdaFunction: (),
}
FIELDS: dict[type, set[str]] = {
    models.WebsocketAPI: {
        "name",
        "api_gateway_stage",
        "routes",
        "connect_function",
        "message_function",
        "disconnect_function",
    },
    models.ManagedIAMRole: {"resource_name", "role_name", "policy"},
    models.LambdaFunction: {"resource_name", "function_name", "environment_variables", "log_group"},
    models.RestAPI: {"lambda_function", "authorizers", "api_gateway_stage", "swagger_doc"},
}

# What Chalice plans for a WebSocket API, by the name of the client's method.
# Replaced: they publish routes without an authorizer.
REPLACED_CALLS = frozenset(
    {
        "create_websocket_api",
        "create_websocket_integration",
        "create_websocket_route",
        "deploy_websocket_api",
        "create_stage",
        "get_websocket_routes",
        "delete_websocket_routes",
        "get_websocket_integrations",
        "delete_websocket_integrations",
        "add_permission_for_apigateway_v2",
    }
)
# Kept: custom domains.
KEPT_CALLS = frozenset(
    {
        "create_domain_name",
        "update_domain_name",
        "create_base_path_mapping",
        "create_api_mapping",
        "get_domain_name",
    }
)


def verify() -> None:
    """Refuse a Chalice that is not the one this was written for; DeploymentRefused says why."""
    if not chalice.__version__.startswith(SUPPORTED):
        raise DeploymentRefused(
            f"Chalice {chalice.__version__} is not supported: install chalice>=1.34,<1.35"
        )
    missing = [
        f"{owner.__name__}.{name}"
        for owner, names in RELIED_ON.items()
        for name in names
        if not hasattr(owner, name)
    ]
    for owner, fields in FIELDS.items():
        absent = fields - set(getattr(owner, "__dataclass_fields__", {}))
        missing += [f"{owner.__name__}.{name}" for name in sorted(absent)]
    if missing:
        raise DeploymentRefused(
            f"this Chalice has no {', '.join(missing)}; nothing was deployed, "
            "for the API would not be protected"
        )


def model(config: Config, stage: str) -> list[Any]:
    """Return Chalice's model of a stage, with policies and routes but without a package."""
    application = appgraph.ApplicationGraphBuilder().build(config, stage)
    resources: list[Any] = appgraph.DependencyBuilder().build_dependencies(application)
    steps = [
        deployer.InjectDefaults(),
        deployer.PolicyGenerator(AppPolicyGenerator(OSUtils()), OSUtils()),
        deployer.SwaggerBuilder(swagger.TemplatedSwaggerGenerator()),
    ]
    deployer.BuildStage(steps).execute(config, resources)
    return resources


def wrap(owner: type, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace a method by ``wrapper(original, self, ...)``, once however often it is asked for."""
    original = getattr(owner, name)
    if getattr(original, "__portcullis__", False):
        return

    @functools.wraps(original)
    def replacement(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(original, self, *args, **kwargs)

    replacement.__portcullis__ = True  # type: ignore[attr-defined]
    setattr(owner, name, replacement)
