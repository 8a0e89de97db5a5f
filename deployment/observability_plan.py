"""Alarms, dashboard and access logs for ``chalice deploy``: planned, recorded, swept away again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError
from chalice.awsclient import TypedAWSClient
from chalice.deploy import models

from deployment import observability, policies
from deployment.blueprint import Blueprint
from deployment.errors import DeploymentRefused

# The code and the name of one and the same error; which of them comes depends on the protocol.
_NO_SUCH_DASHBOARD = {"ResourceNotFound", "DashboardNotFoundError"}
KINDS = ("alarm", "dashboard", "metric_filter")
Planned = tuple[list[Any], dict[int, str]]


def install() -> None:
    """Add the calls to Chalice's client; its executor finds them by name."""
    calls = (
        delete_alarm,
        delete_dashboard,
        delete_metric_filter,
        ensure_access_log_group,
        ensure_alarm,
        ensure_dashboard,
        ensure_metric_filter,
        require_cloudwatch_role,
    )
    for call in calls:
        setattr(TypedAWSClient, call.__name__, call)


def first(blueprint: Blueprint) -> Planned:
    """Plan what must be there before the stage, and what may stop the deployment."""
    if not blueprint.options.access_logs:
        return [], {}
    name = observability.access_log_group(blueprint)
    params = {
        "name": name,
        "retention_days": blueprint.options.access_log_retention_days,
        "tags": dict(blueprint.tags),
    }
    require = models.APICall(method_name="require_cloudwatch_role", params={})
    ensure = models.APICall(method_name="ensure_access_log_group", params=params)
    record = models.RecordResourceValue(
        resource_type="log_group",
        resource_name="access_log_group",
        name="log_group_name",
        value=name,
    )
    return [require, ensure, record], {id(ensure): f"Preparing log group: {name}\n"}


def last(blueprint: Blueprint, as_string_format: Callable[[str], Any]) -> Planned:
    """Plan alarms and dashboard, whose texts name what exists by then."""
    instructions: list[Any] = []
    messages: dict[int, str] = {}
    for described in observability.resources(blueprint):
        call = models.APICall(
            method_name=f"ensure_{described.kind}",
            params={
                "properties": _filled(described, blueprint, as_string_format),
                "tags": dict(blueprint.tags),
            },
        )
        record = models.RecordResourceValue(
            resource_type=described.kind,
            resource_name=f"{described.kind}:{described.name}",
            name=f"{described.kind}_name",
            value=described.name,
        )
        label = described.kind.replace("_", " ")
        messages[id(call)] = f"Updating {label}: {described.name}\n"
        instructions += [call, record]
    return instructions, messages


def _filled(
    described: observability.Described,
    blueprint: Blueprint,
    as_string_format: Callable[[str], Any],
) -> Any:
    functions = {f"function_{key}": name for key, name in blueprint.functions.items()}

    def fill(text: str) -> Any:
        text = policies.substitute(text, functions)
        return as_string_format(text) if policies.DYNAMIC_NAME.search(text) else text

    return policies.fill_names(dict(described.properties), fill)


def require_cloudwatch_role(aws: Any) -> None:
    """Refuse before anything is changed, for a stage that cannot log is not made."""
    if not aws._client("apigateway").get_account().get("cloudwatchRoleArn"):
        raise DeploymentRefused(
            "access_logs is on, but this account has no role with which API Gateway writes to "
            "CloudWatch in this region. docs/deployment.md says how to give it one; or turn "
            "access_logs off. Nothing was deployed"
        )


def ensure_access_log_group(
    aws: Any, name: str, retention_days: int, tags: Mapping[str, str]
) -> None:
    """Create a log group unless it is there, and say how long it keeps what it gets."""
    client = aws._client("logs")
    # From an earlier deployment, or one that stopped half way, is as good.
    with suppress(client.exceptions.ResourceAlreadyExistsException):
        client.create_log_group(logGroupName=name, tags=dict(tags))
    client.put_retention_policy(logGroupName=name, retentionInDays=retention_days)


def ensure_alarm(aws: Any, properties: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Create or replace an alarm."""
    aws._client("cloudwatch").put_metric_alarm(**properties, Tags=_tag_list(tags))


def ensure_dashboard(aws: Any, properties: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Create or replace a dashboard, which can have no tags."""
    found = aws._client("cloudwatch").put_dashboard(**properties)
    problems = found.get("DashboardValidationMessages", [])
    if problems:
        raise DeploymentRefused(f"CloudWatch does not take the dashboard: {problems}")


def ensure_metric_filter(aws: Any, properties: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Create or replace a metric filter, which can have no tags."""
    transformations = [
        {key[0].lower() + key[1:]: value for key, value in it.items()}
        for it in properties["MetricTransformations"]
    ]
    aws._client("logs").put_metric_filter(
        logGroupName=properties["LogGroupName"],
        filterName=properties["FilterName"],
        filterPattern=properties["FilterPattern"],
        metricTransformations=transformations,
    )


def delete_alarm(aws: Any, name: str) -> None:
    """Delete an alarm; one that is gone is no error of CloudWatch's."""
    aws._client("cloudwatch").delete_alarms(AlarmNames=[name])


def delete_dashboard(aws: Any, name: str) -> None:
    """Delete a dashboard, if it is still there."""
    try:
        aws._client("cloudwatch").delete_dashboards(DashboardNames=[name])
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NO_SUCH_DASHBOARD:
            raise


def delete_metric_filter(aws: Any, name: str) -> None:
    """Delete a metric filter, named behind its log group; either may be gone."""
    group, _, filter_name = name.partition(":")
    client = aws._client("logs")
    try:
        client.delete_metric_filter(logGroupName=group, filterName=filter_name)
    except client.exceptions.ResourceNotFoundException:
        return


def _tag_list(tags: Mapping[str, str]) -> Sequence[Mapping[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
