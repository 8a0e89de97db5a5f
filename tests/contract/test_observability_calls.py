"""The calls that make and remove alarms, dashboards and filters, against an emulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deployment import observability, observability_plan
from tests.emulator import Emulator
from tests.unit.deployment.stages import blueprint_with

GROUP = "/aws/lambda/parrot-dev-websocket_authorizer"
TAGS = {"aws-chalice": "version=1:stage=dev:app=parrot"}


class AwsClient:
    """Chalice's client, as far as the calls use it."""

    def __init__(self, emulator: Emulator) -> None:
        self._client = emulator.client


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator("monitoring", "logs") as running:
        running.client("logs").create_log_group(logGroupName=GROUP)
        yield running


@pytest.fixture
def aws(emulator: Emulator) -> AwsClient:
    return AwsClient(emulator)


def properties(kind: str) -> Any:
    described = observability.resources(blueprint_with(alarms=True, dashboard=True))
    return next(it for it in described if it.kind == kind).properties


def test_an_alarm_is_made_replaced_and_removed(emulator: Emulator, aws: AwsClient) -> None:
    wanted = properties("alarm")
    for threshold in (1, 7):
        observability_plan.ensure_alarm(aws, {**wanted, "Threshold": threshold}, TAGS)
    (made,) = emulator.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert made["Threshold"] == 7
    assert made["TreatMissingData"] == "notBreaching"
    for _ in range(2):
        observability_plan.delete_alarm(aws, wanted["AlarmName"])
    assert emulator.client("cloudwatch").describe_alarms()["MetricAlarms"] == []


def test_a_dashboard_is_made_replaced_and_removed(emulator: Emulator, aws: AwsClient) -> None:
    wanted = properties("dashboard")
    for _ in range(2):
        observability_plan.ensure_dashboard(aws, wanted, TAGS)
    client = emulator.client("cloudwatch")
    body = client.get_dashboard(DashboardName="parrot-dev")["DashboardBody"]
    assert body == wanted["DashboardBody"]
    for _ in range(2):
        observability_plan.delete_dashboard(aws, "parrot-dev")
    assert client.list_dashboards()["DashboardEntries"] == []


def test_a_filter_is_made_replaced_and_removed(emulator: Emulator, aws: AwsClient) -> None:
    wanted = properties("metric_filter")
    for _ in range(2):
        observability_plan.ensure_metric_filter(aws, wanted, TAGS)
    client = emulator.client("logs")
    (made,) = client.describe_metric_filters(logGroupName=GROUP)["metricFilters"]
    assert made["filterPattern"] == wanted["FilterPattern"]
    assert made["metricTransformations"] == [
        {"metricName": "AuthorizerFaults", "metricNamespace": "parrot/dev", "metricValue": "1"}
    ]
    for group in (GROUP, GROUP, "/aws/lambda/gone"):
        observability_plan.delete_metric_filter(aws, f"{group}:{wanted['FilterName']}")
    assert client.describe_metric_filters(logGroupName=GROUP)["metricFilters"] == []


def test_a_log_group_is_made_once_and_its_retention_changed(
    emulator: Emulator, aws: AwsClient
) -> None:
    name = "/aws/apigateway/parrot"
    for days in (14, 30):
        observability_plan.ensure_access_log_group(aws, name, days, TAGS)
    found = emulator.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert [it["retentionInDays"] for it in found] == [30]
