"""The one WebSocket API of a template that is served here, and the functions it invokes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from chalice.utils import to_cfn_resource_name

from localgateway.cloudformation_resources import HANDLERS, Resource, Resources
from localgateway.definition import ApiDefinition, Route
from localgateway.intrinsics import API_TYPE, FUNCTION_TYPES

_FUNCTION_URI = re.compile(
    r"arn:[^:]+:apigateway:[^:]*:lambda:path/2015-03-31/functions/"
    r"arn:[^:]+:lambda:[^:]*:[^:]*:function:(?P<name>[^:/]+)(:[^:/]+)?/invocations"
)

_UNSUPPORTED_TYPES = {
    "AWS::ApiGatewayV2::DomainName": "custom domain names are not served",
    "AWS::ApiGatewayV2::Model": "requests are not validated",
    "AWS::Serverless::WebSocketApi": "it is not read; write AWS::ApiGatewayV2 resources",
}
_NOT_VALIDATED = "requests are not validated"
_NOT_LIMITED = "it is not honoured; see --limit"
_UNSUPPORTED_PROPERTIES = {
    "Authorizer": {
        "AuthorizerPayloadFormatVersion": "WebSocket APIs have but one",
        "AuthorizerResultTtlInSeconds": "API Gateway refuses it for WebSocket APIs",
        "EnableSimpleResponses": "API Gateway refuses it for WebSocket APIs",
    },
    "Integration": {
        "RequestParameters": "request parameters are not mapped",
        "TimeoutInMillis": _NOT_LIMITED,
    },
    "IntegrationResponse": {
        "ResponseParameters": "response parameters are not mapped",
    },
    "Route": {
        "ApiKeyRequired": "API keys are not asked for",
        "ModelSelectionExpression": _NOT_VALIDATED,
        "RequestModels": _NOT_VALIDATED,
        "RequestParameters": _NOT_VALIDATED,
    },
    "Stage": {
        "DefaultRouteSettings.ThrottlingBurstLimit": _NOT_LIMITED,
        "DefaultRouteSettings.ThrottlingRateLimit": _NOT_LIMITED,
        "RouteSettings": _NOT_LIMITED,
    },
}


class ServedApi:
    """The resources of one WebSocket API, in an app that has some functions."""

    def __init__(
        self, resources: Resources, definition: ApiDefinition, functions: Collection[str]
    ) -> None:
        self.definition = definition
        self._resources = resources
        self._functions = functions
        self.function_names: Mapping[str, str] = _deployed_names(resources, definition, functions)
        """Every name a template may have for a function of the app's, to its own."""
        self._others = {
            api.logical_id
            for api in resources.of(API_TYPE)
            if api.logical_id != resources.served_api
        }

    def api(self) -> Resource | None:
        """Return the API itself."""
        apis = self._resources.of(API_TYPE)
        return next((api for api in apis if api.logical_id == self._resources.served_api), None)

    def of(self, kind: str) -> Iterator[Resource]:
        """Yield the API's resources of a kind, such as ``Route``."""
        for resource in self._resources.of(f"AWS::ApiGatewayV2::{kind}"):
            if str(resource.get("ApiId")) not in self._others:
                yield resource

    def function(self, resource: Resource, name: str) -> str:
        """Return the app's function a property's URI invokes; raises ``StartError``."""
        uri = resource.text(name)
        match = _FUNCTION_URI.fullmatch(uri or "")
        if match is None:
            resource.fail(
                name,
                f"{uri} invokes no function; write arn:aws:apigateway:REGION:lambda:path"
                "/2015-03-31/functions/FUNCTION_ARN/invocations",
            )
        if match["name"] not in self.function_names:
            known = ", ".join(sorted(self._functions))
            resource.fail(name, f"the app has no function {match['name']}; it has {known}")
        return self.function_names[match["name"]]

    def say_unsupported(self) -> None:
        """Say what the template asks for and the gateway does not do."""
        for kind, reason in _UNSUPPORTED_TYPES.items():
            for resource in self._resources.of(kind):
                resource.say("", reason)
        for resource, name, reason in self._unsupported_properties():
            resource.say(name, reason)
        for api in self._resources.of(API_TYPE):
            is_another = api.is_declared and api.logical_id in self._others
            if is_another and api.get("ProtocolType") == "WEBSOCKET":
                api.say("", "a second WebSocket API is not served")
        for logical_id, path in self._resources.assumed.items():
            if logical_id not in self.function_names:
                self._resources.say(path, f"neither the template nor the app has {logical_id}")

    def _unsupported_properties(self) -> Iterator[tuple[Resource, str, str]]:
        for kind, properties in _UNSUPPORTED_PROPERTIES.items():
            for resource in self.of(kind):
                for name, reason in properties.items():
                    if _member(resource, name):
                        yield resource, name, reason
        for resource in self.of("Integration"):
            if resource.get("ContentHandlingStrategy") == "CONVERT_TO_BINARY":
                yield resource, "ContentHandlingStrategy", "messages stay text here"


def _member(resource: Resource, path: str) -> Any:
    name, _, rest = path.partition(".")
    value = resource.get(name)
    if not rest:
        return value
    return value.get(rest) if isinstance(value, Mapping) else None


def _deployed_names(
    resources: Resources, definition: ApiDefinition, functions: Collection[str]
) -> dict[str, str]:
    """Return the app's functions by every name a template may have for them."""
    names = {name: name for name in functions}
    names |= {to_cfn_resource_name(name): name for name in functions}
    for route_key, logical_id in HANDLERS.items():
        handler = definition.routes.get(route_key, Route()).function
        if handler is not None:
            names[logical_id] = handler
    for resource in resources.of(*FUNCTION_TYPES):
        handler = str(resource.get("Handler")).rpartition(".")[2]
        if handler in functions:
            names.setdefault(resource.logical_id, handler)
        function_name = resource.get("FunctionName")
        if isinstance(function_name, str) and resource.logical_id in names:
            names.setdefault(function_name, names[resource.logical_id])
    return names
