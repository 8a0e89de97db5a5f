"""The resources a template leaves on one stage, their properties worked out.

A ``--merge-template`` file says only what it adds to the resources Chalice makes, without their
types; so those that matter here are put under it, as Chalice would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from localgateway.cloudformation_file import TemplateFiles
from localgateway.errors import StartError
from localgateway.events import Stage
from localgateway.intrinsics import (
    API_TYPE,
    FUNCTION_TYPES,
    NO_VALUE,
    RawResource,
    Resolver,
    Unresolvable,
    as_text,
)

HANDLERS = {
    "$connect": "WebsocketConnect",
    "$default": "WebsocketMessage",
    "$disconnect": "WebsocketDisconnect",
}
"""The functions Chalice makes of an app's WebSocket handlers, whatever the app calls them."""

_CHALICE_API = "WebsocketAPI"
_ONLY_OF_FUNCTIONS = frozenset({"Environment", "Events", "FunctionName", "Handler"})
# To lose one of these silently could leave an API open.
_NEED_A_TYPE = frozenset(
    {"ApiId", "AuthorizationType", "AuthorizerId", "AuthorizerUri", "IdentitySource"}
    | {"IntegrationType", "IntegrationUri", "KeySchema", "RequestTemplates", "RouteKey"}
    | {"RouteResponseSelectionExpression", "StageVariables", "TableName", "Target"}
    | {"EventSourceArn", "QueueName", "RedrivePolicy"}
)


class Resource:
    """One resource: its properties by name, and complaints by path."""

    def __init__(self, resources: Resources, logical_id: str, raw: RawResource) -> None:
        self.logical_id = logical_id
        self.type: str = raw["Type"]
        self.is_declared = resources.is_declared(logical_id)
        self._resources = resources
        self._properties: Mapping[str, Any] = raw.get("Properties", {})

    def path(self, name: str) -> str:
        """Return where in the template a property is, or with no name the resource."""
        return f"Resources.{self.logical_id}" + (f".Properties.{name}" if name else "")

    def get(self, name: str) -> Any:
        """Return a property, or None; members that cannot be known are left out, and said."""
        value = self._resources.resolver.resolve(self._properties.get(name), self.path(name))
        return None if value is NO_VALUE else value

    def members(self, name: str) -> Iterator[tuple[str, Any]]:
        """Yield the members of an object, for the caller to work out those that matter."""
        value = self._properties.get(name, {})
        if not isinstance(value, Mapping):
            self.fail(name, "it is no object")
        yield from value.items()

    def text(self, name: str) -> str | None:
        """Return a property that must be a text, or None where it is not there."""
        value = self._properties.get(name)
        try:
            value = self._resources.resolver.exact(value, self.path(name))
            return None if value is None or value is NO_VALUE else as_text(value)
        except Unresolvable as error:
            self.fail(name, str(error))

    def texts(self, *names: str) -> dict[str, str]:
        """Return an object of texts; several names lead to it."""
        value = self.get(names[0])
        for name in names[1:]:
            value = value.get(name) if isinstance(value, Mapping) else None
        return self._resources.texts(value, self.path(".".join(names)))

    def say(self, name: str, reason: str) -> None:
        """Say that a property is not honoured, and why."""
        self._resources.say(self.path(name), reason)

    def fail(self, name: str, reason: str) -> NoReturn:
        """Raise ``StartError`` that names a property."""
        raise StartError(f"{self._resources.files.where(self.path(name))}: {reason}")

    @contextmanager
    def locating(self, name: str) -> Iterator[None]:
        """Put the property's place before whatever ``StartError`` is raised."""
        try:
            yield
        except StartError as error:
            self.fail(name, str(error))


class Resources:
    """All resources of a template, for one stage.

    ``unsupported`` gets a sentence for all that cannot be honoured. ``assumed`` are logical ids
    taken for functions of the app's, since neither the template nor Chalice has them, and where:
    whoever knows the functions can tell.
    """

    def __init__(
        self,
        files: TemplateFiles,
        stage: Stage,
        parameters: Mapping[str, str],
        unsupported: list[str],
        assumed: dict[str, str],
    ) -> None:
        self.files = files
        self._unsupported = unsupported
        self.assumed = assumed
        self._raw = {**_CHALICE_RESOURCES, **dict(self._declared())}
        self.served_api = self._served_api()
        self.resolver = Resolver(
            files.content,
            self._raw,
            stage,
            served_api=self.served_api,
            parameters=parameters,
            assume=self._assume,
            leave_out=lambda path, reason: self.say(path, f"{reason}; it is left out"),
        )

    def of(self, *types: str) -> Iterator[Resource]:
        """Yield the resources of some types, but those whose condition is false."""
        for logical_id, raw in self._raw.items():
            if raw["Type"] in types and self._is_there(logical_id, raw):
                yield Resource(self, logical_id, raw)

    def is_declared(self, logical_id: str) -> bool:
        """Tell whether a template file has a resource, rather than Chalice alone."""
        return logical_id in self.files.content.get("Resources", {})

    def say(self, path: str, reason: str) -> None:
        """Add a sentence to what is unsupported, once."""
        sentence = f"{self.files.where(path)}: {reason}"
        if sentence not in self._unsupported:
            self._unsupported.append(sentence)

    def texts(self, value: Any, path: str) -> dict[str, str]:
        """Return an object of texts, empty for None; raises ``StartError``."""
        if not isinstance(value, Mapping | None):
            raise StartError(f"{self.files.where(path)}: it is no object")
        texts = {}
        for key, member in (value or {}).items():
            try:
                texts[str(key)] = as_text(member)
            except Unresolvable as error:
                raise StartError(f"{self.files.where(f'{path}.{key}')}: {error}") from error
        return texts

    def _assume(self, logical_id: str, path: str) -> None:
        self.assumed.setdefault(logical_id, path)

    def _is_there(self, logical_id: str, raw: RawResource) -> bool:
        try:
            return "Condition" not in raw or self.resolver.is_true(raw["Condition"])
        except Unresolvable as error:
            self.say(f"Resources.{logical_id}.Condition", f"{error}; it is taken as true")
            return True

    def _served_api(self) -> str:
        apis = [
            logical_id
            for logical_id, raw in self._raw.items()
            if raw["Type"] == API_TYPE
            and self.is_declared(logical_id)
            and raw.get("Properties", {}).get("ProtocolType") == "WEBSOCKET"
        ]
        return _CHALICE_API if _CHALICE_API in apis or not apis else apis[0]

    def _declared(self) -> Iterator[tuple[str, RawResource]]:
        for logical_id, raw in self.files.content.get("Resources", {}).items():
            if logical_id.startswith("Fn::"):
                self.say(f"Resources.{logical_id}", "it cannot be worked out here")
            else:
                yield logical_id, self._typed(logical_id, raw)

    def _typed(self, logical_id: str, raw: RawResource) -> RawResource:
        properties = raw.get("Properties", {})
        chalice = _CHALICE_RESOURCES.get(logical_id, {"Type": ""})
        if raw.get("Type", chalice["Type"]) == chalice["Type"]:
            if not chalice["Type"] and (lost := sorted(_NEED_A_TYPE & properties.keys())):
                raise StartError(
                    f"{self.files.where(f'Resources.{logical_id}')}: it has {', '.join(lost)} but "
                    "no Type, and Chalice makes no resource of this name to add them to"
                )
            implied = FUNCTION_TYPES[0] if _ONLY_OF_FUNCTIONS & properties.keys() else ""
            merged = {**chalice.get("Properties", {}), **properties}
            return {**raw, "Type": chalice["Type"] or implied, "Properties": merged}
        return raw


def _chalice_resources() -> Iterator[tuple[str, RawResource]]:
    api = {"ApiId": {"Ref": _CHALICE_API}}
    yield _CHALICE_API, {"Type": API_TYPE, "Properties": {"ProtocolType": "WEBSOCKET"}}
    yield "WebsocketAPIStage", {"Type": "AWS::ApiGatewayV2::Stage", "Properties": api}
    yield "WebsocketAPIDeployment", {"Type": "AWS::ApiGatewayV2::Deployment", "Properties": api}
    for route_key, function in HANDLERS.items():
        uri = (
            "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
            f"${{{function}.Arn}}/invocations"
        )
        integration = {"IntegrationType": "AWS_PROXY", "IntegrationUri": {"Fn::Sub": uri}}
        target = {"Fn::Sub": f"integrations/${{{function}APIIntegration}}"}
        route = {"RouteKey": route_key, "Target": target}
        yield function, {"Type": FUNCTION_TYPES[0]}
        yield (
            f"{function}APIIntegration",
            {"Type": "AWS::ApiGatewayV2::Integration", "Properties": {**api, **integration}},
        )
        yield (
            f"{function}Route",
            {"Type": "AWS::ApiGatewayV2::Route", "Properties": {**api, **route}},
        )
    yield "APIHandler", {"Type": FUNCTION_TYPES[0]}
    yield "RestAPI", {"Type": "AWS::Serverless::Api"}
    yield "DefaultRole", {"Type": "AWS::IAM::Role"}


_CHALICE_RESOURCES = dict(_chalice_resources())
