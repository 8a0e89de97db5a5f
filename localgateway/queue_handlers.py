"""An app's queues and the functions that work them: created at start, polled until stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence

from localgateway.errors import QueueCallFailed, StartError
from localgateway.functions import Functions
from localgateway.log import logger
from localgateway.queue_poller import Queue, QueuePoller, Spawn
from localgateway.queues import FIFO_SUFFIX, EventSource, QueueDefinition
from localgateway.sqs import Sqs

_EXISTS = {"QueueNameExists", "QueueAlreadyExists"}
_MISSING = {"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"}


class QueueHandlers:
    """Polls queues for their event sources; ``start`` creates what is not there."""

    def __init__(self, sqs: Sqs, pollers: Sequence[QueuePoller]) -> None:
        self._sqs = sqs
        self._tasks = [asyncio.create_task(poller.run()) for poller in pollers]

    @classmethod
    async def start(
        cls,
        sqs: Sqs,
        definitions: Sequence[QueueDefinition],
        sources: Sequence[EventSource],
        functions: Functions,
        spawn: Spawn,
        *,
        region: str,
        concurrency: int,
        deliveries: int = 1,
        function_timeouts: Mapping[str, int] | None = None,
    ) -> QueueHandlers:
        """Create the queues and poll; raises ``StartError`` when the engine refuses one.

        ``function_timeouts`` are those the functions will have on Lambda, in seconds. For the rest
        see ``QueuePoller``.
        """
        try:
            queues = await _create(sqs, definitions, sources)
        except QueueCallFailed as error:
            await sqs.close()
            raise StartError(f"the queues at {sqs.endpoint_url}: {error}") from error
        except StartError:
            await sqs.close()
            raise
        declared = {definition.name for definition in definitions}
        for source in sources:
            timeout = (function_timeouts or {}).get(source.function, 0)
            if source.queue_name in declared:
                _warn_of_timeouts(source, queues[source.queue_name], timeout)
        pollers = [
            QueuePoller(
                sqs,
                queues[source.queue_name],
                source,
                functions,
                spawn,
                region=region,
                concurrency=concurrency,
                deliveries=deliveries,
            )
            for source in sources
        ]
        return cls(sqs, pollers)

    async def stop(self) -> None:
        """Take no more messages; what is worked on is waited for by whoever ``spawn`` asked."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Close the connections to the engine, once what was worked on has ended."""
        await self._sqs.close()


async def _create(
    sqs: Sqs, definitions: Iterable[QueueDefinition], sources: Iterable[EventSource]
) -> dict[str, Queue]:
    """Return the queues by name. Dead letter queues are set last, so that any order will do."""
    queues = {}
    for definition in definitions:
        queues[definition.name] = await _created(sqs, definition.name, definition.attributes)
    for source in sources:
        if source.queue_name not in queues:
            queues[source.queue_name] = await _worked(sqs, source)
    for definition in definitions:
        if definition.dead_letter_queue is not None:
            await _redrive(sqs, queues, definition, definition.dead_letter_queue)
    return queues


async def _worked(sqs: Sqs, source: EventSource) -> Queue:
    """Return a queue nothing is said of but that a function works it."""
    name = source.queue_name
    found = await _found(sqs, name)
    if found is not None:
        return found
    logger.warning(
        "queue %s, which %s works, is in no definition or template: it is created here with SQS's "
        "defaults, but Chalice deploys no queue",
        *(name, source.function),
    )
    return await _created(sqs, name, {"FifoQueue": "true"} if name.endswith(FIFO_SUFFIX) else {})


async def _created(sqs: Sqs, name: str, attributes: Mapping[str, str]) -> Queue:
    """Create a queue; one that is there with other attributes is left as it is."""
    try:
        payload = {"QueueName": name, "Attributes": dict(attributes)}
        return await _described(sqs, name, (await sqs.call("CreateQueue", payload))["QueueUrl"])
    except QueueCallFailed as error:
        if not error.code:
            raise  # it is the engine that is wrong, not the queue
        found = await _found(sqs, name) if error.code in _EXISTS else None
        if found is None:
            raise StartError(f"queue {name}: {error}") from error
        return found


async def _found(sqs: Sqs, name: str) -> Queue | None:
    try:
        url = (await sqs.call("GetQueueUrl", {"QueueName": name}))["QueueUrl"]
    except QueueCallFailed as error:
        if error.code in _MISSING:
            return None
        raise
    return await _described(sqs, name, url)


async def _described(sqs: Sqs, name: str, url: str) -> Queue:
    names = ["QueueArn", "VisibilityTimeout"]
    answer = await sqs.call("GetQueueAttributes", {"QueueUrl": url, "AttributeNames": names})
    attributes = answer["Attributes"]
    return Queue(name, url, attributes["QueueArn"], int(attributes["VisibilityTimeout"]))


async def _redrive(
    sqs: Sqs, queues: Mapping[str, Queue], definition: QueueDefinition, target: str
) -> None:
    queue = queues.get(target) or await _found(sqs, target)
    if queue is None:
        raise StartError(f"queue {definition.name}: its dead letter queue {target} is not there")
    policy = {"deadLetterTargetArn": queue.arn, "maxReceiveCount": definition.max_receive_count}
    attributes = {"RedrivePolicy": json.dumps(policy)}
    url = queues[definition.name].url
    await sqs.call("SetQueueAttributes", {"QueueUrl": url, "Attributes": attributes})


def _warn_of_timeouts(source: EventSource, queue: Queue, timeout: int) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    if queue.visibility_timeout < timeout:
        logger.warning(
            "queue %s: its visibility timeout of %d s is under the time limit of %s, %d s: Lambda "
            "refuses that",
            *(queue.name, queue.visibility_timeout, source.function, timeout),
        )
