"""What a queue's function is handed, as independent readers read it: Powertools and Chalice."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.data_classes import SQSEvent
from aws_lambda_powertools.utilities.parser import parse
from aws_lambda_powertools.utilities.parser.models import SqsModel
from chalice.app import SQSEvent as ChaliceSQSEvent

from localgateway.database import EmbeddedDatabase
from localgateway.definition import ApiDefinition
from localgateway.events import Event
from localgateway.queues import EventSource
from tests.gateway_under_test import GatewayUnderTest

EVENTS = Path(__file__).parents[1] / "events"
BODY = '{"dish": "soufflé ☃"}'
ATTRIBUTES = {
    "table": {"DataType": "Number", "StringValue": "7"},
    "stamp": {"DataType": "Binary", "BinaryValue": b"\x00\x01\xff"},
}


@pytest.fixture(scope="module", params=["standard", "fifo"])
def event(request: pytest.FixtureRequest, database: EmbeddedDatabase) -> Iterator[Event]:
    """The event of one message, and with it its queue's kind."""
    is_fifo = request.param == "fifo"
    name = f"q-{uuid.uuid4().hex}" + (".fifo" if is_fifo else "")
    gateway = GatewayUnderTest(ApiDefinition(routes={}), {"work": lambda event, context: None})
    gateway.work_queues(database.endpoint_url, [{"QueueName": name}], [EventSource("work", name)])
    client = boto3.client("sqs", endpoint_url=database.endpoint_url)
    options: Any = {"MessageGroupId": "a", "MessageDeduplicationId": "b"} if is_fifo else {}
    client.send_message(
        QueueUrl=client.get_queue_url(QueueName=name)["QueueUrl"],
        MessageBody=BODY,
        MessageAttributes=ATTRIBUTES,
        **options,
    )
    client.close()
    yield gateway.wait_for("work")
    gateway.stop()


def test_powertools_parses_it(event: Event) -> None:
    (record,) = parse(event, SqsModel).Records
    assert record.body == BODY
    assert record.eventSource == "aws:sqs"
    assert record.eventSourceARN == event["Records"][0]["eventSourceARN"]
    assert record.attributes.ApproximateReceiveCount == "1"
    sent = record.attributes.SentTimestamp
    assert abs((datetime.now(UTC) - sent).total_seconds()) < 60
    assert record.attributes.ApproximateFirstReceiveTimestamp >= sent
    assert record.messageAttributes["table"].stringValue == "7"
    assert record.messageAttributes["stamp"].binaryValue == "AAH/"


def test_powertools_data_class_reads_it(event: Event) -> None:
    (record,) = SQSEvent(event).records
    assert record.json_body == {"dish": "soufflé ☃"}
    assert record.queue_url.startswith("https://sqs.us-east-1.amazonaws.com/123456789012/q-")
    stamp = record.message_attributes["stamp"]
    assert stamp is not None
    assert stamp.binary_value == "AAH/"


def test_chalice_reads_it(event: Event) -> None:
    (record,) = ChaliceSQSEvent(event, None)
    assert record.body == BODY
    assert record.receipt_handle


def test_it_has_the_members_aws_documents_and_no_others(event: Event) -> None:
    (record,) = event["Records"]
    is_fifo = record["eventSourceARN"].endswith(".fifo")
    name = "sqs-fifo.json" if is_fifo else "sqs-standard.json"
    documented = json.loads((EVENTS / name).read_text())["Records"][0]
    # Only a message with attributes of its own has a digest of them; this one does.
    assert record.keys() == documented.keys() | {"md5OfMessageAttributes"}
    assert record["attributes"].keys() == documented["attributes"].keys()
    standard = json.loads((EVENTS / "sqs-standard.json").read_text())["Records"][0]
    for attribute, value in record["messageAttributes"].items():
        assert value.keys() == standard["messageAttributes"][attribute].keys()
