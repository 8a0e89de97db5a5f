"""Hooks into Chalice's planner and packager; nothing happens until Chalice plans or packages.

Chalice loads ``app.py`` after it has built its deployer and before it plans, and looks methods up
by name, so wrapping methods of its classes is enough for ``chalice deploy``, ``chalice package``,
``chalice delete`` and ``chalice dev plan`` as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from chalice.app import Chalice
from chalice.config import Config
from chalice.deploy import models

from deployment import (
    aws_calls,
    blueprint,
    bytecode,
    chalice_internals,
    http_api,
    http_stage,
    observability_plan,
    options,
    plan,
    removal,
    template,
    variables,
)
from deployment.blueprint import Blueprint
from deployment.chalice_internals import wrap
from deployment.errors import DeploymentRefused
from deployment.naming import log_group

# What is deployed together with a WebSocket API, and not without one.
_OF_WEBSOCKETS = ("authorizer", "routes", "tables", "queues")

Definition = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Variables that hold a credential where they are set, and values that are in documents."""

    variables: frozenset[str] = frozenset()
    demonstration_values: frozenset[str] = field(default=frozenset(), repr=False)


_definitions: WeakKeyDictionary[Chalice, Definition] = WeakKeyDictionary()
_credentials: WeakKeyDictionary[Chalice, Credentials] = WeakKeyDictionary()
_known_variables: WeakKeyDictionary[Chalice, frozenset[str]] = WeakKeyDictionary()


def install(
    app: Chalice,
    definition: Definition,
    *,
    credential_variables: Iterable[str] = (),
    demonstration_values: Iterable[str] = (),
    known_variables: Iterable[str] = (),
) -> None:
    """Have Chalice deploy ``app`` as ``definition()`` says; refuses a Chalice it does not know.

    The doctor looks at ``credential_variables`` and warns of ``demonstration_values``. A variable
    that is nearly one of ``known_variables`` is refused when a stage is deployed.
    """
    chalice_internals.verify()
    _definitions[app] = definition
    _credentials[app] = Credentials(
        frozenset(credential_variables), frozenset(demonstration_values)
    )
    _known_variables[app] = frozenset(known_variables)
    wrap(chalice_internals.BuildStage, "execute", _build)
    wrap(chalice_internals.PlanStage, "execute", plan.execute)
    wrap(chalice_internals.PlanStage, "_plan_restapi", http_stage.plan_rest_api)
    wrap(chalice_internals.PlanStage, "_plan_websocketapi", plan.plan_websocket_api)
    wrap(chalice_internals.ResourceSweeper, "_delete_log_group", removal.delete_log_group)
    wrap(chalice_internals.SAMTemplateGenerator, "generate", template.generate)
    wrap(
        chalice_internals.SAMTemplateGenerator,
        "_generate_websocketapi",
        template.generate_websocket_api,
    )
    wrap(chalice_internals.TemplateMergePostProcessor, "process", template.finish)
    wrap(
        chalice_internals.SwaggerGenerator,
        "_generate_security_from_auth_obj",
        http_api.describe_authorizer,
    )
    wrap(chalice_internals.TerraformGenerator, "generate", _refuse_terraform)
    aws_calls.install()
    observability_plan.install()
    removal.install()
    bytecode.install()


def credentials_of(app: Chalice) -> Credentials:
    """Return what the app has said of its credentials."""
    return _credentials.get(app, Credentials())


def _build(
    original: Callable[..., None], stage: Any, config: Config, resources: Sequence[Any]
) -> None:
    """Attach to the model of the WebSocket API what it is to become."""
    original(stage, config, resources)
    definition = _definitions.get(config.chalice_app)
    if definition is None or not getattr(stage, "_steps", ()):
        return  # another app, or a deletion, which plans nothing
    _complete_log_groups(resources)
    chosen = options.read(config.project_dir, config.chalice_stage)
    variables.refuse_misspelt(
        _variables_of(resources), _known_variables[config.chalice_app], chosen.own_variables
    )
    defined = definition()
    _refuse_what_only_websockets_have(defined, resources)
    for resource in resources:
        if isinstance(resource, models.WebsocketAPI):
            resource.blueprint = _blueprint(config, defined, chosen, resource, resources)  # type: ignore[attr-defined]
        elif isinstance(resource, models.RestAPI):
            http_api.complete(resource, defined)


def _blueprint(
    config: Config,
    definition: Mapping[str, Any],
    chosen: options.Options,
    api: models.WebsocketAPI,
    resources: Sequence[Any],
) -> Blueprint:
    functions = [it for it in resources if isinstance(it, models.LambdaFunction)]
    return blueprint.build(
        definition,
        app_name=config.app_name,
        chalice_stage=config.chalice_stage,
        api_name=api.name,
        stage=api.api_gateway_stage,
        chalice_routes=api.routes,
        functions={it.resource_name: it.function_name for it in functions},
        tags=config.tags,
        options=chosen,
    )


def _refuse_what_only_websockets_have(
    definition: Mapping[str, Any], resources: Sequence[Any]
) -> None:
    """An app with HTTP routes alone gets authorizers, stage variables and responses, no more."""
    left_out = sorted(it for it in _OF_WEBSOCKETS if definition.get(it))
    if left_out and not any(isinstance(it, models.WebsocketAPI) for it in resources):
        raise DeploymentRefused(
            f"the app has no WebSocket handler, so {', '.join(left_out)} of its definition would "
            "not be deployed"
        )


def _variables_of(resources: Sequence[Any]) -> Iterator[str]:
    for resource in resources:
        if isinstance(resource, models.LambdaFunction):
            yield from resource.environment_variables


def _complete_log_groups(resources: Sequence[Any]) -> None:
    for function in resources:
        if not isinstance(function, models.LambdaFunction):
            continue
        if function.log_group is None:
            raise DeploymentRefused(
                "log_retention_in_days is missing in config.json: roles may not create log groups, "
                f"so {function.function_name} would have nowhere to write"
            )
        # Chalice's name is wrong for the function behind the routes, which has none of its own.
        function.log_group.log_group_name = log_group(function.function_name)


def _refuse_terraform(original: Callable[..., Any], generator: Any, *args: Any) -> Any:
    if _definitions.get(generator._config.chalice_app) is None:
        return original(generator, *args)
    raise DeploymentRefused(
        "Chalice's Terraform output has no place for the authorizer, so the API would be open. "
        "Use chalice deploy, or chalice package for CloudFormation."
    )
