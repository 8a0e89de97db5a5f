"""What a stage should be, from the same code that would deploy it now."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chalice.cli.factory import CLIFactory
from chalice.config import Config
from chalice.deploy import models

from deployment import chalice_internals, extension, http_api, plan, policies
from deployment.blueprint import Blueprint
from deployment.errors import DeploymentRefused


@dataclass(frozen=True, slots=True)
class Function:
    """A function as config.json has it; ``policy`` still holds names.

    It is None where the role is not the extension's to write.
    """

    name: str
    timeout: int
    memory_size: int
    reserved_concurrency: int | None
    environment: Mapping[str, str] = field(repr=False)
    policy: Mapping[str, Any] | None
    log_group: str
    log_retention_days: int


@dataclass(frozen=True, slots=True)
class Expected:
    """A stage; functions go by the names of Chalice's resources."""

    blueprint: Blueprint
    functions: Mapping[str, Function]
    rest_permissions: Mapping[str, Sequence[str]]
    """What of the HTTP API invokes each function, as ends of ARNs, by the function's name."""
    rest_api_name: str
    rest_stage: str | None
    """API Gateway's stage of the HTTP API, None for an app without HTTP routes."""
    credential_variables: frozenset[str]
    demonstration_values: frozenset[str] = field(repr=False)
    deployed: Mapping[str, Mapping[str, Any]]
    """What ``chalice deploy`` has recorded, by the name of its resource."""

    def variables(self, function: str, names: Mapping[str, str]) -> dict[str, str]:
        """Return a function's environment as the extension would fill it in now.

        A variable that asks for a name which is not among ``names`` is left out: nobody knows yet
        what it should be.
        """
        filled = policies.fill_variables(
            self.functions[function].environment,
            self.blueprint.stage,
            lambda text: policies.substitute(text, names),
        )
        unknown = policies.DYNAMIC - names.keys()
        return {name: it for name, it in filled.items() if not policies.names(it) & unknown}

    def role_statements(self, function: str, names: Mapping[str, str]) -> list[Any] | None:
        """Return the statements the extension would write for a function now."""
        expected = self.functions[function]
        if expected.policy is None:
            return None
        values = policies.static_values(self.blueprint, function, expected.environment)
        filled = policies.fill(
            expected.policy, values, lambda text: policies.substitute(text, names)
        )
        return list(filled["Statement"])


def load(project_dir: str, stage: str, environ: MutableMapping[str, str]) -> Expected:
    """Load a project as Chalice's command line does, and model one stage without building it.

    ``environ`` is what the app reads; the stage's variables are put into it. DeploymentRefused
    says what keeps the project from being deployed at all.
    """
    factory = CLIFactory(project_dir, environ=environ)
    config = factory.create_config_obj(stage)
    if stage not in config.config_from_disk.get("stages", {}):
        raise DeploymentRefused(f"config.json has no stage {stage}")
    app = config.chalice_app
    resources = chalice_internals.model(config, stage)
    blueprint = plan.find_blueprint(resources)
    if blueprint is None:
        raise DeploymentRefused(
            "the app does not install the deployment extension, or has no WebSocket API"
        )
    credentials = extension.credentials_of(app)
    return Expected(
        blueprint=blueprint,
        functions={
            it.resource_name: _function(it)
            for it in resources
            if isinstance(it, models.LambdaFunction)
        },
        rest_permissions=_rest_permissions(resources),
        rest_api_name=config.app_name,
        rest_stage=_rest_stage(resources),
        credential_variables=credentials.variables,
        demonstration_values=credentials.demonstration_values,
        deployed=_deployed(config, stage),
    )


def _function(function: models.LambdaFunction) -> Function:
    policy = getattr(function.role, "policy", None)
    document: Any = policy.document if isinstance(policy, models.FileBasedIAMPolicy) else None
    group = function.log_group
    assert group is not None, "the extension refuses functions without one"
    return Function(
        name=function.function_name,
        timeout=function.timeout,
        memory_size=function.memory_size,
        reserved_concurrency=function.reserved_concurrency,
        environment=dict(function.environment_variables),
        policy=document,
        log_group=group.log_group_name,
        log_retention_days=group.retention_in_days,
    )


def _rest_permissions(resources: Sequence[Any]) -> dict[str, list[str]]:
    return {
        function: sources
        for api in resources
        if isinstance(api, models.RestAPI)
        for function, sources in http_api.permissions(api).items()
    }


def _rest_stage(resources: Sequence[Any]) -> str | None:
    stages = [it.api_gateway_stage for it in resources if isinstance(it, models.RestAPI)]
    return str(stages[0]) if stages else None


def _deployed(config: Config, stage: str) -> dict[str, Mapping[str, Any]]:
    deployed = config.deployed_resources(stage)
    return {name: deployed.resource_values(name) for name in deployed.resource_names()}
