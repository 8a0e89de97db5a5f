"""What is asked of the table, in which order. What it stores and finds: tests/contract."""

import json
from typing import Any

from chalicelib.backoff import Backoff
from chalicelib.connection_table import DynamoDBConnectionRepository
from chalicelib.connections import EVERYONE, Audience
from chalicelib.dynamodb import DynamoDB
from tests.factories import NOW, make_connection
from tests.fakes import Clock, ScriptedCaller
from tests.unit.test_dynamodb import TABLE, answer

CONNECTION = {
    "pk": {"S": "connection#abc="},
    "principalId": {"S": "alice"},
    "connectedAt": {"N": "1"},
    "expiresAt": {"N": str(int(NOW) + 60)},
    "sourceIp": {"S": ""},
    "apiId": {"S": "a1"},
    "stage": {"S": "dev"},
    "context": {"M": {}},
}


def operations(caller: ScriptedCaller) -> list[str]:
    return [
        call.headers["x-amz-target"].removeprefix("DynamoDB_20120810.") for call in caller.calls
    ]


def payloads(caller: ScriptedCaller) -> list[Any]:
    return [json.loads(call.payload) for call in caller.calls]


def repository(caller: ScriptedCaller) -> DynamoDBConnectionRepository:
    clock = Clock(0)
    dynamodb = DynamoDB(caller, Backoff(clock.sleep, lambda: 1.0, clock))
    return DynamoDBConnectionRepository(dynamodb, TABLE, everyone_shards=2, channel_shards=1)


def test_adding_takes_two_calls_and_writes_the_audience_side_first() -> None:
    caller = ScriptedCaller(answer(), answer())
    repository(caller).add(make_connection("abc=", "alice"))
    assert operations(caller) == ["BatchWriteItem", "PutItem"]
    batch, put = payloads(caller)
    written = [request["PutRequest"]["Item"] for request in batch["RequestItems"][TABLE]]
    assert [(item["pk"]["S"], item["sk"]["S"]) for item in written] == [
        ("audience#everyone#1", "abc="),
        ("audience#principal:alice#0", "abc="),
    ]
    assert put["Item"]["pk"] == {"S": "connection#abc="}
    assert put["Item"]["sk"] == {"S": "connection"}
    assert put["Item"]["expiresAt"] == {"N": str(int(NOW) + 3600)}


def test_removing_forgets_the_connection_first_and_what_it_joined_last() -> None:
    news = {"sk": {"S": "audience#channel:news"}, "shard": {"N": "0"}}
    caller = ScriptedCaller(answer(), answer({"Items": [news]}), answer(), answer())
    repository(caller).remove("abc=", "alice")
    assert operations(caller) == ["DeleteItem", "Query", "BatchWriteItem", "BatchWriteItem"]
    deleted = [deletions(payload) for payload in payloads(caller)[2:]]
    assert deleted == [
        ["audience#everyone#1", "audience#principal:alice#0", "audience#channel:news#0"],
        ["connection#abc="],
    ]


def test_removing_reads_all_pages_of_what_was_joined() -> None:
    pages = [
        {"Items": [{"sk": {"S": f"audience#channel:{name}"}, "shard": {"N": "0"}}]}
        for name in ("news", "chat")
    ]
    last = {"pk": {"S": "connection#abc="}, "sk": {"S": "audience#channel:news"}}
    more = {**pages[0], "LastEvaluatedKey": last}
    caller = ScriptedCaller(answer(), answer(more), answer(pages[1]), answer(), answer())
    repository(caller).remove("abc=", "alice")
    assert payloads(caller)[2]["ExclusiveStartKey"] == last
    assert deletions(payloads(caller)[3])[2:] == [
        "audience#channel:news#0",
        "audience#channel:chat#0",
    ]


def deletions(payload: Any) -> list[str]:
    return [it["DeleteRequest"]["Key"]["pk"]["S"] for it in payload["RequestItems"][TABLE]]


def test_all_reads_are_strongly_consistent() -> None:
    caller = ScriptedCaller(*[answer()] * 4)
    store = repository(caller)
    store.get("abc=", NOW)
    store.channels("abc=")
    store.read(EVERYONE, 1, None, 10, NOW)
    store.count(EVERYONE, 1, None, NOW)
    assert operations(caller) == ["GetItem", "Query", "Query", "Query"]
    assert [payload["ConsistentRead"] for payload in payloads(caller)] == [True] * 4


def test_a_page_starts_where_the_last_one_ended() -> None:
    last = {"pk": {"S": "audience#everyone#1"}, "sk": {"S": "abc="}}
    caller = ScriptedCaller(answer({"Items": [], "LastEvaluatedKey": last}), answer())
    store = repository(caller)
    page = store.read(EVERYONE, 1, None, 10, NOW)
    assert (page.members, page.last) == ((), "abc=")
    store.read(EVERYONE, 1, page.last, 10, NOW)
    first, second = payloads(caller)
    assert (first.get("ExclusiveStartKey"), second["ExclusiveStartKey"]) == (None, last)
    assert first["Limit"] == 10


def test_counting_reads_every_page_and_nothing_but_the_count() -> None:
    last = {"pk": {"S": "audience#everyone#1"}, "sk": {"S": "abc="}}
    caller = ScriptedCaller(answer({"Count": 2, "LastEvaluatedKey": last}), answer({"Count": 3}))
    assert repository(caller).count(EVERYONE, 1, None, NOW) == 5
    assert [payload["Select"] for payload in payloads(caller)] == ["COUNT", "COUNT"]
    assert payloads(caller)[1]["ExclusiveStartKey"] == last


def test_joining_writes_in_one_transaction_that_looks_at_the_connection() -> None:
    caller = ScriptedCaller(answer({"Item": CONNECTION}), answer())
    assert repository(caller).join("abc=", Audience("channel", "news"), NOW, 50)
    assert operations(caller) == ["GetItem", "TransactWriteItems"]
    count, joined, member = payloads(caller)[1]["TransactItems"]
    assert count["Update"]["Key"] == {"pk": {"S": "connection#abc="}, "sk": {"S": "connection"}}
    assert "attribute_exists(pk) AND expiresAt > :now" in count["Update"]["ConditionExpression"]
    assert joined["Put"]["Item"]["sk"] == {"S": "audience#channel:news"}
    assert member["Put"]["Item"]["pk"] == {"S": "audience#channel:news#0"}
    assert {table["TableName"] for it in (count, joined, member) for table in it.values()} == {
        TABLE
    }
