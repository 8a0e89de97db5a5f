"""SQS's JSON protocol, by signed calls of our own: sending, for Lambda does the receiving.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.aws import Caller
from chalicelib.backoff import Backoff
from chalicelib.errors import ConfigurationError, ServiceUnavailable
from chalicelib.http1 import Response

# SendMessageBatch takes no more.
_BATCH = 10
_TRANSIENT = frozenset({"RequestThrottled", "ThrottlingException", "KmsThrottled"})


class Queue:
    """One queue, by its name."""

    def __init__(self, client: Caller, backoff: Backoff, name: str) -> None:
        self._client = client
        self._backoff = backoff
        self._name = name
        self._url: str | None = None

    def send(self, bodies: Sequence[str]) -> None:
        """Send each of these; some may be sent twice, as with any sending.

        Raises ServiceUnavailable if some could not be sent in time, ConfigurationError for what
        no retry mends.
        """
        url = self._queue_url()
        for start in range(0, len(bodies), _BATCH):
            batch = bodies[start : start + _BATCH]
            self._send_batch(
                url,
                [{"Id": str(place), "MessageBody": body} for place, body in enumerate(batch)],
            )

    def _send_batch(self, url: str, entries: Sequence[Mapping[str, str]]) -> None:
        for _ in self._backoff.attempts():
            answer = self._call("SendMessageBatch", {"QueueUrl": url, "Entries": entries})
            failed = {entry["Id"]: entry for entry in answer.get("Failed") or ()}
            if any(entry.get("SenderFault") for entry in failed.values()):
                codes = sorted({str(entry.get("Code")) for entry in failed.values()})
                raise ConfigurationError(f"SQS refuses messages: {', '.join(codes)}")
            entries = [entry for entry in entries if entry["Id"] in failed]
            if not entries:
                return
        raise ServiceUnavailable(f"SQS left {len(entries)} messages unsent")

    def _queue_url(self) -> str:
        if self._url is None:
            self._url = str(self._call("GetQueueUrl", {"QueueName": self._name})["QueueUrl"])
        return self._url

    def _call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        headers = {
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": f"AmazonSQS.{operation}",
        }
        body = json.dumps(payload, separators=(",", ":")).encode()
        problem = ServiceUnavailable(f"SQS: no time for {operation}")
        for _ in self._backoff.attempts():
            try:
                return _answer(operation, self._client.call("POST", "/", body, headers))
            except ServiceUnavailable as error:
                problem = error
        raise problem


def _answer(operation: str, response: Response) -> dict[str, Any]:
    try:
        answer = json.loads(response.body)
    except ValueError:
        answer = None
    if response.status == 200 and isinstance(answer, dict):
        return answer
    name = str(answer.get("__type", "")) if isinstance(answer, dict) else ""
    name = name.rpartition("#")[2]
    problem = f"SQS, {operation}: {response.status} {name}"
    if 300 <= response.status < 500 and name not in _TRANSIENT:
        raise ConfigurationError(problem)
    raise ServiceUnavailable(problem)


def sqs_endpoint(region: str) -> str:
    """Return SQS's public endpoint of a region."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://sqs.{region}.{suffix}"
