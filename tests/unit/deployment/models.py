"""Chalice's models of the small app that tests plan."""

from typing import Any

from chalice.deploy import models

from deployment.blueprint import Blueprint


def make_function(name: str, policy: Any = None) -> models.LambdaFunction:
    role = models.ManagedIAMRole(
        resource_name=f"{name}_role",
        role_name=f"parrot-dev-{name}",
        trust_policy={},
        policy=policy or models.FileBasedIAMPolicy({"Statement": []}, f"{name}.json"),
    )
    return models.LambdaFunction(
        resource_name=name,
        function_name=f"parrot-dev-{name}",
        deployment_package=models.DeploymentPackage(filename=__file__),
        environment_variables={"TABLE_NAME": "parrot-dev"},
        xray=False,
        runtime="python3.11",
        handler=f"app.{name}",
        tags={},
        timeout=10,
        memory_size=128,
        role=role,
        security_group_ids=[],
        subnet_ids=[],
        reserved_concurrency=0,
        layers=[],
    )


def make_websocket_api(
    blueprint: Blueprint | None, domain_name: models.DomainName | None = None
) -> models.WebsocketAPI:
    api = models.WebsocketAPI(
        resource_name="websocket_api",
        name="parrot-dev-websocket-api",
        api_gateway_stage="api",
        routes=["$connect", "$disconnect", "$default"],
        connect_function=make_function("websocket_connect"),
        message_function=make_function("websocket_message"),
        disconnect_function=make_function("websocket_disconnect"),
        domain_name=domain_name,
    )
    if blueprint is not None:
        api.blueprint = blueprint  # type: ignore[attr-defined]
    return api


def make_domain_name() -> models.DomainName:
    return models.DomainName(
        resource_name="websocket_api_custom_domain",
        protocol=models.APIType.WEBSOCKET,
        domain_name="ws.example.com",
        api_mapping=models.APIMapping("websocket_api_mapping", "(none)", "api"),
        certificate_arn="arn:aws:acm:us-east-1:123456789012:certificate/a",
        tls_version=models.TLSVersion.TLS_1_2,
    )


class FakeRemoteState:
    """What of a stage is deployed, in Chalice's words."""

    def __init__(self, api_id: str | None = None) -> None:
        self._api_id = api_id

    def resource_exists(self, resource: Any, *_names: str) -> bool:
        return self._api_id is not None and isinstance(resource, models.WebsocketAPI)

    def resource_deployed_values(self, resource: Any) -> dict[str, Any]:
        assert self.resource_exists(resource)
        return {"websocket_api_id": self._api_id}
