"""What is asked of SQS, compared with what botocore asks, and what is done when it fails."""

import json
from typing import Any

import botocore.session
import pytest
from botocore.config import Config

from chalicelib.backoff import Backoff
from chalicelib.errors import ConfigurationError, ServiceUnavailable
from chalicelib.http1 import Response
from chalicelib.sqs import Queue
from tests.fakes import Clock, ScriptedCaller

URL = "https://sqs.us-east-1.amazonaws.com/123456789012/deliveries"
KNOWN = Response(200, json.dumps({"QueueUrl": URL}).encode())
SENT = Response(200, b'{"Successful":[]}')


def queue(caller: ScriptedCaller, clock: Clock | None = None) -> Queue:
    clock = clock or Clock(0)
    return Queue(caller, Backoff(clock.sleep, lambda: 1.0, clock), "deliveries")


def failed(*ids: str, sender_fault: bool = False) -> Response:
    entries = [{"Id": it, "SenderFault": sender_fault, "Code": "InternalError"} for it in ids]
    return Response(200, json.dumps({"Successful": [], "Failed": entries}).encode())


def bodies(caller: ScriptedCaller) -> list[list[str]]:
    return [
        [entry["MessageBody"] for entry in json.loads(call.payload)["Entries"]]
        for call in caller.calls
        if call.headers["x-amz-target"] == "AmazonSQS.SendMessageBatch"
    ]


def as_botocore(operation: str, **parameters: Any) -> tuple[str, dict[str, Any]]:
    """Return the target and the body that botocore sends for an operation."""
    client = botocore.session.get_session().create_client(
        "sqs", region_name="us-east-1", config=Config(retries={"total_max_attempts": 1})
    )
    sent: list[Any] = []

    def stop(request: Any, **_: Any) -> None:
        sent.append(request)
        raise InterruptedError

    client.meta.events.register("before-send.sqs", stop)
    with pytest.raises(InterruptedError):
        getattr(client, operation)(**parameters)
    headers = {name.lower(): value for name, value in sent[0].headers.items()}
    target = headers["x-amz-target"]
    return (target.decode() if isinstance(target, bytes) else target), json.loads(sent[0].body)


def test_the_calls_are_those_botocore_makes() -> None:
    caller = ScriptedCaller(KNOWN, SENT)
    queue(caller).send(["{}", "é"])
    expected = [
        as_botocore("get_queue_url", QueueName="deliveries"),
        as_botocore(
            "send_message_batch",
            QueueUrl=URL,
            Entries=[{"Id": "0", "MessageBody": "{}"}, {"Id": "1", "MessageBody": "é"}],
        ),
    ]
    made = [(call.headers["x-amz-target"], json.loads(call.payload)) for call in caller.calls]
    assert made == expected


def test_messages_go_in_batches_sqs_takes_and_the_queue_is_asked_for_once() -> None:
    caller = ScriptedCaller(KNOWN, SENT, SENT, SENT)
    sender = queue(caller)
    texts = [str(number) for number in range(12)]
    sender.send(texts)
    sender.send(["last"])
    assert bodies(caller) == [texts[:10], texts[10:], ["last"]]
    assert len(caller.calls) == 4


def test_those_that_were_not_taken_are_sent_again() -> None:
    clock = Clock(0)
    caller = ScriptedCaller(KNOWN, failed("0", "2"), failed("2"), SENT)
    queue(caller, clock).send(["a", "b", "c"])
    assert bodies(caller) == [["a", "b", "c"], ["a", "c"], ["c"]]
    assert clock.slept == pytest.approx([0.05, 0.1])


def test_those_that_are_never_taken_are_not_passed_over() -> None:
    caller = ScriptedCaller(KNOWN, *[failed("0")] * 100)
    with pytest.raises(ServiceUnavailable, match="1 messages unsent"):
        queue(caller).send(["a"])


def test_what_sqs_will_never_take_is_a_fault_of_the_deployment() -> None:
    caller = ScriptedCaller(KNOWN, failed("0", sender_fault=True))
    with pytest.raises(ConfigurationError, match="InternalError"):
        queue(caller).send(["a"])


@pytest.mark.parametrize(
    "problem",
    [
        pytest.param(Response(500, b""), id="a fault of SQS"),
        pytest.param(Response(400, b'{"__type":"com.amazon#RequestThrottled"}'), id="throttled"),
        pytest.param(Response(200, b"[]"), id="no object"),
        pytest.param(ServiceUnavailable("no answer"), id="no answer"),
    ],
)
def test_what_may_pass_is_tried_again(problem: Response | ServiceUnavailable) -> None:
    caller = ScriptedCaller(problem, KNOWN, problem, SENT)
    queue(caller).send(["a"])
    assert bodies(caller)[-1] == ["a"]


def test_a_queue_that_is_not_there_is_a_fault_of_the_deployment() -> None:
    body = b'{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"s3cret"}'
    with pytest.raises(ConfigurationError, match=r"GetQueueUrl: 400 QueueDoesNotExist$"):
        queue(ScriptedCaller(Response(400, body))).send(["a"])
