"""Alarms, dashboard and access logs, as they are described and as chalice deploy plans them."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from chalice.config import DeployedResources
from chalice.deploy import models
from chalice.deploy.executor import VariableResolver
from chalice.deploy.sweeper import ResourceSweeper

from deployment import observability, observability_plan, plan, reconcile, removal
from deployment.blueprint import Blueprint
from deployment.errors import DeploymentRefused
from tests.fake_api_gateway import FakeApiGateway
from tests.unit.deployment.blueprints import QUEUE, make_blueprint, make_definition
from tests.unit.deployment.stages import blueprint_with, invocation_uri

ALL = {"alarms": True, "dashboard": True, "access_logs": True}
NAMES = {"ApiId": "api1", "Region": "eu-west-1", "Partition": "aws", "AccountId": "1"}
PERMISSIONS = {"allow", "revoke_others"}  # asked for each time; they change what they must
LOG = {"DestinationArn": "arn:aws:logs:eu-west-1:1:log-group:/aws/apigateway/a", "Format": "{}"}


def described(kind: str, **chosen: Any) -> list[observability.Described]:
    return [it for it in observability.resources(blueprint_with(**chosen)) if it.kind == kind]


def test_nothing_is_there_that_was_not_asked_for() -> None:
    assert observability.resources(blueprint_with()) == []
    assert observability.access_log_settings(blueprint_with()) is None
    assert observability_plan.first(blueprint_with()) == ([], {})


def test_alarms_look_at_each_function_the_authorizers_faults_and_dead_letters() -> None:
    names = {it.name for it in described("alarm", alarms=True)}
    functions = ("connect", "disconnect", "message")
    assert names == {
        "parrot-dev-authorizer-faults",
        "parrot-dev-websocket_authorizer-throttles",
        *(f"parrot-dev-websocket_{it}-errors" for it in functions),
        *(f"parrot-dev-websocket_{it}-throttles" for it in functions),
        "parrot-dev-parrot-dev-dead-messages",
    }


def test_without_a_dead_letter_queue_no_alarm_looks_at_one() -> None:
    plain = {"QueueName": "parrot-dev"}
    blueprint = make_blueprint(make_definition(queues=[plain]))
    assert observability.dead_letter_queues(blueprint) == []


def test_a_queue_whose_name_begins_like_a_dead_letter_queues_is_none() -> None:
    assert observability.dead_letter_queues(blueprint_with()) == ["parrot-dev-dead"]
    as_text = {**QUEUE, "RedrivePolicy": json.dumps(QUEUE["RedrivePolicy"])}
    queues = [{"QueueName": "parrot-dev-dead"}, as_text]
    blueprint = make_blueprint(make_definition(queues=queues))
    assert observability.dead_letter_queues(blueprint) == ["parrot-dev-dead"]


def test_a_quiet_stage_raises_no_alarm_and_a_topic_hears_of_each() -> None:
    topic = "arn:aws:sns:eu-west-1:1:ops"
    for it in described("alarm", alarms=True, alarm_topic=topic):
        assert it.properties["TreatMissingData"] == "notBreaching"
        assert it.properties["AlarmActions"] == [topic]
        assert it.properties["Threshold"] >= 1
    assert all(it.properties["AlarmActions"] == [] for it in described("alarm", alarms=True))


def test_refused_clients_are_no_fault_of_the_authorizer() -> None:
    """Lambda's metric of errors counts each wrong token, so no alarm may look at it."""
    for it in described("alarm", alarms=True):
        watched = (it.properties["MetricName"], str(it.properties["Dimensions"]))
        assert watched[0] != "Errors" or "websocket_authorizer" not in watched[1]
    patterns = {it.properties["FilterPattern"] for it in described("metric_filter", alarms=True)}
    (of_exceptions,) = [it for it in patterns if "[ERROR]" in it]
    assert of_exceptions == '"[ERROR]" -"Exception: Unauthorized"'
    assert all(
        it.properties["LogGroupName"] == "/aws/lambda/parrot-dev-websocket_authorizer"
        for it in described("metric_filter", alarms=True)
    )


def test_access_logs_hold_nothing_that_a_client_chooses() -> None:
    settings = observability.access_log_settings(blueprint_with(access_logs=True))
    assert settings is not None
    assert json.loads(settings["Format"]) == observability.ACCESS_LOG_FIELDS
    variables = set(re.findall(r"\$context\.([A-Za-z.]+)", settings["Format"]))
    assert len(variables) == len(observability.ACCESS_LOG_FIELDS)
    chosen = ("header", "querystring", "userAgent", "principalId", "apiKey", "body", "params")
    assert not [it for it in variables if any(word in it for word in chosen)]
    # API Gateway fills in nothing but $context.
    assert settings["Format"].count("$") == len(variables)
    assert not settings["DestinationArn"].endswith(":*")


def test_the_dashboard_draws_what_the_stage_is_made_of() -> None:
    (dashboard,) = described("dashboard", dashboard=True)
    body = json.loads(dashboard.properties["DashboardBody"])
    lines = [line for it in body["widgets"] for line in it["properties"]["metrics"]]
    metrics = {(line[0], line[1]) for line in lines}
    assert {
        ("AWS/ApiGateway", "ConnectCount"),
        ("AWS/ApiGateway", "MessageCount"),
        ("AWS/Lambda", "Errors"),
        ("AWS/Lambda", "Duration"),
        ("AWS/Lambda", "Throttles"),
        ("AWS/DynamoDB", "ConsumedWriteCapacityUnits"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
    } <= metrics
    places = [(it["x"], it["y"]) for it in body["widgets"]]
    assert len(set(places)) == len(places)


def planned(blueprint: Blueprint) -> list[Any]:
    first, _ = observability_plan.first(blueprint)
    last, messages = observability_plan.last(blueprint, plan.as_string_format)
    assert all(
        id(it) in messages for it in last if isinstance(it, models.APICall)
    )  # Chalice says what it does
    return [*first, *last]


def test_what_is_planned_is_filled_once_the_api_exists() -> None:
    resolver: Any = VariableResolver()
    for it in planned(blueprint_with(**ALL)):
        if isinstance(it, models.APICall):
            filled = str(resolver.resolve_variables(it.params, {plan.NAMES: NAMES}))
            assert "${" not in filled
            if it.method_name == "ensure_dashboard":
                properties = resolver.resolve_variables(it.params, {plan.NAMES: NAMES})
                body = json.loads(properties["properties"]["DashboardBody"])
                metrics = body["widgets"][0]["properties"]["metrics"]
                assert metrics == [
                    ["AWS/ApiGateway", "ConnectCount", "ApiId", "api1", "Stage", "api"]
                ]


def test_the_role_is_asked_for_before_anything_is_made() -> None:
    first, _ = observability_plan.first(blueprint_with(access_logs=True))
    assert [it.method_name for it in first if isinstance(it, models.APICall)] == [
        "require_cloudwatch_role",
        "ensure_access_log_group",
    ]


def test_all_that_is_made_is_recorded_and_goes_when_it_is_not_planned_any_more() -> None:
    removal.install()
    recorded = [
        {"name": it.resource_name, "resource_type": it.resource_type, it.name: it.value}
        for it in planned(blueprint_with(**ALL))
        if isinstance(it, models.RecordResourceValue)
    ]
    assert {it["resource_type"] for it in recorded} == {*observability_plan.KINDS, "log_group"}
    deployed = DeployedResources({"resources": recorded})
    config: Any = SimpleNamespace(chalice_stage="dev", deployed_resources=lambda _stage: deployed)

    swept = models.Plan()
    ResourceSweeper().execute(swept, config)
    gone = [(it.method_name, next(iter(it.params.values()))) for it in swept.instructions]  # type: ignore[attr-defined]
    assert len(gone) == len(recorded)
    assert ("delete_alarm", "parrot-dev-authorizer-faults") in gone
    assert gone[-1][1] == "/aws/apigateway/parrot-dev-websocket-api-api"

    kept = models.Plan(instructions=planned(blueprint_with(**ALL)))
    before = len(kept.instructions)
    ResourceSweeper().execute(kept, config)
    assert len(kept.instructions) == before


class FakeAws:
    """Chalice's client, of an account without a role for API Gateway's logs, or with one."""

    def __init__(self, role: str | None) -> None:
        self._answer = {"cloudwatchRoleArn": role} if role else {}

    def _client(self, service: str) -> Any:
        assert service == "apigateway"
        return SimpleNamespace(get_account=lambda: self._answer)


def test_an_account_without_the_role_is_refused() -> None:
    observability_plan.require_cloudwatch_role(FakeAws("arn:aws:iam::1:role/logs"))
    with pytest.raises(DeploymentRefused, match="Nothing was deployed"):
        observability_plan.require_cloudwatch_role(FakeAws(None))


class LoggingApiGateway(FakeApiGateway):
    """The fake with the call that turns access logs off, as the documents have it."""

    def delete_access_log_settings(self, ApiId: str, StageName: str) -> None:
        self.mutations.append("delete_access_log_settings")
        del self.stages[StageName]["AccessLogSettings"]


def publish(client: FakeApiGateway, access_log: dict[str, str] | None) -> None:
    reconcile.Publisher(
        client, "api1", make_blueprint(), invocation_uri, client, access_log
    ).publish()


def test_access_logs_are_turned_on_and_off_without_a_new_deployment() -> None:
    client = LoggingApiGateway()
    publish(client, None)
    made = dict(client.deployments)
    publish(client, LOG)
    assert client.stages["api"]["AccessLogSettings"] == LOG
    client.mutations.clear()
    publish(client, LOG)
    assert set(client.mutations) <= PERMISSIONS
    publish(client, None)
    assert set(client.mutations) - PERMISSIONS == {"delete_access_log_settings"}
    assert client.deployments == made
