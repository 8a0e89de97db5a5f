"""What is asked of DynamoDB, and what is done when it does not oblige.

What the repository stores and finds is asked in tests/contract.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib.backoff import Backoff
from chalicelib.connections import EVERYONE, Audience
from chalicelib.dynamodb import DynamoDB, DynamoDBConnectionRepository
from chalicelib.errors import ConfigurationError, ServiceUnavailable
from chalicelib.http1 import Response
from tests.factories import NOW, make_connection
from tests.fakes import Clock, ScriptedCaller

TABLE = "portcullis-test"
N = {"N": "1"}
THROTTLED = Response(400, b'{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}')


def answer(content: Mapping[str, Any] | None = None) -> Response:
    return Response(200, json.dumps(content or {}).encode())


def dynamodb(caller: ScriptedCaller, clock: Clock | None = None) -> DynamoDB:
    clock = clock or Clock(0)
    return DynamoDB(caller, Backoff(clock.sleep, lambda: 1.0, clock, deadline=5.0))


def operations(caller: ScriptedCaller) -> list[str]:
    return [
        call.headers["x-amz-target"].removeprefix("DynamoDB_20120810.") for call in caller.calls
    ]


def payloads(caller: ScriptedCaller) -> list[Any]:
    return [json.loads(call.payload) for call in caller.calls]


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def repository(
    caller: ScriptedCaller, executor: ThreadPoolExecutor
) -> DynamoDBConnectionRepository:
    return DynamoDBConnectionRepository(dynamodb(caller), TABLE, executor, everyone_shards=2)


def test_an_operation_is_a_post_of_json() -> None:
    caller = ScriptedCaller(answer({"Item": {}}))
    assert dynamodb(caller).call("GetItem", {"TableName": TABLE}) == {"Item": {}}
    (call,) = caller.calls
    assert (call.method, call.path, call.payload) == (
        "POST",
        "/",
        b'{"TableName":"portcullis-test"}',
    )
    assert call.headers == {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": "DynamoDB_20120810.GetItem",
    }


@pytest.mark.parametrize(
    "problem",
    [
        pytest.param(THROTTLED, id="throttled"),
        pytest.param(Response(500, b"{}"), id="a fault of DynamoDB"),
        pytest.param(Response(503, b"<html>"), id="a fault that is not JSON"),
        pytest.param(Response(200, b"<html>"), id="a success that is not JSON"),
        pytest.param(Response(200, b"[]"), id="a success that is no object"),
        pytest.param(ServiceUnavailable("no answer"), id="no answer"),
    ],
)
def test_what_may_pass_is_tried_again(problem: Response | ServiceUnavailable) -> None:
    clock = Clock(0)
    caller = ScriptedCaller(problem, problem, answer())
    assert dynamodb(caller, clock).call("PutItem", {}) == {}
    assert clock.slept == pytest.approx([0.05, 0.1])


def test_what_does_not_pass_in_time_is_unavailable() -> None:
    clock = Clock(0)
    with pytest.raises(ServiceUnavailable, match="PutItem: 400 ThrottlingException"):
        dynamodb(ScriptedCaller(*[THROTTLED] * 100), clock).call("PutItem", {})
    assert clock.now <= 5


@pytest.mark.parametrize(
    "name", ["ResourceNotFoundException", "AccessDeniedException", "ValidationException"]
)
def test_what_no_retry_mends_is_raised_at_once_and_repeats_no_value(name: str) -> None:
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": "value s3cret"}
    caller = ScriptedCaller(Response(400, json.dumps(body).encode()))
    with pytest.raises(ConfigurationError, match=f"PutItem: 400 {name}$"):
        dynamodb(caller).call("PutItem", {})


def test_unprocessed_items_are_written_again_after_a_pause() -> None:
    clock = Clock(0)
    items = [{"PutRequest": {"Item": {"sk": {"S": str(number)}}}} for number in range(3)]
    caller = ScriptedCaller(
        answer({"UnprocessedItems": {TABLE: items[1:]}}),
        answer({"UnprocessedItems": {TABLE: items[2:]}}),
        answer({"UnprocessedItems": {}}),
    )
    dynamodb(caller, clock).write(TABLE, items)
    assert [payload["RequestItems"][TABLE] for payload in payloads(caller)] == [
        items,
        items[1:],
        items[2:],
    ]
    assert clock.slept == pytest.approx([0.05, 0.1])


def test_items_that_stay_unprocessed_are_not_passed_over() -> None:
    items: list[Any] = [{"PutRequest": {}}]
    caller = ScriptedCaller(*[answer({"UnprocessedItems": {TABLE: items}})] * 100)
    with pytest.raises(ServiceUnavailable, match="1 items unprocessed"):
        dynamodb(caller).write(TABLE, items)


@pytest.mark.parametrize(
    ("items", "sizes"), [(0, []), (25, [25]), (26, [25, 1]), (60, [25, 25, 10])]
)
def test_writes_go_in_batches_dynamodb_takes(items: int, sizes: list[int]) -> None:
    caller = ScriptedCaller(*[answer()] * len(sizes))
    dynamodb(caller).write(TABLE, [{"PutRequest": {}}] * items)
    assert [len(payload["RequestItems"][TABLE]) for payload in payloads(caller)] == sizes


def test_adding_takes_two_calls_and_writes_the_audience_side_first(
    executor: ThreadPoolExecutor,
) -> None:
    caller = ScriptedCaller(answer(), answer())
    repository(caller, executor).add(make_connection("abc=", "alice"))
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


def test_removing_forgets_the_connection_first_and_what_it_joined_last(
    executor: ThreadPoolExecutor,
) -> None:
    news = {"sk": {"S": "audience#channel:news"}, "shard": {"N": "0"}}
    caller = ScriptedCaller(answer(), answer({"Items": [news]}), answer(), answer())
    repository(caller, executor).remove("abc=", "alice")
    assert operations(caller) == ["DeleteItem", "Query", "BatchWriteItem", "BatchWriteItem"]
    deleted = [deletions(payload) for payload in payloads(caller)[2:]]
    assert deleted == [
        ["audience#everyone#1", "audience#principal:alice#0", "audience#channel:news#0"],
        ["connection#abc="],
    ]


def test_removing_reads_all_pages_of_what_was_joined(executor: ThreadPoolExecutor) -> None:
    pages = [
        {"Items": [{"sk": {"S": f"audience#channel:{name}"}, "shard": {"N": "0"}}]}
        for name in ("news", "chat")
    ]
    last = {"pk": {"S": "connection#abc="}, "sk": {"S": "audience#channel:news"}}
    more = {**pages[0], "LastEvaluatedKey": last}
    caller = ScriptedCaller(answer(), answer(more), answer(pages[1]), answer(), answer())
    repository(caller, executor).remove("abc=", "alice")
    assert payloads(caller)[2]["ExclusiveStartKey"] == last
    assert deletions(payloads(caller)[3])[2:] == [
        "audience#channel:news#0",
        "audience#channel:chat#0",
    ]


def deletions(payload: Any) -> list[str]:
    return [it["DeleteRequest"]["Key"]["pk"]["S"] for it in payload["RequestItems"][TABLE]]


def test_all_reads_are_strongly_consistent(executor: ThreadPoolExecutor) -> None:
    caller = ScriptedCaller(*[answer()] * 3)
    store = repository(caller, executor)
    store.get("abc=", NOW)
    list(store.members(EVERYONE, NOW))
    assert operations(caller) == ["GetItem", "Query", "Query"]
    assert [payload["ConsistentRead"] for payload in payloads(caller)] == [True] * 3


def test_a_page_is_read_while_the_members_of_the_one_before_are_sent_to(
    executor: ThreadPoolExecutor,
) -> None:
    last = {"pk": {"S": "audience#principal:alice#0"}, "sk": {"S": "abc="}}
    items = [
        {"sk": {"S": name}, "principalId": {"S": "alice"}, "connectedAt": N, "expiresAt": N}
        for name in ("first", "second")
    ]
    caller = ScriptedCaller(
        answer({"Items": items, "LastEvaluatedKey": last}), answer({"Items": items})
    )
    members = repository(caller, executor).members(Audience("principal", "alice"), 0)
    assert next(members).connection_id == "first"
    executor.submit(int).result()  # the one thread there is has read the second page by now
    assert operations(caller) == ["Query", "Query"]
    assert [member.connection_id for member in members] == ["second", "first", "second"]


def test_a_page_starts_where_the_last_one_ended(executor: ThreadPoolExecutor) -> None:
    last = {"pk": {"S": "audience#principal:alice#0"}, "sk": {"S": "abc="}}
    caller = ScriptedCaller(answer({"Items": [], "LastEvaluatedKey": last}), answer())
    list(repository(caller, executor).members(Audience("principal", "alice"), NOW))
    assert [payload.get("ExclusiveStartKey") for payload in payloads(caller)] == [None, last]
