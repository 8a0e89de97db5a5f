"""What can be set about audiences and deliveries, and how the variables are read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chalicelib.environment import Reader

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
# https://docs.aws.amazon.com/lambda/latest/api/API_ScalingConfig.html
_WORKERS = re.compile(r"[2-9]|[1-9][0-9]{1,2}|1000")
_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,70}")


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How audiences are kept, and how large ones are sent to."""

    channel_shards: int = 1
    max_channels: int = 50
    """That one connection may be in."""
    queue_name: str | None = None
    """None: every broadcast is sent by the function that was asked for it."""
    fanout_threshold: int = 500
    """How many members that function sends to before the rest goes to the queue."""
    rate: int = 6000
    """Posts per second, of all workers together."""
    workers: int = 4
    job_seconds: int = 900
    """How long after it was asked for a message is still delivered."""
    sqs_endpoint: str | None = None


def read_delivery(reader: Reader) -> DeliverySettings:
    """Read the variables; what is wrong with them the reader keeps."""
    return DeliverySettings(
        channel_shards=reader.count("CHANNEL_SHARDS", 1, most=256),
        max_channels=reader.count("MAX_CHANNELS_PER_CONNECTION", 50, most=1000),
        queue_name=_queue_name(reader),
        fanout_threshold=reader.count("FANOUT_THRESHOLD", 500, most=100_000),
        rate=reader.count("DELIVERY_RATE", 6000, most=1_000_000),
        workers=int(_matched(reader, "DELIVERY_WORKERS", _WORKERS, "4")),
        job_seconds=reader.count("DELIVERY_DEADLINE_SECONDS", 900, most=7200),
        sqs_endpoint=reader.endpoint("AWS_ENDPOINT_URL_SQS"),
    )


def _matched(reader: Reader, variable: str, pattern: re.Pattern[str], default: str) -> str:
    value = reader.matching(variable, pattern, default)
    return value if pattern.fullmatch(value) else default


def _queue_name(reader: Reader) -> str | None:
    if reader.optional("QUEUE_NAME") is None:
        return None
    return reader.matching("QUEUE_NAME", _QUEUE_NAME)
