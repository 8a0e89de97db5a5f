"""Tables and queues for ``chalice deploy``; ``chalice package`` leaves them to CloudFormation.

Properties are those of ``AWS::DynamoDB::Table`` and ``AWS::SQS::Queue``. What exists is kept with
its content, unless it belongs to another app or stage, or has another key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deployment.errors import DeploymentRefused
from deployment.naming import owner

_TTL = "TimeToLiveSpecification"


def ensure_table(client: Any, properties: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Create a table, or see that it is ours and has the same key; let expired items go."""
    name = properties["TableName"]
    try:
        present = client.describe_table(TableName=name)["Table"]
    except client.exceptions.ResourceNotFoundException:
        wanted = {key: value for key, value in properties.items() if key != _TTL}
        client.create_table(**wanted, Tags=_tag_list(tags))
    else:
        _refuse_another_table(client, present, properties, tags)
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 2})
    _ensure_time_to_live(client, properties)


def delete_table(client: Any, name: str) -> None:
    """Delete a table, if it is still there."""
    try:
        client.delete_table(TableName=name)
    except client.exceptions.ResourceNotFoundException:
        return
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 2})


def ensure_queue(client: Any, properties: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Create a queue, or see that it is ours and give it these attributes."""
    name = properties["QueueName"]
    attributes = {
        key: json.dumps(value) if isinstance(value, Mapping) else str(value)
        for key, value in properties.items()
        if key != "QueueName"
    }
    try:
        url = client.get_queue_url(QueueName=name)["QueueUrl"]
    except client.exceptions.QueueDoesNotExist:
        client.create_queue(QueueName=name, Attributes=attributes, tags=dict(tags))
        return
    _refuse_another_owner(name, client.list_queue_tags(QueueUrl=url).get("Tags", {}), tags)
    client.set_queue_attributes(QueueUrl=url, Attributes=attributes)


def delete_queue(client: Any, name: str) -> None:
    """Delete a queue, if it is still there."""
    try:
        client.delete_queue(QueueUrl=client.get_queue_url(QueueName=name)["QueueUrl"])
    except client.exceptions.QueueDoesNotExist:
        return


def _refuse_another_table(
    client: Any, present: Mapping[str, Any], wanted: Mapping[str, Any], tags: Mapping[str, str]
) -> None:
    found = client.list_tags_of_resource(ResourceArn=present["TableArn"]).get("Tags", [])
    _refuse_another_owner(wanted["TableName"], {it["Key"]: it["Value"] for it in found}, tags)
    if present["KeySchema"] != wanted["KeySchema"]:
        raise DeploymentRefused(
            f"table {wanted['TableName']} has the key {present['KeySchema']}, not "
            f"{wanted['KeySchema']}: choose another TABLE_NAME, or delete it"
        )


def _refuse_another_owner(name: str, found: Mapping[str, str], tags: Mapping[str, str]) -> None:
    if owner(found) != owner(tags):
        raise DeploymentRefused(
            f"{name} exists and is not this stage's: {owner(found) or 'it has no tag of Chalice'}. "
            "Choose another name, or delete it"
        )


def _ensure_time_to_live(client: Any, properties: Mapping[str, Any]) -> None:
    wanted = properties.get(_TTL)
    if wanted is None:
        return
    name = properties["TableName"]
    found = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if found.get("TimeToLiveStatus") not in {"ENABLED", "ENABLING"}:
        client.update_time_to_live(TableName=name, TimeToLiveSpecification=dict(wanted))


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
