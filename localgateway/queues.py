"""What is known of an app's queues before any is there: their properties, and who works them. Pure.

Queues are described as the properties of ``AWS::SQS::Queue``, as tables are as those of
``AWS::DynamoDB::Table``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from localgateway.errors import StartError
from localgateway.events import Stage

FIFO_SUFFIX = ".fifo"

_NAME = re.compile(r"(?=.{1,80}\Z)[A-Za-z0-9_-]+(\.fifo)?")
_ATTRIBUTES = (
    *("ContentBasedDeduplication", "DeduplicationScope", "DelaySeconds", "FifoQueue"),
    *("FifoThroughputLimit", "MaximumMessageSize", "MessageRetentionPeriod"),
    *("ReceiveMessageWaitTimeSeconds", "VisibilityTimeout"),
)
_OF_NO_USE_HERE = (
    *("KmsDataKeyReusePeriodSeconds", "KmsMasterKeyId", "RedriveAllowPolicy"),
    *("SqsManagedSseEnabled", "Tags"),
)
QUEUE_PROPERTIES = ("QueueName", *_ATTRIBUTES, "RedrivePolicy")
"""Those that change what a queue does here."""


@dataclass(frozen=True, slots=True)
class QueueDefinition:
    """A queue to create; ``attributes`` are SQS's own, all but the redrive policy."""

    name: str
    attributes: Mapping[str, str]
    dead_letter_queue: str | None = None
    max_receive_count: int = 0

    @classmethod
    def read(cls, properties: Any, stage: Stage) -> QueueDefinition:
        """Read CloudFormation's properties; raises ``StartError`` that names what is wrong."""
        name = properties.get("QueueName") if isinstance(properties, Mapping) else None
        name = _filled(name, stage) if isinstance(name, str) else name
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise StartError(
                f"queue {name!r}: a QueueName has letters, digits, - and _, and may end in .fifo"
            )
        unknown = sorted(properties.keys() - {*QUEUE_PROPERTIES, *_OF_NO_USE_HERE})
        if unknown:
            known = ", ".join(QUEUE_PROPERTIES)
            raise StartError(f"queue {name}: unknown {', '.join(unknown)}; known: {known}")
        is_fifo = str(properties.get("FifoQueue", name.endswith(FIFO_SUFFIX))).lower() == "true"
        if is_fifo != name.endswith(FIFO_SUFFIX):
            raise StartError(f"queue {name}: FifoQueue and a name that ends in .fifo go together")
        attributes = {key: _text(properties[key]) for key in _ATTRIBUTES if key in properties}
        attributes.pop("FifoQueue", None)
        if is_fifo:
            attributes["FifoQueue"] = "true"  # SQS refuses "false"
        return cls(name, attributes, *_redrive(name, properties.get("RedrivePolicy"), stage))


@dataclass(frozen=True, slots=True)
class EventSource:
    """A function that works a queue, in the terms of Lambda's event source mappings."""

    function: str
    queue_name: str
    batch_size: int = 10
    batching_window: float = 0
    """Seconds to wait for a batch to fill."""
    maximum_concurrency: int | None = None
    reports_item_failures: bool = False
    """Whether its answer may name messages that failed; Chalice configures no mapping so."""

    def __post_init__(self) -> None:
        """Refuse at start what Lambda would refuse at deployment.

        https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html
        """
        is_fifo = self.queue_name.endswith(FIFO_SUFFIX)
        largest = 10 if is_fifo else 10_000
        self._require(1 <= self.batch_size <= largest, f"a batch size is 1 to {largest}")
        self._require(0 <= self.batching_window <= 300, "a batching window is 0 to 300 seconds")
        self._require(not (is_fifo and self.batching_window), "a FIFO queue has no batching window")
        self._require(
            self.batch_size <= 10 or self.batching_window >= 1,
            "a batch size over 10 needs a batching window of a second",
        )
        self._require(
            self.maximum_concurrency is None or 2 <= self.maximum_concurrency <= 1000,
            "a maximum concurrency is 2 to 1000",
        )

    def _require(self, holds: bool, rule: str) -> None:
        if not holds:
            raise StartError(f"{self.function} on queue {self.queue_name}: {rule}")


def read_queues(queues: Iterable[Any], stage: Stage) -> list[QueueDefinition]:
    """Return queues by name, of two of one name the later; raises ``StartError``."""
    read = [QueueDefinition.read(properties, stage) for properties in queues]
    return list({definition.name: definition for definition in read}.values())


def queue_name(arn: str) -> str:
    """Return the name in a queue's ARN; of anything else, what stands after the last colon."""
    return arn.rpartition(":")[2]


def _redrive(name: str, policy: Any, stage: Stage) -> tuple[str | None, int]:
    if policy is None:
        return None, 0
    try:
        policy = json.loads(policy) if isinstance(policy, str) else policy
        arn = _filled(str(policy["deadLetterTargetArn"]), stage)
        count = int(policy["maxReceiveCount"])
        if not 1 <= count <= 1000:
            raise ValueError("it is 1 to 1000")
    except (ValueError, TypeError, KeyError) as error:
        raise StartError(
            f"queue {name}: a RedrivePolicy has deadLetterTargetArn, and maxReceiveCount from 1 to "
            f"1000 ({error})"
        ) from error
    return queue_name(arn), count


def _filled(text: str, stage: Stage) -> str:
    """Return a text with the stage's values in it, as an app's definition may leave them open."""
    values = {"Partition": "aws", "Region": stage.region, "AccountId": stage.account_id}
    return re.sub(r"\$\{(\w+)\}", lambda match: str(values.get(match[1], match[0])), text)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
