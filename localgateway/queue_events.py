"""What a function gets of a queue, and what its answer says of each message. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from localgateway.events import Event

Message = Mapping[str, Any]
"""As ``ReceiveMessage`` returns it."""


def queue_event(messages: Iterable[Message], queue_arn: str, region: str) -> Event:
    """Return the event of one batch."""
    return {"Records": [_record(message, queue_arn, region) for message in messages]}


def failed_messages(answer: Any, messages: Sequence[Message]) -> set[str]:
    """Return the ids of the messages an answer says have failed, all where it makes no sense.

    For event sources that report item failures only.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    everything = {str(message["MessageId"]) for message in messages}
    if answer is None or answer == {}:
        return set()
    failures = answer.get("batchItemFailures", ()) if isinstance(answer, Mapping) else ()
    if isinstance(answer, Mapping) and failures is None:
        return set()
    if not isinstance(failures, list):
        return everything
    named = [item.get("itemIdentifier") if isinstance(item, Mapping) else None for item in failures]
    known = {name for name in named if isinstance(name, str) and name in everything}
    return known if len(known) == len(set(map(str, named))) else everything


def _record(message: Message, queue_arn: str, region: str) -> Event:
    attributes = message.get("MessageAttributes", {})
    digest = message.get("MD5OfMessageAttributes")
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": {name: _attribute(value) for name, value in attributes.items()},
        **({"md5OfMessageAttributes": digest} if digest else {}),
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": region,
    }


def _attribute(value: Mapping[str, Any]) -> Event:
    # The two lists are reserved by SQS and always empty; Lambda's events have them all the same.
    kinds = {"StringValue": "stringValue", "BinaryValue": "binaryValue"}
    given = {name: value[key] for key, name in kinds.items() if key in value}
    lists: Event = {"stringListValues": [], "binaryListValues": []}
    return {**given, **lists, "dataType": value["DataType"]}
