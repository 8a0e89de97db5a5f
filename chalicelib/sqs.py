"""SQS's JSON protocol, by signed calls of our own: sending, for Lambda does the receiving.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
"""

from collections.abc import Mapping, Sequence

from chalicelib.aws import Caller
from chalicelib.backoff import Backoff
from chalicelib.errors import ConfigurationError, ServiceUnavailable
from chalicelib.json_protocol import JsonService

# SendMessageBatch takes no more.
_BATCH = 10


class Queue:
    """One queue, by its name."""

    def __init__(self, client: Caller, backoff: Backoff, name: str) -> None:
        self._service = JsonService(client, backoff, name="SQS", target="AmazonSQS", version="1.0")
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
            answer = self._service.call("SendMessageBatch", {"QueueUrl": url, "Entries": entries})
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
            found = self._service.call("GetQueueUrl", {"QueueName": self._name})
            self._url = str(found["QueueUrl"])
        return self._url
