"""What is asked of DynamoDB, and what is done when it does not oblige."""

import gc
import json
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from chalicelib.backoff import Backoff
from chalicelib.dynamodb import DynamoDB, TransactionRefused
from chalicelib.errors import ConditionFailed, ConfigurationError, ServiceUnavailable
from chalicelib.http1 import Response
from tests.fakes import Clock, ScriptedCaller

TABLE = "portcullis-test"
THROTTLED = Response(400, b'{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}')


def answer(content: Mapping[str, Any] | None = None) -> Response:
    return Response(200, json.dumps(content or {}).encode())


def dynamodb(caller: ScriptedCaller, clock: Clock | None = None) -> DynamoDB:
    clock = clock or Clock(0)
    return DynamoDB(caller, Backoff(clock.sleep, lambda: 1.0, clock, deadline=5.0))


def payloads(caller: ScriptedCaller) -> list[Any]:
    return [json.loads(call.payload) for call in caller.calls]


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


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param((THROTTLED, answer()), id="tried again"),
        pytest.param((Response(400, b'{"__type":"x#ValidationException"}'),), id="refused"),
    ],
)
def test_it_is_freed_at_once_whatever_has_happened(answers: tuple[Response, ...]) -> None:
    used = dynamodb(ScriptedCaller(*answers))
    gc.disable()
    try:
        with suppress(ConfigurationError):
            used.call("PutItem", {})
        freed = weakref.ref(used)
        del used
        assert freed() is None
    finally:
        gc.enable()


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


def refused(name: str, **details: Any) -> Response:
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{name}", **details}
    return Response(400, json.dumps(body).encode())


def reasons(*codes: str) -> list[dict[str, str]]:
    return [{"Code": code} for code in codes]


def test_a_condition_that_does_not_hold_is_no_fault_and_not_tried_again() -> None:
    caller = ScriptedCaller(refused("ConditionalCheckFailedException"))
    with pytest.raises(ConditionFailed):
        dynamodb(caller).call("PutItem", {})


def test_a_refused_transaction_says_which_items_forbade_it() -> None:
    codes = reasons("None", "ConditionalCheckFailed", "TransactionConflict")
    caller = ScriptedCaller(refused("TransactionCanceledException", CancellationReasons=codes))
    with pytest.raises(TransactionRefused) as caught:
        dynamodb(caller).call("TransactWriteItems", {})
    assert caught.value.refused == {1}


def test_a_transaction_that_met_another_is_tried_again() -> None:
    codes = reasons("None", "TransactionConflict", "ThrottlingError")
    caller = ScriptedCaller(
        refused("TransactionCanceledException", CancellationReasons=codes), answer()
    )
    assert dynamodb(caller).call("TransactWriteItems", {}) == {}


def test_a_transaction_that_is_under_way_already_is_asked_for_again() -> None:
    caller = ScriptedCaller(refused("TransactionInProgressException"), answer())
    assert dynamodb(caller).call("TransactWriteItems", {}) == {}


@pytest.mark.parametrize("codes", [[], reasons("None", "ValidationError")])
def test_a_transaction_that_can_never_succeed_is_raised_at_once(codes: Any) -> None:
    caller = ScriptedCaller(refused("TransactionCanceledException", CancellationReasons=codes))
    with pytest.raises(ConfigurationError, match="TransactionCanceledException"):
        dynamodb(caller).call("TransactWriteItems", {})
