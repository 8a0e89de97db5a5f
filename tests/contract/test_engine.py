"""The engine that tests share: it must not look at the clock, for theirs stand still."""

from localgateway.database import EmbeddedDatabase
from tests.engine import make_dynamodb


def test_the_engine_deletes_nothing_by_the_clock_on_the_wall(database: EmbeddedDatabase) -> None:
    dynamodb = make_dynamodb(database, "standing")
    told = dynamodb.call("DescribeTimeToLive", {"TableName": "standing"})
    assert told["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED"
