"""CloudFormation's functions and conditions, worked out for one stage on this machine. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from localgateway.events import Stage

NO_VALUE: Final = object()
"""What ``AWS::NoValue`` is, and what cannot be known: the property is as if it were not there."""

TABLE_TYPES = ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable", "AWS::Serverless::SimpleTable")
FUNCTION_TYPES = ("AWS::Serverless::Function", "AWS::Lambda::Function")
QUEUE_TYPE = "AWS::SQS::Queue"
API_TYPE = "AWS::ApiGatewayV2::Api"

_GATEWAY = "AWS::ApiGatewayV2::"
_REFERENCE = re.compile(r"\$\{(?P<literal>!?)\s*(?P<name>[^}]+?)\s*\}")
_STACK = "local"

RawResource = Mapping[str, Any]
"""``Type`` (empty where it is not known), ``Properties`` and whatever else CloudFormation has."""


class Unresolvable(ValueError):
    """A value cannot be known on this machine; the text says why."""


class Resolver:
    """Works out the values of one template.

    ``served_api`` is the logical id of the API this machine serves. ``assume`` and ``leave_out``
    are told the path at which something other than the plain value was taken: ``assume`` that a
    logical id the template does not have is a function of the app's, ``leave_out`` why a value
    cannot be known.
    """

    def __init__(
        self,
        template: Mapping[str, Any],
        resources: Mapping[str, RawResource],
        stage: Stage,
        *,
        served_api: str,
        parameters: Mapping[str, str],
        assume: Callable[[str, str], None],
        leave_out: Callable[[str, str], None],
    ) -> None:
        self._declared: Mapping[str, Any] = template.get("Parameters", {})
        self._conditions: Mapping[str, Any] = template.get("Conditions", {})
        self._resources = resources
        self._stage = stage
        self._served_api = served_api
        self._parameters = parameters
        self._assume = assume
        self._leave_out = leave_out
        self._active: set[str] = set()
        self._functions = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::If": lambda argument, path: self.exact(self._branch(argument), path),
            "Fn::Join": self._join,
            "Fn::Sub": self._sub,
        }
        self._pseudo_parameters = {
            "AWS::AccountId": stage.account_id,
            "AWS::NoValue": NO_VALUE,
            "AWS::NotificationARNs": [],
            "AWS::Partition": "aws",
            "AWS::Region": stage.region,
            "AWS::StackId": self._arn("cloudformation", f"stack/{_STACK}/0"),
            "AWS::StackName": _STACK,
            "AWS::URLSuffix": "amazonaws.com",
        }

    def resolve(self, value: Any, path: str) -> Any:
        """Return a value without functions; members that cannot be known are left out."""
        try:
            if isinstance(value, Mapping) and value.keys() == {"Fn::If"}:
                return self.resolve(self._branch(value["Fn::If"]), path)
            if _is_function(value):
                return self._call(value, path)
        except Unresolvable as error:
            self._leave_out(path, str(error))
            return NO_VALUE
        return _members(value, path, self.resolve)

    def exact(self, value: Any, path: str) -> Any:
        """Return a value without functions, or raise ``Unresolvable``."""
        if _is_function(value):
            return self._call(value, path)
        return _members(value, path, self.exact)

    def is_true(self, condition: str) -> bool:
        """Evaluate one of the template's conditions; raises ``Unresolvable``."""
        if condition not in self._conditions:
            raise Unresolvable(f"there is no condition {condition}")
        with self._once(condition):
            return self._evaluate(self._conditions[condition])

    def _call(self, value: Mapping[str, Any], path: str) -> Any:
        ((name, argument),) = value.items()
        if name not in self._functions:
            raise Unresolvable(f"{name} cannot be worked out here")
        return self._functions[name](argument, path)

    def _branch(self, argument: Any) -> Any:
        match argument:
            case [str(condition), then, otherwise]:
                return then if self.is_true(condition) else otherwise
        raise Unresolvable("Fn::If takes a condition's name and two values")

    def _evaluate(self, condition: Any) -> bool:
        match [*condition.items()] if isinstance(condition, Mapping) else None:
            case [("Condition", str(name))]:
                return self.is_true(name)
            case [("Fn::Equals", [left, right])]:
                return as_text(self.exact(left, "")) == as_text(self.exact(right, ""))
            case [("Fn::Not", [only])]:
                return not self._evaluate(only)
            case [("Fn::And", [*several])]:
                return all(self._evaluate(each) for each in several)
            case [("Fn::Or", [*several])]:
                return any(self._evaluate(each) for each in several)
        raise Unresolvable(f"{condition} is no condition")

    def _ref(self, name: Any, path: str) -> Any:
        if not isinstance(name, str):
            raise Unresolvable("Ref takes a name")
        if name in self._pseudo_parameters:
            return self._pseudo_parameters[name]
        if name in self._declared:
            return self._parameter(name)
        return self._physical_id(name, path)

    def _physical_id(self, name: str, path: str) -> str:
        kind = self._type(name)
        if kind in TABLE_TYPES:
            return self._given_name(name, "TableName")
        if kind == QUEUE_TYPE:
            host = f"https://sqs.{self._stage.region}.amazonaws.com"
            return f"{host}/{self._stage.account_id}/{self._queue_name(name)}"
        if kind == API_TYPE:
            return self._stage.api_id if name == self._served_api else name
        if kind == f"{_GATEWAY}Stage":
            return self._stage.name
        if kind in FUNCTION_TYPES or kind.startswith(_GATEWAY):
            return name
        return self._assumed_function(name, f"Ref {name}", path)

    def _get_att(self, argument: Any, path: str) -> str:
        match argument.split(".", 1) if isinstance(argument, str) else argument:
            case [str(name), str(attribute)]:
                return self._attribute(name, attribute, path)
        raise Unresolvable("Fn::GetAtt takes a logical id and an attribute")

    def _attribute(self, name: str, attribute: str, path: str) -> str:
        kind = self._type(name)
        if kind in TABLE_TYPES and attribute in {"Arn", "StreamArn"}:
            arn = self._arn("dynamodb", f"table/{self._physical_id(name, path)}")
            return arn if attribute == "Arn" else f"{arn}/stream/2026-01-01T00:00:00.000"
        if kind == QUEUE_TYPE and attribute in {"Arn", "QueueName", "QueueUrl"}:
            queue_name = self._queue_name(name)
            of_queue = {"Arn": self._arn("sqs", queue_name), "QueueName": queue_name}
            return of_queue.get(attribute) or self._physical_id(name, path)
        if kind == API_TYPE and attribute == "ApiEndpoint" and name == self._served_api:
            return f"wss://{self._stage.api_id}.execute-api.{self._stage.region}.amazonaws.com"
        if kind.startswith(_GATEWAY) and attribute.endswith("Id"):
            return self._physical_id(name, path)
        shown = f"attribute {attribute} of {name}"
        if attribute != "Arn":
            raise Unresolvable(f"{shown} is not known here")
        if kind not in FUNCTION_TYPES:
            self._assumed_function(name, shown, path)
        return self._arn("lambda", f"function:{name}")

    def _assumed_function(self, name: str, shown: str, path: str) -> str:
        kind = self._type(name)
        if kind:
            raise Unresolvable(f"{shown} ({kind}) is not known here")
        self._assume(name, path)
        return name

    def _join(self, argument: Any, path: str) -> str:
        match argument:
            case [str(separator), items]:
                texts = self.exact(items, path)
                if isinstance(texts, list):
                    return separator.join(map(as_text, texts))
        raise Unresolvable("Fn::Join takes a separator and a list")

    def _sub(self, argument: Any, path: str) -> str:
        match argument:
            case str(text):
                names: Mapping[str, Any] = {}
            case [str(text), dict(names)]:
                pass
            case _:
                raise Unresolvable("Fn::Sub takes a text, or a text and an object")

        def replacement(match: re.Match[str]) -> str:
            name = match["name"]
            if match["literal"]:
                return "${" + name + "}"
            if name in names:
                return as_text(self.exact(names[name], path))
            look_up = self._get_att if "." in name else self._ref
            return as_text(look_up(name, path))

        return _REFERENCE.sub(replacement, text)

    def _parameter(self, name: str) -> str | list[str]:
        declared = self._declared[name]
        kind = str(declared.get("Type", "String"))
        if name in self._parameters:
            text = self._parameters[name]
        elif "Default" not in declared or kind.startswith("AWS::SSM::"):
            raise Unresolvable(f"parameter {name} has no value here")
        else:
            text = as_text(declared["Default"])
        is_list = kind == "CommaDelimitedList" or kind.startswith("List<")
        return [item.strip() for item in text.split(",")] if is_list else text

    def _queue_name(self, name: str) -> str:
        given = self._given_name(name, "QueueName")
        is_fifo = self._resources[name].get("Properties", {}).get("FifoQueue") in {True, "true"}
        return f"{given}.fifo" if is_fifo and not given.endswith(".fifo") else given

    def _given_name(self, name: str, property_name: str) -> str:
        """Return the name a resource is given, or else one as CloudFormation makes it."""
        path = f"Resources.{name}.Properties.{property_name}"
        given = self._resources[name].get("Properties", {}).get(property_name, NO_VALUE)
        try:
            with self._once(name):
                resolved = self.exact(given, path)
        except Unresolvable as error:
            self._leave_out(path, str(error))
            resolved = NO_VALUE
        return f"{_STACK}-{name}" if resolved is NO_VALUE else as_text(resolved)

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self._stage.region}:{self._stage.account_id}:{resource}"

    def _type(self, name: str) -> str:
        return str(self._resources.get(name, {}).get("Type", ""))

    @contextmanager
    def _once(self, name: str) -> Iterator[None]:
        if name in self._active:
            raise Unresolvable(f"{name} refers to itself")
        self._active.add(name)
        try:
            yield
        finally:
            self._active.remove(name)


def as_text(value: Any) -> str:
    """Return a scalar as CloudFormation writes it; raises ``Unresolvable``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise Unresolvable("it is no text")


def _is_function(value: Any) -> bool:
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    (name,) = value
    return name == "Ref" or str(name).startswith("Fn::")


def _members(value: Any, path: str, visit: Callable[[Any, str], Any]) -> Any:
    if isinstance(value, Mapping):
        members = {key: visit(member, f"{path}.{key}") for key, member in value.items()}
        return {key: member for key, member in members.items() if member is not NO_VALUE}
    if isinstance(value, list):
        items = [visit(item, f"{path}[{index}]") for index, item in enumerate(value)]
        return [item for item in items if item is not NO_VALUE]
    return value
