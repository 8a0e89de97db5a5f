"""Looks at tables, queues, log groups, and parameters or secrets that variables name."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from deployment import observability
from deployment.doctor.snapshot import StoredSecret, Table

if TYPE_CHECKING:
    from deployment.doctor.collect import Collector


def look_at_stores(collector: Collector) -> None:
    """Look at each table, queue and log group the stage should have."""
    blueprint = collector.expected.blueprint
    for properties in blueprint.tables:
        _look_at_table(collector, properties["TableName"])
    for properties in blueprint.queues:
        _look_at_queue(collector, properties["QueueName"])
    for function in collector.expected.functions.values():
        _look_at_log_group(collector, function.log_group)
    if blueprint.options.access_logs:
        _look_at_log_group(collector, observability.access_log_group(blueprint))


def look_at_secrets(collector: Collector) -> None:
    """Look whether each parameter or secret is there, and is not what the documents show."""
    for variable, name in stored_credentials(collector).items():
        look = _look_at_parameter if variable.endswith("_PARAMETER") else _look_at_secret
        look(collector, variable, name)


def stored_credentials(collector: Collector) -> dict[str, str]:
    """Return the variables, of any function, that name a parameter or a secret."""
    return {
        variable: value
        for function in collector.expected.functions.values()
        for variable, value in function.environment.items()
        if variable.endswith(("_PARAMETER", "_SECRET")) and value
    }


def _look_at_table(collector: Collector, name: str) -> None:
    client = collector.client("dynamodb")
    permission = "dynamodb:DescribeTable, dynamodb:DescribeTimeToLive"
    with collector.looking("tables", f"table {name}", permission):
        try:
            found = client.describe_table(TableName=name)["Table"]
            expiry = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        except client.exceptions.ResourceNotFoundException:
            collector.snapshot.tables[name] = None
            return
        is_on = expiry.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
        collector.snapshot.tables[name] = Table(
            key_schema=found["KeySchema"], expires_by=expiry["AttributeName"] if is_on else None
        )


def _look_at_queue(collector: Collector, name: str) -> None:
    client = collector.client("sqs")
    with collector.looking("queues", f"queue {name}", "sqs:GetQueueUrl"):
        try:
            client.get_queue_url(QueueName=name)
        except client.exceptions.QueueDoesNotExist:
            collector.snapshot.queues[name] = False
        else:
            collector.snapshot.queues[name] = True


def _look_at_log_group(collector: Collector, name: str) -> None:
    with collector.looking("log groups", f"log group {name}", "logs:DescribeLogGroups"):
        found = collector.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        days = [it.get("retentionInDays", 0) for it in found if it["logGroupName"] == name]
        collector.snapshot.log_groups[name] = days[0] if days else None


def _look_at_parameter(collector: Collector, variable: str, name: str) -> None:
    client = collector.client("ssm")
    with collector.looking("secrets", f"the parameter of {variable}", "ssm:GetParameter"):
        try:
            kind = client.get_parameter(Name=name)["Parameter"]["Type"]
        except client.exceptions.ParameterNotFound:
            collector.snapshot.secrets[variable] = StoredSecret(exists=False)
            return
        encrypted = kind == "SecureString"
        collector.snapshot.secrets[variable] = StoredSecret(True, encrypted)
        with collector.looking("secrets", f"the value of {variable}, to compare it", "kms:Decrypt"):
            found = client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
            collector.snapshot.secrets[variable] = StoredSecret(
                True, encrypted, _is_demonstration(found, collector.expected.demonstration_values)
            )


def _look_at_secret(collector: Collector, variable: str, name: str) -> None:
    client = collector.client("secretsmanager")
    with collector.looking("secrets", f"the secret of {variable}", "secretsmanager:DescribeSecret"):
        try:
            described = client.describe_secret(SecretId=name)
        except client.exceptions.ResourceNotFoundException:
            described = {"DeletedDate": "never there"}
        if described.get("DeletedDate"):
            collector.snapshot.secrets[variable] = StoredSecret(exists=False)
            return
        collector.snapshot.secrets[variable] = StoredSecret(exists=True)
        permission = "secretsmanager:GetSecretValue"
        with collector.looking("secrets", f"the value of {variable}, to compare it", permission):
            found = client.get_secret_value(SecretId=name).get("SecretString")
            collector.snapshot.secrets[variable] = StoredSecret(
                True, True, _is_demonstration(found, collector.expected.demonstration_values)
            )


def _is_demonstration(value: Any, demonstration_values: Collection[str]) -> bool:
    """Compare, and forget: the value goes no further than this."""
    return not value or value in demonstration_values
