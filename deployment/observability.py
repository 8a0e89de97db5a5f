"""Alarms, a dashboard and access logs, described once in CloudFormation's words.

Plain data, read by ``chalice deploy`` (``observability_plan``) and ``chalice package``
(``template``). Texts hold names such as ``${ApiId}``; ``${function_NAME}`` is the name of a
function, by the name of Chalice's resource, which CloudFormation chooses itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deployment.blueprint import Blueprint
from deployment.naming import log_group

# An authorizer that runs on every connect refuses with an exception, so Lambda's own metric of
# errors counts each wrong token. Faults are told apart by what the runtime logs of them.
REFUSAL = "Exception: Unauthorized"
FAULT_PATTERNS = {
    "exception": f'"[ERROR]" -"{REFUSAL}"',
    "timeout": '"Task timed out after"',
    "exit": '"Runtime exited"',
}
FAULTS = "AuthorizerFaults"
QUEUE_DEPTH = "ApproximateNumberOfMessagesVisible"
PERIOD = 300  # seconds
# What a client chooses (headers, query, route keys that match nothing, names of principals) stays
# out: it may be a secret, and API Gateway does not escape it for JSON. A connection's principal is
# in the functions' own logs, by connection id.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-logging.html
ACCESS_LOG_FIELDS = {
    "requestId": "$context.requestId",
    "extendedRequestId": "$context.extendedRequestId",
    "requestTimeEpoch": "$context.requestTimeEpoch",
    "eventType": "$context.eventType",
    "routeKey": "$context.routeKey",
    "status": "$context.status",
    "connectionId": "$context.connectionId",
    "connectedAt": "$context.connectedAt",
    "messageId": "$context.messageId",
    "sourceIp": "$context.identity.sourceIp",
    "authorizerStatus": "$context.authorizer.status",
    "authorizerLatency": "$context.authorizer.latency",
    "integrationStatus": "$context.integrationStatus",
    "integrationLatency": "$context.integrationLatency",
    "errorType": "$context.error.responseType",
}


@dataclass(frozen=True, slots=True)
class Described:
    """One resource: its kind in the record of a deployment, its name, and CloudFormation's view."""

    kind: str
    name: str
    type: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Metric:
    """What an alarm looks at."""

    namespace: str
    name: str
    dimensions: Mapping[str, str] = field(default_factory=dict)
    statistic: str = "Sum"


def resources(blueprint: Blueprint) -> list[Described]:
    """Return what the options ask for beside access logs."""
    found: list[Described] = []
    if blueprint.options.alarms:
        found += [*_fault_filters(blueprint), *_alarms(blueprint)]
    if blueprint.options.dashboard:
        found.append(_dashboard(blueprint))
    return found


def access_log_group(blueprint: Blueprint) -> str:
    """Return the log group of the stage's access logs."""
    return f"/aws/apigateway/{blueprint.api_name}-{blueprint.stage}"


def access_log_settings(blueprint: Blueprint) -> dict[str, str] | None:
    """Return ``AccessLogSettings`` of the stage, or None where the option is off."""
    if not blueprint.options.access_logs:
        return None
    group = access_log_group(blueprint)
    return {
        # Without the ":*" that CloudWatch Logs itself puts behind a group's ARN.
        "DestinationArn": f"arn:${{Partition}}:logs:${{Region}}:${{AccountId}}:log-group:{group}",
        "Format": json.dumps(ACCESS_LOG_FIELDS, separators=(",", ":")),
    }


def namespace(blueprint: Blueprint) -> str:
    """Return the namespace of the stage's own metrics."""
    return f"{blueprint.app_name}/{blueprint.chalice_stage}"


def dead_letter_queues(blueprint: Blueprint) -> list[str]:
    """Return the queues that others name in their redrive policy."""
    targets = " ".join(json.dumps(it.get("RedrivePolicy", "")) for it in blueprint.queues)
    names = [str(it["QueueName"]) for it in blueprint.queues]
    return [it for it in names if re.search(rf":{re.escape(it)}(?![\w.-])", targets)]


def _fault_filters(blueprint: Blueprint) -> Iterator[Described]:
    group = log_group(blueprint.functions[blueprint.authorizer.function])
    for fault, pattern in FAULT_PATTERNS.items():
        transformation = {
            "MetricNamespace": namespace(blueprint),
            "MetricName": FAULTS,
            "MetricValue": "1",
        }
        yield Described(
            "metric_filter",
            f"{group}:{_prefix(blueprint)}-authorizer-{fault}",
            "AWS::Logs::MetricFilter",
            {
                "FilterName": f"{_prefix(blueprint)}-authorizer-{fault}",
                "LogGroupName": group,
                "FilterPattern": pattern,
                "MetricTransformations": [transformation],
            },
        )


def _alarms(blueprint: Blueprint) -> Iterator[Described]:
    metric = Metric(namespace(blueprint), FAULTS)
    words = "The authorizer failed by a fault of ours: nobody new gets in (500)."
    yield _alarm(blueprint, "authorizer-faults", words, metric, threshold=1)
    for function in sorted(blueprint.functions):
        of_function = {"FunctionName": f"${{function_{function}}}"}
        if function != blueprint.authorizer.function:
            metric = Metric("AWS/Lambda", "Errors", of_function)
            words = f"{function} failed or ran out of time, five times in five minutes."
            yield _alarm(blueprint, f"{function}-errors", words, metric, threshold=5)
        metric = Metric("AWS/Lambda", "Throttles", of_function)
        words = f"{function} was not run: the account's concurrency, or its own, is used up."
        yield _alarm(blueprint, f"{function}-throttles", words, metric, threshold=1)
    for queue in dead_letter_queues(blueprint):
        metric = Metric("AWS/SQS", QUEUE_DEPTH, {"QueueName": queue}, "Maximum")
        words = f"Work was given up and lies in {queue}."
        yield _alarm(blueprint, f"{queue}-messages", words, metric, threshold=1)


def _alarm(
    blueprint: Blueprint, what: str, description: str, metric: Metric, threshold: int
) -> Described:
    name = f"{_prefix(blueprint)}-{what}"
    topic = blueprint.options.alarm_topic
    properties: dict[str, Any] = {
        "AlarmName": name,
        "AlarmDescription": description,
        "Namespace": metric.namespace,
        "MetricName": metric.name,
        "Dimensions": [{"Name": key, "Value": it} for key, it in metric.dimensions.items()],
        "Statistic": metric.statistic,
        "Period": PERIOD,
        "EvaluationPeriods": 1,
        "Threshold": threshold,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        # These metrics have no points at all while nothing happens.
        "TreatMissingData": "notBreaching",
        "AlarmActions": [topic] if topic else [],
    }
    return Described("alarm", name, "AWS::CloudWatch::Alarm", properties)


def _dashboard(blueprint: Blueprint) -> Described:
    body = {"widgets": list(_widgets(blueprint))}
    name = _prefix(blueprint)
    properties = {"DashboardName": name, "DashboardBody": json.dumps(body, separators=(",", ":"))}
    return Described("dashboard", name, "AWS::CloudWatch::Dashboard", properties)


def _widgets(blueprint: Blueprint) -> Iterator[dict[str, Any]]:
    api = ["ApiId", "${ApiId}", "Stage", blueprint.stage]
    functions = sorted(blueprint.functions)
    charts: list[tuple[str, str, list[list[Any]]]] = [
        ("Connects", "Sum", [["AWS/ApiGateway", "ConnectCount", *api]]),
        ("Messages, in and out", "Sum", [["AWS/ApiGateway", "MessageCount", *api]]),
        (
            "Refused before, failed in and failed behind the integration",
            "Sum",
            [
                ["AWS/ApiGateway", metric, *api]
                for metric in ("ClientError", "ExecutionError", "IntegrationError")
            ],
        ),
        (
            "Integration latency, 99 of 100",
            "p99",
            [["AWS/ApiGateway", "IntegrationLatency", *api]],
        ),
        ("Errors (the authorizer's include each refused client)", "Sum", _of(functions, "Errors")),
        ("Durations, 99 of 100", "p99", _of(functions, "Duration")),
        ("Throttles", "Sum", _of(functions, "Throttles")),
        ("Concurrent executions", "Maximum", _of(functions, "ConcurrentExecutions")),
        *_store_charts(blueprint),
    ]
    for position, (title, statistic, metrics) in enumerate(charts):
        yield {
            "type": "metric",
            "x": position % 2 * 12,
            "y": position // 2 * 6,
            "width": 12,
            "height": 6,
            "properties": {
                "title": title,
                "region": "${Region}",
                "view": "timeSeries",
                "stat": statistic,
                "period": PERIOD,
                "metrics": metrics,
            },
        }


def _of(functions: list[str], metric: str) -> list[list[Any]]:
    return [
        ["AWS/Lambda", metric, "FunctionName", f"${{function_{it}}}", {"label": it}]
        for it in functions
    ]


def _store_charts(blueprint: Blueprint) -> Iterator[tuple[str, str, list[list[Any]]]]:
    for table in blueprint.tables:
        metrics = ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits")
        name = table["TableName"]
        yield (
            f"Capacity consumed of {name}",
            "Sum",
            [["AWS/DynamoDB", metric, "TableName", name] for metric in metrics],
        )
    if blueprint.queues:
        names = [it["QueueName"] for it in blueprint.queues]
        lines: list[list[Any]] = [["AWS/SQS", QUEUE_DEPTH, "QueueName", name] for name in names]
        yield "Messages waiting", "Maximum", lines


def _prefix(blueprint: Blueprint) -> str:
    return f"{blueprint.app_name}-{blueprint.chalice_stage}"
