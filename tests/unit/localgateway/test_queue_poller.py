"""A poller, and what creates its queue, against an engine that answers by a script."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from localgateway.errors import QueueCallFailed, StartError
from localgateway.functions import Functions
from localgateway.queue_handlers import QueueHandlers
from localgateway.queue_poller import Queue, QueuePoller
from localgateway.queues import EventSource, QueueDefinition
from localgateway.sqs import Sqs

ARN = "arn:aws:sqs:us-east-1:123456789012:jobs"
JOBS = Queue("jobs", "http://127.0.0.1/123456789012/jobs", ARN, 30)
Call = tuple[str, Mapping[str, Any]]


class ScriptedSqs(Sqs):
    """Receives what a script says, an error among it raised; all else succeeds. Then it is over."""

    def __init__(self, *received: list[str] | QueueCallFailed) -> None:
        super().__init__("http://127.0.0.1:1", "us-east-1")
        self.received = list(received)
        self.calls: list[Call] = []
        self.is_over = asyncio.Event()

    async def call(
        self, operation: str, payload: Mapping[str, Any], seconds: float = 1.0
    ) -> dict[str, Any]:
        self.calls.append((operation, payload))
        if operation == "GetQueueUrl":
            raise QueueCallFailed("QueueDoesNotExist", "none")
        if operation == "GetQueueAttributes":
            return {"Attributes": {"QueueArn": ARN, "VisibilityTimeout": "30"}}
        if operation != "ReceiveMessage":
            return {"QueueUrl": JOBS.url}
        if not self.received:
            self.is_over.set()
            await asyncio.Event().wait()
        answer = self.received.pop(0)
        if isinstance(answer, QueueCallFailed):
            raise answer
        return {"Messages": [message(body) for body in answer]} if answer else {}

    def payloads(self, operation: str) -> list[Mapping[str, Any]]:
        return [payload for name, payload in self.calls if name == operation]


def message(body: str) -> dict[str, Any]:
    return {"MessageId": body, "ReceiptHandle": f"handle-{body}", "Body": body, "MD5OfBody": "x"}


def polled(*received: list[str] | QueueCallFailed, **settings: Any) -> tuple[ScriptedSqs, Any]:
    """Poll until the script is over; return the engine, and the batches that were handed over."""
    batches: list[list[str]] = []

    def work(event: Any, _context: Any) -> None:
        batches.append([record["body"] for record in event["Records"]])

    async def main() -> ScriptedSqs:
        sqs = ScriptedSqs(*received)
        functions = Functions({"work": work}, timeout=30.0)
        source = EventSource("work", "jobs", **settings)
        async with asyncio.TaskGroup() as group:
            poller = QueuePoller(
                sqs,
                JOBS,
                source,
                functions,
                group.create_task,
                region="us-east-1",
                concurrency=1,
            )
            task = group.create_task(poller.run())
            await asyncio.wait_for(sqs.is_over.wait(), 60)
            task.cancel()
        functions.close()
        return sqs

    return asyncio.run(main()), batches


def test_an_empty_poll_is_followed_by_another() -> None:
    sqs, batches = polled([], [], ["a"])
    assert batches == [["a"]]
    assert [payload["WaitTimeSeconds"] for payload in sqs.payloads("ReceiveMessage")] == [20] * 4


def test_a_poll_that_fails_is_followed_by_another() -> None:
    _, batches = polled(QueueCallFailed("", "no answer"), ["a"])
    assert batches == [["a"]]


def test_a_window_asks_no_more_often_than_it_must() -> None:
    sqs, batches = polled(["a"], ["b"], batching_window=1)
    assert batches == [["a", "b"]]
    waits = [payload["WaitTimeSeconds"] for payload in sqs.payloads("ReceiveMessage")]
    assert waits == [20, 0, 20], "SQS waits for whole seconds: the rest is slept"


def test_a_full_batch_is_handed_over_before_its_window_ends() -> None:
    sqs, batches = polled(["a", "b"], batch_size=2, batching_window=300)
    assert batches == [["a", "b"]]
    (deleted,) = sqs.payloads("DeleteMessageBatch")
    assert [entry["ReceiptHandle"] for entry in deleted["Entries"]] == ["handle-a", "handle-b"]


def created(source: EventSource, *queues: QueueDefinition) -> list[Mapping[str, Any]]:
    """Return what was asked of an engine that has no queue yet."""

    async def main() -> ScriptedSqs:
        sqs = ScriptedSqs()
        functions = Functions({}, timeout=5.0)
        handlers = await QueueHandlers.start(
            sqs, queues, [source], functions, print, region="us-east-1", concurrency=1
        )
        await handlers.stop()
        return sqs

    return asyncio.run(main()).payloads("CreateQueue")


@pytest.mark.parametrize(
    ("name", "attributes"), [("jobs", {}), ("jobs.fifo", {"FifoQueue": "true"})]
)
def test_a_queue_nobody_declares_is_created_by_its_name(
    name: str, attributes: dict[str, str]
) -> None:
    expected = [{"QueueName": name, "Attributes": attributes}]
    assert created(EventSource("work", name)) == expected


def test_a_declared_queue_is_created_once() -> None:
    attributes = {"DelaySeconds": "1"}
    (queue,) = created(EventSource("work", "jobs"), QueueDefinition("jobs", attributes))
    assert queue == {"QueueName": "jobs", "Attributes": attributes}


def test_a_dead_letter_queue_must_be_there() -> None:
    with pytest.raises(StartError, match="queue jobs: its dead letter queue dead is not there"):
        created(EventSource("work", "jobs"), QueueDefinition("jobs", {}, "dead", 3))
