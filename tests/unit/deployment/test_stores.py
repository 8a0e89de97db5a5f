"""Tables of ``chalice deploy``, against a real engine."""

from itertools import count
from typing import Any

import boto3
import pytest

from deployment import stores
from deployment.errors import DeploymentRefused
from localgateway.database import EmbeddedDatabase
from tests.unit.deployment.blueprints import TABLE, TAGS

_numbers = count()


@pytest.fixture
def client(database: EmbeddedDatabase) -> Any:
    return boto3.client("dynamodb", endpoint_url=database.endpoint_url, region_name="us-east-1")


@pytest.fixture
def table() -> dict[str, Any]:
    return {**TABLE, "TableName": f"stores-{next(_numbers)}"}


def test_a_table_is_made_with_tags_and_expiry(client: Any, table: dict[str, Any]) -> None:
    stores.ensure_table(client, table, TAGS)
    name = table["TableName"]
    present = client.describe_table(TableName=name)["Table"]
    assert present["KeySchema"] == table["KeySchema"]
    assert present["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    tags = client.list_tags_of_resource(ResourceArn=present["TableArn"])["Tags"]
    assert {it["Key"]: it["Value"] for it in tags} == TAGS
    expiry = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expiresAt"}


def test_a_table_that_is_there_keeps_its_content(client: Any, table: dict[str, Any]) -> None:
    stores.ensure_table(client, table, TAGS)
    item = {"pk": {"S": "a"}}
    client.put_item(TableName=table["TableName"], Item=item)
    newer = {"aws-chalice": TAGS["aws-chalice"].replace("1.34.0", "1.34.1")}
    stores.ensure_table(client, table, newer)
    assert client.get_item(TableName=table["TableName"], Key=item)["Item"] == item


def test_expiry_that_somebody_switched_off_is_switched_on(
    client: Any, table: dict[str, Any]
) -> None:
    stores.ensure_table(client, {**table, "TimeToLiveSpecification": None}, TAGS)
    stores.ensure_table(client, table, TAGS)
    found = client.describe_time_to_live(TableName=table["TableName"])["TimeToLiveDescription"]
    assert found["TimeToLiveStatus"] == "ENABLED"


@pytest.mark.parametrize(
    "tags", [{}, {"aws-chalice": "version=1.34.0:stage=prod:app=parrot"}], ids=["none", "other"]
)
def test_a_table_of_somebody_else_is_refused(
    client: Any, table: dict[str, Any], tags: dict[str, str]
) -> None:
    stores.ensure_table(client, table, tags)
    with pytest.raises(DeploymentRefused, match="is not this stage's"):
        stores.ensure_table(client, table, TAGS)


def test_a_table_with_another_key_is_refused(client: Any, table: dict[str, Any]) -> None:
    stores.ensure_table(client, table, TAGS)
    other = [{"AttributeName": "id", "KeyType": "HASH"}]
    with pytest.raises(DeploymentRefused, match="has the key"):
        stores.ensure_table(client, {**table, "KeySchema": other}, TAGS)


def test_a_table_can_be_deleted_twice(client: Any, table: dict[str, Any]) -> None:
    stores.ensure_table(client, table, TAGS)
    stores.delete_table(client, table["TableName"])
    assert table["TableName"] not in client.list_tables()["TableNames"]
    stores.delete_table(client, table["TableName"])
