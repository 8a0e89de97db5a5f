"""What a CloudFormation or SAM template says of an app: environment, tables, queues, API."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from localgateway.cloudformation_api import ServedApi
from localgateway.cloudformation_file import TemplateFiles
from localgateway.cloudformation_queues import read_event_sources, read_queues
from localgateway.cloudformation_resources import Resource, Resources
from localgateway.cloudformation_routes import read_authorizer, read_routes
from localgateway.definition import ApiDefinition
from localgateway.events import Stage
from localgateway.intrinsics import FUNCTION_TYPES, NO_VALUE, TABLE_TYPES
from localgateway.queues import EventSource
from localgateway.route_selection import parse_expression

_TABLE_PROPERTIES = (
    "AttributeDefinitions",
    "BillingMode",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "LocalSecondaryIndexes",
    "TimeToLiveSpecification",
)
_ATTRIBUTE_TYPES = {"String": "S", "Number": "N", "Binary": "B"}


class Template:
    """A template, of one file or several.

    ``stage`` says what references come to here: region, account, API, stage and address.
    ``unsupported`` has a sentence for all that was asked for and cannot be honoured.
    """

    def __init__(self, files: TemplateFiles, parameters: Mapping[str, str] | None = None) -> None:
        self._files = files
        self._parameters = parameters or {}
        self._assumed: dict[str, str] = {}
        self.unsupported: list[str] = []

    @classmethod
    def read(cls, paths: Sequence[Path], parameters: Mapping[str, str] | None = None) -> Template:
        """Read template files, later ones merged over earlier ones; raises ``StartError``.

        ``parameters`` are the template's parameters that shall not have their default.
        """
        return cls(TemplateFiles.read(paths), parameters)

    def environment(self, stage: Stage, queues_url: str | None = None) -> dict[str, str]:
        """Return the variables of all functions as one.

        On AWS each function has its own; in one process there is one environment. URLs of the API
        and of queues are those they have here; ``queues_url`` is where queues are.
        """
        resources = self._resources(stage)
        union: dict[str, str] = {}
        for path, variables in _environments(self._files, resources):
            for name, value in variables.items():
                if union.setdefault(name, value) != value:
                    resources.say(f"{path}.{name}", "in one process all functions get this value")
            union |= variables
        return {name: _localized(value, stage, queues_url) for name, value in union.items()}

    def tables(self, stage: Stage) -> list[dict[str, Any]]:
        """Return the properties of every table, as ``AWS::DynamoDB::Table`` has them."""
        resources = self._resources(stage)
        return [_table(resources, table) for table in resources.of(*TABLE_TYPES)]

    def queues(self, stage: Stage) -> list[dict[str, Any]]:
        """Return the properties of every queue, as ``AWS::SQS::Queue`` has them."""
        return read_queues(self._resources(stage))

    def event_sources(
        self,
        own: Sequence[EventSource],
        definition: ApiDefinition,
        functions: Collection[str],
        stage: Stage,
    ) -> list[EventSource]:
        """Return the app's ``own`` event sources with what the template says of queues' functions.

        Raises ``StartError``. For the rest see ``extend``.
        """
        resources = self._resources(stage)
        return read_event_sources(ServedApi(resources, definition, functions), resources, own)

    def extend(
        self, definition: ApiDefinition, functions: Collection[str], stage: Stage
    ) -> ApiDefinition:
        """Return the API with what the template says of it; raises ``StartError``.

        ``definition`` is what the app says by itself; ``functions`` are its functions' names.
        Call it last: only now can references to functions be told from those to nothing.
        """
        resources = self._resources(stage)
        api = ServedApi(resources, definition, functions)
        extended = replace(
            definition,
            routes=read_routes(api),
            authorizer=read_authorizer(api),
            route_selection_expression=_route_selection_expression(api),
            stage_variables={**definition.stage_variables, **_stage_variables(api, stage)},
            http_stage_variables={
                **definition.http_stage_variables,
                **_http_stage_variables(resources),
            },
        )
        api.say_unsupported()
        return extended

    def _resources(self, stage: Stage) -> Resources:
        return Resources(self._files, stage, self._parameters, self.unsupported, self._assumed)


def _environments(
    files: TemplateFiles, resources: Resources
) -> Iterator[tuple[str, dict[str, str]]]:
    names = ("Function", "Environment", "Variables")
    value = files.content.get("Globals", {})
    for name in names:
        value = value.get(name, {}) if isinstance(value, Mapping) else {}
    path = ".".join(("Globals", *names))
    value = resources.resolver.resolve(value, path)
    yield path, resources.texts(None if value is NO_VALUE else value, path)
    for function in resources.of(*FUNCTION_TYPES):
        yield (
            function.path("Environment.Variables"),
            function.texts("Environment", "Variables"),
        )


def _table(resources: Resources, table: Resource) -> dict[str, Any]:
    properties = {name: table.get(name) for name in _TABLE_PROPERTIES}
    properties["TableName"] = resources.resolver.exact({"Ref": table.logical_id}, "")
    properties |= _simple_key(table)
    return {name: value for name, value in properties.items() if value is not None}


def _simple_key(table: Resource) -> dict[str, Any]:
    """Return the key of a SAM ``SimpleTable``, in the words of a table."""
    if table.type != "AWS::Serverless::SimpleTable":
        return {}
    key = table.get("PrimaryKey") or {}
    name, kind = key.get("Name", "id"), key.get("Type", "String")
    return {
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": _ATTRIBUTE_TYPES.get(kind, kind)}
        ],
        "KeySchema": [{"AttributeName": name, "KeyType": "HASH"}],
    }


def _route_selection_expression(api: ServedApi) -> str:
    resource = api.api()
    expression = resource.text("RouteSelectionExpression") if resource is not None else None
    if resource is None or expression is None:
        return api.definition.route_selection_expression
    with resource.locating("RouteSelectionExpression"):
        parse_expression(expression)
    return expression


def _stage_variables(api: ServedApi, stage: Stage) -> dict[str, str]:
    """Return the variables of the stage served: that of its name, or else the first."""
    stages = [each for each in api.of("Stage") if each.is_declared]
    named = [each for each in stages if each.get("StageName") == stage.name]
    if not stages:
        return {}
    served = (named or stages)[0]
    if not named and served.get("StageName") is not None:
        served.say("StageName", f"it is served as {stage.name}; see --api-stage")
    return served.texts("StageVariables")


def _http_stage_variables(resources: Resources) -> dict[str, str]:
    """Return the variables of the stage of Chalice's REST API, which SAM makes with the API."""
    return {
        name: value
        for api in resources.of("AWS::Serverless::Api")
        if api.logical_id == "RestAPI"
        for name, value in api.texts("Variables").items()
    }


def _localized(text: str, stage: Stage, queues_url: str | None) -> str:
    """Return a text in which the addresses of the API and of queues are those of this machine."""
    if queues_url is not None:
        text = text.replace(
            f"https://sqs.{stage.region}.amazonaws.com/", f"{queues_url.rstrip('/')}/"
        )
    host = f"{stage.api_id}.execute-api.{stage.region}.amazonaws.com"
    for aws, local in (("https://", "http://"), ("wss://", "ws://"), ("", "")):
        text = text.replace(f"{aws}{host}", f"{local}{stage.domain_name}")
    return text
