"""CloudFormation's functions: what they come to on this machine, and what cannot be known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from localgateway.events import Stage
from localgateway.intrinsics import NO_VALUE, Resolver, Unresolvable

STAGE = Stage("dev", "abc123", "eu-west-1", "210987654321", "127.0.0.1:9000")
TEMPLATE = {
    "Parameters": {
        "Tier": {"Type": "String", "Default": "gold"},
        "Size": {"Type": "Number", "Default": 5},
        "Zones": {"Type": "CommaDelimitedList", "Default": "a, b"},
        "Bare": {"Type": "String"},
        "Stored": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/name"},
    },
    "Conditions": {
        "IsGold": {"Fn::Equals": [{"Ref": "Tier"}, "gold"]},
        "IsFive": {"Fn::Equals": [{"Ref": "Size"}, 5]},
        "IsLead": {"Fn::Equals": [{"Ref": "Tier"}, "lead"]},
        "Not": {"Fn::Not": [{"Condition": "IsGold"}]},
        "And": {"Fn::And": [{"Condition": "IsGold"}, {"Condition": "IsLead"}]},
        "Or": {"Fn::Or": [{"Condition": "IsLead"}, {"Condition": "IsGold"}]},
        "Unknown": {"Fn::Equals": [{"Ref": "Bare"}, "x"]},
        "Circle": {"Fn::Not": [{"Condition": "Circle"}]},
        "None": {"Fn::Perhaps": []},
        "Text": "true",
        "Lists": {"Fn::Equals": [{"Ref": "Zones"}, "a"]},
    },
}
RESOURCES: Mapping[str, Mapping[str, Any]] = {
    "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": "rooms"}},
    "Nameless": {"Type": "AWS::DynamoDB::Table"},
    "NoName": {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {"TableName": {"Ref": "AWS::NoValue"}},
    },
    "Secret": {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": {"Ref": "Bare"}}},
    "Selfish": {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": {"Ref": "Selfish"}}},
    "Simple": {"Type": "AWS::Serverless::SimpleTable"},
    "Function": {"Type": "AWS::Serverless::Function"},
    "Api": {"Type": "AWS::ApiGatewayV2::Api"},
    "OtherApi": {"Type": "AWS::ApiGatewayV2::Api"},
    "Stage": {"Type": "AWS::ApiGatewayV2::Stage"},
    "Route": {"Type": "AWS::ApiGatewayV2::Route"},
    "Topic": {"Type": "AWS::SNS::Topic"},
    "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "jobs"}},
    "NamelessQueue": {"Type": "AWS::SQS::Queue"},
    "Fifo": {"Type": "AWS::SQS::Queue", "Properties": {"FifoQueue": True}},
    "NamedFifo": {
        "Type": "AWS::SQS::Queue",
        "Properties": {"FifoQueue": "true", "QueueName": "orders.fifo"},
    },
    "Typeless": {"Type": ""},
}
ARN = "eu-west-1:210987654321"
URL = "https://sqs.eu-west-1.amazonaws.com/210987654321"


class Recorder:
    """A resolver, and what it has said."""

    def __init__(self, **parameters: str) -> None:
        self.assumed: list[tuple[str, str]] = []
        self.left_out: list[tuple[str, str]] = []
        self.resolver = Resolver(
            TEMPLATE,
            RESOURCES,
            STAGE,
            served_api="Api",
            parameters=parameters,
            assume=lambda name, path: self.assumed.append((name, path)),
            leave_out=lambda path, reason: self.left_out.append((path, reason)),
        )


def sub(text: str, **names: Any) -> dict[str, Any]:
    return {"Fn::Sub": [text, names] if names else text}


def join(*items: Any) -> dict[str, Any]:
    return {"Fn::Join": ["/", list(items)]}


def get_att(name: str, attribute: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [name, attribute]}


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        pytest.param("x", "x", id="a text"),
        pytest.param(5, 5, id="a number"),
        pytest.param({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, id="an object"),
        pytest.param({"Ref": "Tier"}, "gold", id="a parameter's default"),
        pytest.param({"Ref": "Size"}, "5", id="a number parameter is text"),
        pytest.param({"Ref": "Zones"}, ["a", "b"], id="a list parameter"),
        pytest.param({"Ref": "AWS::Region"}, "eu-west-1", id="the region"),
        pytest.param({"Ref": "AWS::AccountId"}, "210987654321", id="the account"),
        pytest.param({"Ref": "AWS::Partition"}, "aws", id="the partition"),
        pytest.param({"Ref": "AWS::URLSuffix"}, "amazonaws.com", id="the suffix"),
        pytest.param({"Ref": "AWS::StackName"}, "local", id="the stack"),
        pytest.param({"Ref": "AWS::NoValue"}, NO_VALUE, id="nothing"),
        pytest.param({"a": {"Ref": "AWS::NoValue"}, "b": 1}, {"b": 1}, id="a member not there"),
        pytest.param([{"Ref": "AWS::NoValue"}, 1], [1], id="an item not there"),
        pytest.param({"Ref": "Table"}, "rooms", id="a table"),
        pytest.param({"Ref": "Nameless"}, "local-Nameless", id="a table without a name"),
        pytest.param({"Ref": "NoName"}, "local-NoName", id="a table with no value for a name"),
        pytest.param({"Ref": "Simple"}, "local-Simple", id="a simple table"),
        pytest.param({"Ref": "Queue"}, f"{URL}/jobs", id="a queue"),
        pytest.param(
            {"Ref": "NamelessQueue"}, f"{URL}/local-NamelessQueue", id="a queue without a name"
        ),
        pytest.param({"Ref": "Fifo"}, f"{URL}/local-Fifo.fifo", id="a FIFO queue"),
        pytest.param({"Ref": "NamedFifo"}, f"{URL}/orders.fifo", id="a FIFO queue with a name"),
        pytest.param(get_att("Queue", "Arn"), f"arn:aws:sqs:{ARN}:jobs", id="a queue's ARN"),
        pytest.param(get_att("Queue", "QueueName"), "jobs", id="a queue's name"),
        pytest.param(get_att("Queue", "QueueUrl"), f"{URL}/jobs", id="a queue's URL"),
        pytest.param({"Ref": "Function"}, "Function", id="a function"),
        pytest.param({"Ref": "Api"}, "abc123", id="the API that is served"),
        pytest.param({"Ref": "OtherApi"}, "OtherApi", id="another API"),
        pytest.param({"Ref": "Stage"}, "dev", id="the stage"),
        pytest.param({"Ref": "Route"}, "Route", id="a route"),
        pytest.param(
            get_att("Function", "Arn"), f"arn:aws:lambda:{ARN}:function:Function", id="function ARN"
        ),
        pytest.param({"Fn::GetAtt": "Table.Arn"}, f"arn:aws:dynamodb:{ARN}:table/rooms", id="dots"),
        pytest.param(
            get_att("Nameless", "StreamArn"),
            f"arn:aws:dynamodb:{ARN}:table/local-Nameless/stream/2026-01-01T00:00:00.000",
            id="a stream's ARN",
        ),
        pytest.param(
            get_att("Api", "ApiEndpoint"),
            "wss://abc123.execute-api.eu-west-1.amazonaws.com",
            id="the API's endpoint",
        ),
        pytest.param(get_att("Api", "ApiId"), "abc123", id="the API's id"),
        pytest.param(get_att("Route", "RouteId"), "Route", id="a route's id"),
        pytest.param(sub("a ${Tier} ${ Table } b"), "a gold rooms b", id="names in a text"),
        pytest.param(sub("${!Tier}$x"), "${Tier}$x", id="a literal in a text"),
        pytest.param(
            sub("${Function.Arn}"), f"arn:aws:lambda:{ARN}:function:Function", id="an attribute"
        ),
        pytest.param(sub("${A}-${Tier}", A={"Ref": "Size"}), "5-gold", id="names of its own"),
        pytest.param(sub("${Tier}", Tier=True), "true", id="a name of its own over a parameter"),
        pytest.param(join("a", {"Ref": "Tier"}, 5), "a/gold/5", id="joined"),
        pytest.param(join("a", {"Ref": "AWS::NoValue"}), "a", id="joined with nothing"),
        pytest.param({"Fn::Join": ["-", {"Ref": "Zones"}]}, "a-b", id="a joined list"),
        pytest.param({"Fn::If": ["IsGold", "a", "b"]}, "a", id="if"),
        pytest.param({"Fn::If": ["IsLead", "a", {"Ref": "Tier"}]}, "gold", id="else"),
        pytest.param({"Fn::If": ["IsFive", "a", "b"]}, "a", id="a number equals its text"),
        pytest.param({"Fn::If": ["Not", "a", "b"]}, "b", id="not"),
        pytest.param({"Fn::If": ["And", "a", "b"]}, "b", id="and"),
        pytest.param({"Fn::If": ["Or", "a", "b"]}, "a", id="or"),
        pytest.param({"Fn::If": ["Not", "a", {"Ref": "AWS::NoValue"}]}, NO_VALUE, id="if nothing"),
        pytest.param(join({"Fn::If": ["IsGold", "a", "b"]}), "a", id="if within a function"),
        pytest.param({"Ref": "Tier", "a": 1}, {"Ref": "Tier", "a": 1}, id="an object with a Ref"),
    ],
)
def test_a_value_is_worked_out(value: Any, resolved: Any) -> None:
    recorder = Recorder()
    assert recorder.resolver.resolve(value, "P") == resolved
    assert recorder.resolver.exact(value, "P") == resolved
    assert (recorder.assumed, recorder.left_out) == ([], [])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param({"Ref": "Bare"}, "parameter Bare has no value", id="no default"),
        pytest.param({"Ref": "Stored"}, "parameter Stored has no value", id="a parameter store's"),
        pytest.param({"Ref": "Topic"}, "Ref Topic (AWS::SNS::Topic)", id="another resource"),
        pytest.param(get_att("Topic", "Arn"), "Arn of Topic (AWS::SNS", id="of another resource"),
        pytest.param(get_att("Queue", "Size"), "attribute Size of Queue", id="of a queue"),
        pytest.param(get_att("Function", "Size"), "attribute Size of Function", id="an attribute"),
        pytest.param(get_att("OtherApi", "ApiEndpoint"), "ApiEndpoint of OtherApi", id="other API"),
        pytest.param({"Fn::ImportValue": "x"}, "Fn::ImportValue cannot", id="another stack's"),
        pytest.param({"Fn::Select": [0, ["a"]]}, "Fn::Select cannot", id="a function not known"),
        pytest.param(sub("${Bare}"), "parameter Bare", id="in a text"),
        pytest.param(sub("${Zones}"), "it is no text", id="a list in a text"),
        pytest.param(sub("${AWS::NoValue}"), "it is no text", id="nothing in a text"),
        pytest.param(join("a", {"Ref": "Bare"}), "parameter Bare", id="in a joined list"),
        pytest.param(join(["a"]), "it is no text", id="a list in a joined list"),
        pytest.param({"Fn::If": ["Unknown", 1, 2]}, "parameter Bare", id="a condition's parameter"),
        pytest.param({"Fn::If": ["Nowhere", 1, 2]}, "no condition Nowhere", id="no condition"),
        pytest.param({"Fn::If": ["Circle", 1, 2]}, "Circle refers to itself", id="a circle"),
        pytest.param(
            {"Fn::If": ["None", 1, 2]}, "is no condition", id="a function not known there"
        ),
        pytest.param({"Fn::If": ["Text", 1, 2]}, "true is no condition", id="a text"),
        pytest.param({"Fn::If": ["Lists", 1, 2]}, "it is no text", id="a list compared"),
        pytest.param({"Fn::If": ["IsGold"]}, "Fn::If takes", id="if without values"),
        pytest.param({"Fn::Join": "a"}, "Fn::Join takes", id="join without a list"),
        pytest.param({"Fn::Join": ["", "a"]}, "Fn::Join takes", id="join of a text"),
        pytest.param({"Fn::Sub": 5}, "Fn::Sub takes", id="sub of a number"),
        pytest.param({"Fn::Sub": ["a"]}, "Fn::Sub takes", id="sub without its names"),
        pytest.param({"Fn::GetAtt": "Table"}, "Fn::GetAtt takes", id="no attribute"),
        pytest.param({"Ref": ["Table"]}, "Ref takes", id="a list for a name"),
    ],
)
def test_what_cannot_be_known_is_left_out_with_its_path(value: Any, reason: str) -> None:
    recorder = Recorder()
    assert recorder.resolver.resolve({"a": 1, "b": [{"c": value}]}, "P") == {"a": 1, "b": [{}]}
    ((path, said),) = recorder.left_out
    assert path == "P.b[0].c"
    assert reason in said
    with pytest.raises(Unresolvable) as raised:
        recorder.resolver.exact({"a": value}, "P")
    assert str(raised.value) == said


def test_of_a_chosen_object_only_the_unknown_member_is_left_out() -> None:
    recorder = Recorder()
    value = {"Fn::If": ["IsGold", {"a": 1, "b": {"Ref": "Bare"}}, {}]}
    assert recorder.resolver.resolve(value, "P") == {"a": 1}
    assert [path for path, _ in recorder.left_out] == ["P.b"]


@pytest.mark.parametrize("name", ["Secret", "Selfish"])
def test_a_table_whose_name_cannot_be_known_gets_one_and_it_is_said(name: str) -> None:
    recorder = Recorder()
    assert recorder.resolver.resolve({"Ref": name}, "P") == f"local-{name}"
    assert {path for path, _ in recorder.left_out} == {f"Resources.{name}.Properties.TableName"}


@pytest.mark.parametrize("name", ["WsAuth", "Typeless"])
@pytest.mark.parametrize(
    ("attribute", "resolved"),
    [(None, "{}"), ("Arn", f"arn:aws:lambda:{ARN}:function:{{}}")],
    ids=["name", "ARN"],
)
def test_what_the_template_does_not_have_is_taken_for_a_function_of_the_app(
    name: str, attribute: str | None, resolved: str
) -> None:
    recorder = Recorder()
    value = {"Ref": name} if attribute is None else get_att(name, attribute)
    assert recorder.resolver.resolve(value, "P") == resolved.format(name)
    assert recorder.assumed == [(name, "P")]


def test_a_given_parameter_goes_before_a_default() -> None:
    resolver = Recorder(Tier="lead", Bare="x", Stored="s").resolver
    value = [{"Ref": "Tier"}, {"Ref": "Bare"}, {"Ref": "Stored"}, {"Fn::If": ["IsLead", 1, 2]}]
    assert resolver.resolve(value, "P") == ["lead", "x", "s", 1]
