"""What a template says of queues, and of the functions that work them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from localgateway.cloudformation_api import ServedApi
from localgateway.cloudformation_resources import Resource, Resources
from localgateway.errors import StartError
from localgateway.intrinsics import FUNCTION_TYPES, QUEUE_TYPE
from localgateway.queues import QUEUE_PROPERTIES, EventSource, queue_name

_MAPPING_TYPE = "AWS::Lambda::EventSourceMapping"
_ITEM_FAILURES = "ReportBatchItemFailures"
_UNSUPPORTED = {
    "FilterCriteria": "messages are not filtered",
    "ProvisionedPollerConfig": "pollers are not provisioned",
}


def read_queues(resources: Resources) -> list[dict[str, Any]]:
    """Return the properties of every queue, its name always among them."""
    return [_properties(resources, queue) for queue in resources.of(QUEUE_TYPE)]


def _properties(resources: Resources, queue: Resource) -> dict[str, Any]:
    properties = {name: queue.get(name) for name in QUEUE_PROPERTIES}
    arn = resources.resolver.exact({"Fn::GetAtt": [queue.logical_id, "Arn"]}, "")
    properties["QueueName"] = queue_name(arn)
    return {name: value for name, value in properties.items() if value is not None}


def read_event_sources(
    api: ServedApi, resources: Resources, own: Iterable[EventSource]
) -> list[EventSource]:
    """Return the app's own event sources with the template's over them; raises ``StartError``.

    The output of ``chalice package`` says again what the app's decorators say: a function works a
    queue once.
    """
    sources = {(source.function, source.queue_name): source for source in own}
    for resource, name, function, properties in _mappings(api, resources):
        for key, source in _meant(sources, function, properties):
            try:
                sources[key] = _configured(source, properties)
            except (StartError, TypeError, ValueError) as error:
                resource.fail(name, str(error))
            if properties.get("Enabled", True) in {False, "false"}:
                del sources[key]
        for unsupported, reason in _UNSUPPORTED.items():
            if properties.get(unsupported):
                resource.say(f"{name}.{unsupported}" if name else unsupported, reason)
    return list(sources.values())


def _mappings(
    api: ServedApi, resources: Resources
) -> Iterator[tuple[Resource, str, str, Mapping[str, Any]]]:
    """Yield each mapping of a queue: its resource, its path in it, the function, its properties."""
    for resource in resources.of(*FUNCTION_TYPES):
        for name, event in resource.members("Events"):
            path = f"Events.{name}"
            if not isinstance(event, Mapping) or event.get("Type", "SQS") != "SQS":
                continue
            if resource.logical_id not in api.function_names:
                resource.say(path, "it is no function of the app's: nothing works this queue")
                continue
            function = api.function_names[resource.logical_id]
            given = event.get("Properties", {})
            properties = resources.resolver.resolve(given, resource.path(f"{path}.Properties"))
            yield resource, path, function, properties if isinstance(properties, Mapping) else {}
    for resource in resources.of(_MAPPING_TYPE):
        arn, target = resource.text("EventSourceArn") or "", resource.text("FunctionName") or ""
        called = target.split(":function:")[-1].split(":")[0]
        if ":sqs:" not in arn:
            resource.say("EventSourceArn", "of event sources, only queues are polled")
        elif called not in api.function_names:
            resource.fail("FunctionName", f"the app has no function {called}")
        else:
            properties = {name: resource.get(name) for name in (*_SETTINGS, *_UNSUPPORTED)}
            given = {name: value for name, value in properties.items() if value is not None}
            yield resource, "", api.function_names[called], {**given, "Queue": arn}


def _meant(
    sources: Mapping[tuple[str, str], EventSource], function: str, properties: Mapping[str, Any]
) -> list[tuple[tuple[str, str], EventSource]]:
    """Return the event sources a mapping is about: without a queue, all the function has."""
    if "Queue" in properties:
        key = (function, queue_name(str(properties["Queue"])))
        return [(key, sources.get(key, EventSource(*key)))]
    return [(key, source) for key, source in sources.items() if source.function == function]


def _configured(source: EventSource, properties: Mapping[str, Any]) -> EventSource:
    changes = {
        field: read(properties[name])
        for name, (field, read) in _SETTINGS.items()
        if field and name in properties
    }
    return replace(source, **changes)


def _concurrency(scaling: Any) -> int | None:
    most = scaling.get("MaximumConcurrency") if isinstance(scaling, Mapping) else None
    return None if most is None else int(most)


_SETTINGS: dict[str, tuple[str, Any]] = {
    "BatchSize": ("batch_size", int),
    "Enabled": ("", bool),
    "FunctionResponseTypes": ("reports_item_failures", lambda types: _ITEM_FAILURES in types),
    "MaximumBatchingWindowInSeconds": ("batching_window", int),
    "ScalingConfig": ("maximum_concurrency", _concurrency),
}
