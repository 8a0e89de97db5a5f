"""What a function gets of a queue, against events of the documented shape, and what it answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localgateway.queue_events import failed_messages, queue_event

EVENTS = Path(__file__).parents[2] / "events"
MESSAGES: list[dict[str, Any]] = [{"MessageId": "a"}, {"MessageId": "b"}, {"MessageId": "c"}]


def received(record: dict[str, Any]) -> dict[str, Any]:
    """Return what ``ReceiveMessage`` answers for the message of a record."""
    names = {"stringValue": "StringValue", "binaryValue": "BinaryValue", "dataType": "DataType"}
    attributes = {
        name: {names[key]: value for key, value in attribute.items() if key in names}
        for name, attribute in record["messageAttributes"].items()
    }
    message = {
        "MessageId": record["messageId"],
        "ReceiptHandle": record["receiptHandle"],
        "Body": record["body"],
        "MD5OfBody": record["md5OfBody"],
        "Attributes": record["attributes"],
    }
    if attributes:
        message |= {
            "MessageAttributes": attributes,
            "MD5OfMessageAttributes": record["md5OfMessageAttributes"],
        }
    return message


@pytest.mark.parametrize("name", ["sqs-standard.json", "sqs-fifo.json"])
def test_an_event_has_the_shape_and_the_values_of_its_recording(name: str) -> None:
    expected = json.loads((EVENTS / name).read_text())
    messages = [received(record) for record in expected["Records"]]
    arn = expected["Records"][0]["eventSourceARN"]
    assert queue_event(messages, arn, "us-east-1") == expected


def named(*ids: Any) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": each} for each in ids]}


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        pytest.param(None, "", id="null"),
        pytest.param({}, "", id="an empty object"),
        pytest.param({"batchItemFailures": None}, "", id="a null list"),
        pytest.param({"batchItemFailures": []}, "", id="an empty list"),
        pytest.param(named("b"), "b", id="one"),
        pytest.param(named("c", "a"), "ac", id="two"),
        pytest.param(named("a", "a"), "a", id="one twice"),
        pytest.param(named("a", "b", "c"), "abc", id="all"),
        pytest.param(named("a", "x"), "abc", id="a message of another batch"),
        pytest.param(named("a", ""), "abc", id="an empty id"),
        pytest.param(named("a", None), "abc", id="a null id"),
        pytest.param(named(["a"]), "abc", id="an id that is a list"),
        pytest.param({"batchItemFailures": [{"id": "a"}]}, "abc", id="another key"),
        pytest.param({"batchItemFailures": ["a"]}, "abc", id="an id alone"),
        pytest.param({"batchItemFailures": "a"}, "abc", id="a text for a list"),
        pytest.param({"failures": []}, "abc", id="an object without the list"),
        pytest.param("ok", "abc", id="a text"),
        pytest.param([], "abc", id="a list"),
    ],
)
def test_an_answer_names_what_failed_or_makes_no_sense(answer: Any, failed: str) -> None:
    assert failed_messages(answer, MESSAGES) == set(failed)
