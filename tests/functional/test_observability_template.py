"""The options of a stage in the template that chalice package writes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from deployment import observability
from tests.chalice_project import ChaliceProject

ON = {"alarms": True, "dashboard": True, "access_logs": True, "access_log_retention_days": 3}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ChaliceProject:
    return ChaliceProject.copy(tmp_path_factory.mktemp("options"))


@pytest.fixture(scope="module")
def plain(project: ChaliceProject) -> dict[str, Any]:
    resources: dict[str, Any] = project.package("dev")["Resources"]
    return resources


@pytest.fixture(scope="module")
def resources(project: ChaliceProject, plain: dict[str, Any]) -> dict[str, Any]:
    project.configure(lambda config: config.update(deployment=ON))
    found: dict[str, Any] = project.package("dev")["Resources"]
    return found


def of_type(resources: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: it for name, it in resources.items() if it["Type"] == kind}


def test_nothing_that_costs_is_in_the_template_unless_asked_for(plain: dict[str, Any]) -> None:
    assert not [it for it in plain.values() if it["Type"].startswith("AWS::CloudWatch::")]
    assert not of_type(plain, "AWS::Logs::MetricFilter")
    assert "AccessLogSettings" not in plain["WebsocketAPIStage"]["Properties"]


def test_options_add_resources_and_leave_the_deployment_as_it_is(
    plain: dict[str, Any], resources: dict[str, Any]
) -> None:
    added = {it["Type"] for name, it in resources.items() if name not in plain}
    assert added == {
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::Dashboard",
        "AWS::Logs::LogGroup",
        "AWS::Logs::MetricFilter",
    }
    assert plain.keys() <= resources.keys()


def test_every_function_is_watched_by_the_name_cloudformation_gives_it(
    resources: dict[str, Any],
) -> None:
    watched = {
        dimension["Value"]["Fn::Sub"]
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
        for dimension in alarm["Properties"]["Dimensions"]
        if dimension["Name"] == "FunctionName"
    }
    functions = of_type(resources, "AWS::Serverless::Function")
    assert watched == {f"${{{name}}}" for name in functions}


def test_the_dashboard_names_only_what_the_template_has(resources: dict[str, Any]) -> None:
    (dashboard,) = of_type(resources, "AWS::CloudWatch::Dashboard").values()
    text = dashboard["Properties"]["DashboardBody"]["Fn::Sub"]
    names = set(re.findall(r"\$\{(\w+)\}", text))
    assert names == {"WebsocketAPI", *of_type(resources, "AWS::Serverless::Function")}
    assert json.loads(text)["widgets"]


def test_the_stage_logs_to_a_group_of_the_template(resources: dict[str, Any]) -> None:
    stage = resources["WebsocketAPIStage"]
    group = resources[stage["DependsOn"]]["Properties"]
    destination = stage["Properties"]["AccessLogSettings"]["DestinationArn"]["Fn::Sub"]
    assert destination.endswith(f":log-group:{group['LogGroupName']}")
    assert group["RetentionInDays"] == 3
    fields = json.loads(stage["Properties"]["AccessLogSettings"]["Format"])
    assert fields == observability.ACCESS_LOG_FIELDS


def test_a_filter_waits_for_its_log_group(resources: dict[str, Any]) -> None:
    filters = of_type(resources, "AWS::Logs::MetricFilter").values()
    assert len(filters) == len(observability.FAULT_PATTERNS)
    for it in filters:
        (group,) = it["DependsOn"]
        assert resources[group]["Properties"]["LogGroupName"] == it["Properties"]["LogGroupName"]


def test_cfn_lint_has_nothing_to_say(project: ChaliceProject, resources: dict[str, Any]) -> None:
    assert project.lint("out/sam.json") == (0, "", "")
