"""The embedded engine's queues: MiniStack's SQS, with long polls that cost nothing while they wait.

MiniStack's own long poll looks at the queue ten times a second. Here a poll sleeps until a call
that may have changed something, or until the next hidden message is due, and then asks MiniStack
for what there is. What is called of MiniStack is named in ``__init__``: the version is pinned.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import Any

from localgateway.http_messages import HttpRequest

Answer = tuple[int, dict[str, str], bytes]

TARGET_PREFIX = "AmazonSQS."
_RECEIVE = f"{TARGET_PREFIX}ReceiveMessage"
_LONGEST_POLL = 20.0
"""Seconds; https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html"""
_NOTHING = b"{}"


class QueueService:
    """Answers calls of SQS's JSON protocol; made at the first of them, since it takes 10 MB."""

    def __init__(self) -> None:
        from ministack.core.concurrency import esm_wake
        from ministack.core.responses import set_request_region
        from ministack.services import sqs

        self._sqs = sqs
        self._set_region = set_request_region
        self._has_arrived = esm_wake
        """MiniStack sets it when a message is sent, returned, or moved to a dead letter queue."""
        self._changed = asyncio.Event()

    async def respond(self, request: HttpRequest, region: str) -> Answer:
        """Answer one call; ``region`` is where its queues are."""
        self._set_region(region)
        try:
            asked = _by_name(json.loads(request.body))
        except (ValueError, RecursionError):
            return 400, {}, b'{"__type": "SerializationException"}'
        if request.header("X-Amz-Target") == _RECEIVE:
            return await self._receive(request, asked)
        answer = await self._ask(request, asked)
        self._wake()  # whatever it was: a group's next message is free once one is deleted
        return answer

    async def _receive(self, request: HttpRequest, asked: dict[str, Any]) -> Answer:
        at_once = {**asked, "WaitTimeSeconds": 0}
        deadline = None
        while True:
            changed = self._changed
            answer = await self._ask(request, at_once)
            if self._has_arrived.is_set():
                self._wake()  # a message was found to be a dead letter: another queue has it now
            status, _, body = answer
            if status != 200 or body != _NOTHING:
                return answer
            queue = self._sqs._get_q(asked["QueueUrl"])
            now = time.time()
            if deadline is None:
                deadline = now + _wait_seconds(asked, queue)
            if now >= deadline:
                return answer
            with suppress(TimeoutError):
                async with asyncio.timeout(min(deadline, _next_due(queue, now)) - now):
                    await changed.wait()

    async def _ask(self, request: HttpRequest, asked: dict[str, Any]) -> Answer:
        headers = {name.lower(): value for name, value in request.headers}
        body = json.dumps(asked).encode()
        answer: Answer = await self._sqs.handle_request(request.method, "/", headers, body, {})
        return answer

    def _wake(self) -> None:
        self._has_arrived.clear()
        self._changed.set()
        self._changed = asyncio.Event()


def _by_name(asked: Any) -> dict[str, Any]:
    """Leave of a queue's URL its name: one written down for AWS has another account and host."""
    if not isinstance(asked, dict):
        raise ValueError("a call is an object")
    asked.pop("QueueOwnerAWSAccountId", None)
    if isinstance(asked.get("QueueUrl"), str):
        asked["QueueUrl"] = asked["QueueUrl"].rstrip("/").rpartition("/")[2]
    return asked


def _wait_seconds(asked: dict[str, Any], queue: dict[str, Any]) -> float:
    given = asked.get("WaitTimeSeconds")
    if given is None:
        given = queue["attributes"].get("ReceiveMessageWaitTimeSeconds", 0)
    return min(float(given), _LONGEST_POLL)


def _next_due(queue: dict[str, Any], now: float) -> float:
    """Return when the next delayed or received message can be seen, by the engine's clock."""
    hidden = [message["visible_at"] for message in queue["messages"]]
    # A moment later: a timer may fire early by the clock's resolution.
    return min((at for at in hidden if at > now), default=float("inf")) + 0.001
