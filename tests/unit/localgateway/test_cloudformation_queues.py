"""What a template says of queues, and of who works them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localgateway.cloudformation import Template
from localgateway.cloudformation_file import TemplateFiles
from localgateway.definition import read
from localgateway.errors import StartError
from localgateway.events import Stage
from localgateway.queues import EventSource

STAGE = Stage()
FUNCTIONS = ["cook", "wash_up"]
OWN = read({}, dict.fromkeys(FUNCTIONS), {})
COOK = EventSource("cook", "orders", batch_size=1)
WASH = EventSource("wash_up", "dishes", batch_size=5)
QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "orders"}}
ARN = {"Fn::GetAtt": ["Orders", "Arn"]}


def template(resources: dict[str, Any], **sections: Any) -> Template:
    content = {"Resources": resources, **sections}
    return Template(TemplateFiles(content, [(Path("t.yaml"), content)]))


def event(**properties: Any) -> dict[str, Any]:
    """Return a function of the app's that a queue invokes."""
    events = {"FromQueue": {"Type": "SQS", "Properties": properties}}
    return {"Orders": QUEUE, "Cook": {"Properties": {"Events": events}}}


def mapping(function: Any, **properties: Any) -> dict[str, Any]:
    known = {"EventSourceArn": ARN, "FunctionName": function}
    resource = {"Type": "AWS::Lambda::EventSourceMapping", "Properties": known | properties}
    return {"Orders": QUEUE, "Mapping": resource}


def sources(read_template: Template, *own: EventSource) -> list[EventSource]:
    return read_template.event_sources(own, OWN, FUNCTIONS, STAGE)


def test_queues_have_their_names_and_what_changes_them_here() -> None:
    policy = {"deadLetterTargetArn": {"Fn::GetAtt": "Dead.Arn"}, "maxReceiveCount": 3}
    read_template = template(
        {
            "Orders": {
                "Type": "AWS::SQS::Queue",
                "Properties": {
                    "QueueName": {"Fn::Sub": "orders-${AWS::Region}"},
                    "VisibilityTimeout": 60,
                    "RedrivePolicy": policy,
                    "KmsMasterKeyId": {"Fn::ImportValue": "key"},
                },
            },
            "Dead": {"Type": "AWS::SQS::Queue"},
            "Bills": {"Type": "AWS::SQS::Queue", "Properties": {"FifoQueue": True}},
            "Off": {**QUEUE, "Condition": "Never"},
        },
        Conditions={"Never": {"Fn::Equals": ["a", "b"]}},
    )
    dead = "arn:aws:sqs:us-east-1:123456789012:local-Dead"
    assert read_template.queues(STAGE) == [
        {
            "QueueName": "orders-us-east-1",
            "VisibilityTimeout": 60,
            "RedrivePolicy": {"deadLetterTargetArn": dead, "maxReceiveCount": 3},
        },
        {"QueueName": "local-Dead"},
        {"QueueName": "local-Bills.fifo", "FifoQueue": True},
    ]
    assert read_template.unsupported == []


@pytest.mark.parametrize(
    ("queues_url", "url"),
    [
        ("http://127.0.0.1:8100", "http://127.0.0.1:8100/123456789012/orders"),
        ("http://127.0.0.1:8100/", "http://127.0.0.1:8100/123456789012/orders"),
        (None, "https://sqs.us-east-1.amazonaws.com/123456789012/orders"),
    ],
)
def test_a_queues_url_is_that_of_this_machine(queues_url: str | None, url: str) -> None:
    variables = {"Variables": {"QUEUE_URL": {"Ref": "Orders"}}}
    resources = {"Orders": QUEUE, "Cook": {"Properties": {"Environment": variables}}}
    assert template(resources).environment(STAGE, queues_url) == {"QUEUE_URL": url}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param({}, [COOK, WASH], id="a template without queues changes nothing"),
        pytest.param(
            event(Queue=ARN), [COOK, WASH], id="what the decorator says is not said otherwise"
        ),
        pytest.param(
            event(Queue=ARN, BatchSize="7", ScalingConfig={"MaximumConcurrency": 3}),
            [EventSource("cook", "orders", batch_size=7, maximum_concurrency=3), WASH],
            id="an event over the decorator's",
        ),
        pytest.param(
            event(FunctionResponseTypes=["ReportBatchItemFailures"]),
            [EventSource("cook", "orders", batch_size=1, reports_item_failures=True), WASH],
            id="an event merged onto the one Chalice makes",
        ),
        pytest.param(
            event(Queue="arn:aws:sqs:us-east-1:123456789012:other"),
            [COOK, WASH, EventSource("cook", "other", batch_size=10)],
            id="another queue, with Lambda's defaults",
        ),
        pytest.param(event(Queue=ARN, Enabled=False), [WASH], id="a disabled event"),
        pytest.param(
            mapping({"Ref": "Cook"}, BatchSize=20, MaximumBatchingWindowInSeconds=5),
            [EventSource("cook", "orders", batch_size=20, batching_window=5), WASH],
            id="a mapping over the decorator's",
        ),
        pytest.param(
            mapping({"Fn::GetAtt": ["WashUp", "Arn"]}),
            [COOK, WASH, EventSource("wash_up", "orders", batch_size=10)],
            id="a mapping of a function by its ARN",
        ),
        pytest.param(mapping("cook", Enabled="false"), [WASH], id="a disabled mapping"),
    ],
)
def test_an_event_source_is_read(resources: dict[str, Any], expected: list[EventSource]) -> None:
    read_template = template(resources)
    assert sources(read_template, COOK, WASH) == expected
    assert read_template.unsupported == []


def test_what_chalice_packages_says_again_what_the_decorator_says() -> None:
    events = {
        "CookSqsEventSource": {
            "Type": "SQS",
            "Properties": {
                "Queue": {
                    "Fn::Sub": "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:orders"
                },
                "BatchSize": 1,
                "MaximumBatchingWindowInSeconds": 0,
            },
        }
    }
    cook = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"Handler": "app.cook", "Events": events},
    }
    assert sources(template({"Cook": cook}), COOK) == [COOK]


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        pytest.param(
            event(Queue=ARN, FilterCriteria={"Filters": [{"Pattern": "{}"}]}),
            "Resources.Cook.Properties.Events.FromQueue.FilterCriteria: messages are not filtered",
            id="a filter of an event",
        ),
        pytest.param(
            mapping("cook", FilterCriteria={"Filters": [{"Pattern": "{}"}]}),
            "Resources.Mapping.Properties.FilterCriteria: messages are not filtered",
            id="a filter of a mapping",
        ),
        pytest.param(
            mapping("cook", EventSourceArn="arn:aws:kinesis:us-east-1:123456789012:stream/s"),
            "Resources.Mapping.Properties.EventSourceArn: of event sources, only queues",
            id="a stream",
        ),
        pytest.param(
            {
                "Other": {
                    "Type": "AWS::Serverless::Function",
                    "Properties": {
                        "Handler": "index.handler",
                        "Events": {"Q": {"Type": "SQS", "Properties": {"Queue": "a:orders"}}},
                    },
                }
            },
            "Resources.Other.Properties.Events.Q: it is no function of the app's",
            id="a function of somebody else",
        ),
    ],
)
def test_what_is_not_honoured_is_said(resources: dict[str, Any], sentence: str) -> None:
    read_template = template(resources)
    sources(read_template, COOK)
    assert [sentence in said for said in read_template.unsupported] == [True]


def test_events_of_other_kinds_are_none_of_ours() -> None:
    topic = {"Type": "SNS", "Properties": {"Topic": {"Fn::ImportValue": "topic"}}}
    read_template = template({"Cook": {"Properties": {"Events": {"T": topic}}}})
    assert sources(read_template, COOK) == [COOK]
    assert read_template.unsupported == []


@pytest.mark.parametrize(
    ("resources", "place"),
    [
        pytest.param(event(Queue=ARN, BatchSize=0), "Cook.Properties.Events.FromQueue: ", id="0"),
        pytest.param(event(Queue=ARN, BatchSize="x"), "Cook.Properties.Events.FromQueue: ", id="x"),
        pytest.param(mapping("cook", BatchSize=11), "Mapping: .*batching window", id="a batch"),
        pytest.param(
            mapping("bake"), "Mapping.Properties.FunctionName: the app has no function bake", id="f"
        ),
        pytest.param(
            {"Cook": {"Properties": {"Events": []}}}, "Cook.Properties.Events: it is no obj", id="e"
        ),
        pytest.param(
            {"Orders": {"Properties": {"QueueName": "orders"}}}, "Orders: it has QueueName", id="q"
        ),
    ],
)
def test_what_is_wrong_is_named(resources: dict[str, Any], place: str) -> None:
    with pytest.raises(StartError, match=f"t.yaml: Resources.{place}"):
        sources(template(resources), COOK)
