"""Works one queue as Lambda's event source mapping does: batches in, what was handled deleted.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from logging import INFO, WARNING
from typing import Any

from localgateway.errors import FunctionError, QueueCallFailed
from localgateway.functions import Functions
from localgateway.log import logger
from localgateway.queue_events import Message, failed_messages, queue_event
from localgateway.queues import EventSource
from localgateway.sqs import Sqs

Spawn = Callable[[Coroutine[Any, Any, None]], object]

POLL_SECONDS = 20
"""How long one call waits for a message: the longest SQS allows."""
_AT_ONCE = 10
"""Messages SQS returns, or deletes, in one call."""
_ANSWER_SECONDS = 10.0
_PAUSE_SECONDS = 1.0
_EVENT_SIZE = 6 * 1024 * 1024
"""Bytes of an invocation's payload."""
_RECORD_OVERHEAD = 2048


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue that is there."""

    name: str
    url: str
    arn: str
    visibility_timeout: int
    """Seconds."""


class QueuePoller:
    """Invokes the function of one event source for what comes to its queue."""

    def __init__(
        self,
        sqs: Sqs,
        queue: Queue,
        source: EventSource,
        functions: Functions,
        spawn: Spawn,
        *,
        region: str,
        concurrency: int,
        deliveries: int = 1,
    ) -> None:
        """``concurrency`` is how many batches are worked at once where the source does not say.

        ``deliveries`` is how often each batch is handed over: SQS promises once at least.
        """
        self._sqs = sqs
        self._queue = queue
        self._source = source
        self._functions = functions
        self._spawn = spawn
        self._region = region
        self._slots = asyncio.Semaphore(source.maximum_concurrency or concurrency)
        self._deliveries = deliveries
        self._left: list[Message] = []
        """Received, and too large for the batch they came with."""
        self._failing = False

    async def run(self) -> None:
        """Poll until cancelled; batches are worked beside it, so cancelling leaves them alone."""
        while True:
            await self._slots.acquire()
            try:
                batch = await self._batch()
            except QueueCallFailed as error:
                self._slots.release()
                self._say_once(error)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self._failing = False
            if batch:
                self._spawn(self._work(batch))
            else:
                self._slots.release()

    async def _batch(self) -> list[Message]:
        """Return the messages of the next batch; none where none came in a poll's time."""
        wanted = self._source.batch_size
        batch = self._left or await self._receive(wanted, POLL_SECONDS)
        if not batch:
            return []
        loop = asyncio.get_running_loop()
        end = loop.time() + self._source.batching_window
        while len(batch) < wanted and (left := end - loop.time()) > 0:
            if left < 1:
                await asyncio.sleep(left)  # SQS waits for whole seconds
            batch += await self._receive(wanted - len(batch), min(int(left), POLL_SECONDS))
        batch, self._left = _split(batch)
        return batch

    async def _receive(self, most: int, wait: int) -> list[Message]:
        answer = await self._sqs.call(
            "ReceiveMessage",
            {
                "QueueUrl": self._queue.url,
                "MaxNumberOfMessages": min(most, _AT_ONCE),
                "WaitTimeSeconds": wait,
                "AttributeNames": ["All"],
                "MessageAttributeNames": ["All"],
            },
            seconds=wait + _ANSWER_SECONDS,
        )
        messages: list[Message] = answer.get("Messages", [])
        return messages

    async def _work(self, batch: list[Message]) -> None:
        try:
            handled = await self._invoke(batch)
            for start in range(0, len(handled), _AT_ONCE):
                await self._delete(handled[start : start + _AT_ONCE])
        except QueueCallFailed as error:
            self._say_once(error)
        finally:
            self._slots.release()

    async def _invoke(self, batch: Sequence[Message]) -> list[Message]:
        """Return the messages that are done with; others come again by themselves."""
        name = self._source.function
        event = queue_event(batch, self._queue.arn, self._region)
        started = time.perf_counter()
        failed = {message["MessageId"] for message in batch}
        try:
            for _ in range(self._deliveries):
                answer = await self._functions.invoke(name, event)
            failed = failed_messages(answer, batch) if self._source.reports_item_failures else set()
        except FunctionError:
            pass  # the log has it; what was received can be seen again after its visibility timeout
        milliseconds = (time.perf_counter() - started) * 1000
        self._say_what_came_of(len(batch), len(failed), milliseconds)
        return [message for message in batch if message["MessageId"] not in failed]

    async def _delete(self, messages: Sequence[Message]) -> None:
        # Entries that fail are those SQS knows no more, or that were received anew meanwhile.
        entries = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
            for number, message in enumerate(messages)
        ]
        payload = {"QueueUrl": self._queue.url, "Entries": entries}
        await self._sqs.call("DeleteMessageBatch", payload)

    def _say_what_came_of(self, messages: int, failed: int, milliseconds: float) -> None:
        status = "ok" if not failed else "error" if failed == messages else f"{failed} failed"
        logger.log(
            WARNING if failed else INFO,
            "%s %s %s %.1f ms, %d message%s",
            *(self._queue.name, self._source.function, status, milliseconds),
            *(messages, "" if messages == 1 else "s"),
        )

    def _say_once(self, error: QueueCallFailed) -> None:
        if not self._failing:
            logger.error("queue %s: %s; trying on", self._queue.name, error)
        self._failing = True


def _split(batch: list[Message]) -> tuple[list[Message], list[Message]]:
    """Return what fits into one event, one message at least, and the rest."""
    size = 0
    for number, message in enumerate(batch):
        size += len(message["Body"].encode()) + _RECORD_OVERHEAD
        if size > _EVENT_SIZE and number:
            return batch[:number], batch[number:]
    return batch, []
