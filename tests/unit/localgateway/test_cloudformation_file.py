"""Template files: what they may be written in, and how several become one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localgateway.cloudformation_file import TemplateFiles, merge
from localgateway.errors import StartError

RESOURCES = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"A": 1}}}}


def written(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("a.json", json.dumps(RESOURCES), id="JSON"),
        pytest.param("a.template", f"\n {json.dumps(RESOURCES)}", id="JSON by another name"),
        pytest.param("a.yml", json.dumps(RESOURCES), id="JSON in a YAML file"),
        pytest.param(
            "a.yaml",
            "Resources:\n  Topic:\n    Type: AWS::SNS::Topic\n    Properties: {A: 1}",
            id="YAML",
        ),
        pytest.param(
            "a.template",
            "Resources: {Topic: {Type: AWS::SNS::Topic, Properties: {A: 1}}}",
            id="YAML by another name",
        ),
    ],
)
def test_a_template_is_json_or_yaml(tmp_path: Path, name: str, text: str) -> None:
    assert TemplateFiles.read([written(tmp_path, name, text)]).content == RESOURCES


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("!Ref Table", {"Ref": "Table"}, id="Ref"),
        pytest.param("!Condition Big", {"Condition": "Big"}, id="Condition"),
        pytest.param("!GetAtt F.Arn", {"Fn::GetAtt": ["F", "Arn"]}, id="GetAtt of a text"),
        pytest.param("!GetAtt F.A.B", {"Fn::GetAtt": ["F", "A.B"]}, id="GetAtt with two dots"),
        pytest.param("!GetAtt [F, Arn]", {"Fn::GetAtt": ["F", "Arn"]}, id="GetAtt of a list"),
        pytest.param("!Sub x-${A.B}", {"Fn::Sub": "x-${A.B}"}, id="Sub of a text"),
        pytest.param(
            "!Sub [x, {A: !Ref B}]", {"Fn::Sub": ["x", {"A": {"Ref": "B"}}]}, id="Sub of a list"
        ),
        pytest.param(
            "!Join ['', [a, !Sub b]]",
            {"Fn::Join": ["", ["a", {"Fn::Sub": "b"}]]},
            id="one in another",
        ),
        pytest.param("!ImportValue x", {"Fn::ImportValue": "x"}, id="ImportValue"),
        pytest.param("!Transform {Name: x}", {"Fn::Transform": {"Name": "x"}}, id="of an object"),
        pytest.param("!Sub 10", {"Fn::Sub": "10"}, id="a number is text to a function"),
        pytest.param("2012-10-17", "2012-10-17", id="a date is text"),
        pytest.param("10", 10, id="a number is a number"),
        pytest.param("true", True, id="true is true"),
    ],
)
def test_yaml_is_read_as_cloudformation_reads_it(tmp_path: Path, text: str, value: Any) -> None:
    path = written(tmp_path, "a.yaml", f"Metadata: {text}")
    assert TemplateFiles.read([path]).content == {"Metadata": value}


@pytest.mark.parametrize(
    ("under", "over", "merged"),
    [
        pytest.param({"a": 1}, {"b": 2}, {"a": 1, "b": 2}, id="objects are merged"),
        pytest.param({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}, id="deeply"),
        pytest.param({"a": [1, 2]}, {"a": [3]}, {"a": [3]}, id="lists are replaced"),
        pytest.param({"a": 1}, {"a": "x"}, {"a": "x"}, id="scalars are replaced"),
        pytest.param({"a": {"b": 1}}, {"a": 1}, {"a": 1}, id="an object by a scalar"),
        pytest.param({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}, id="a scalar by an object"),
    ],
)
def test_merging(under: Any, over: Any, merged: Any) -> None:
    assert merge(under, over) == merged


def test_later_files_are_merged_over_earlier_ones_and_know_what_is_theirs(tmp_path: Path) -> None:
    base = written(tmp_path, "base.json", json.dumps(RESOURCES))
    over = {"Resources": {"Topic": {"Properties": {"A": 2, "B": 3}}, "New": {}}}
    extra = written(tmp_path, "extra.json", json.dumps(over))
    last = written(tmp_path, "last.yaml", "Resources: {Other: {}}")
    files = TemplateFiles.read([base, extra, last])
    assert files.content["Resources"] == {
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"A": 2, "B": 3}},
        "New": {},
        "Other": {},
    }
    assert files.where("Resources.Topic.Properties.A") == f"{extra}: Resources.Topic.Properties.A"
    assert files.where("Resources.Other") == f"{last}: Resources.Other"
    assert files.where("Globals.Function") == f"{base}, {extra}, {last}: Globals.Function"


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        pytest.param("a.json", '{"Resources": ', ["line 1"], id="JSON that breaks off"),
        pytest.param("a.yaml", "Resources: {A: [", ["line 1"], id="YAML that breaks off"),
        pytest.param("a.yaml", "a: !!python/name:os.system", ["python/name"], id="Python in YAML"),
        pytest.param("a.yaml", "", ["no template"], id="an empty file"),
        pytest.param("a.json", "{}{}", ["Extra data"], id="two documents"),
        pytest.param("a.yaml", "- a", ["no template"], id="a list"),
        pytest.param("a.yaml", "Resources: []", ["Resources: it is no object"], id="resources"),
        pytest.param("a.yaml", "Resources: {A: x}", ["Resources.A: it is no"], id="a resource"),
        pytest.param("a.yaml", "Resources: {1: {}}", ["Resources: it is no"], id="a numbered one"),
        pytest.param(
            "a.yaml",
            "Resources: {A: {Properties: }}",
            ["Resources.A.Properties: it is no object"],
            id="properties that are none",
        ),
        pytest.param("a.yaml", "Parameters: {A: x}", ["Parameters.A: it is no"], id="a parameter"),
        pytest.param("a.yaml", "Conditions: x", ["Conditions: it is no object"], id="conditions"),
        pytest.param("a.yaml", "Globals: x", ["Globals: it is no object"], id="globals"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(
    tmp_path: Path, name: str, text: str, named: list[str]
) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(StartError) as raised:
        TemplateFiles.read([path])
    for words in [f"{path}: ", *named]:
        assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"gone\.yaml: No such file or directory"):
        TemplateFiles.read([tmp_path / "gone.yaml"])


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StartError, match=r"a\.yaml: 'utf-8' codec"):
        TemplateFiles.read([path])


def test_something_that_cloudformation_would_expand_is_left_alone(tmp_path: Path) -> None:
    text = "Resources: {'Fn::ForEach::Topics': [Name, [a, b], {}]}"
    content = TemplateFiles.read([written(tmp_path, "a.yaml", text)]).content
    assert list(content["Resources"]) == ["Fn::ForEach::Topics"]
