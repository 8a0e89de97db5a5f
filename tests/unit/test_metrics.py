"""Metrics are lines that CloudWatch reads: held to the rules of its specification."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.broadcast import Delivery
from chalicelib.metrics import DeliveryMetrics
from tests.factories import NOW
from tests.fakes import Clock

# By the rules of
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
NAME = {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": r"^[^:\x00-\x1f].*$"}
DIRECTIVE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["Namespace", "Dimensions", "Metrics"],
    "properties": {
        "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
        "Dimensions": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "maxItems": 30, "items": {**NAME, "maxLength": 250}},
        },
        "Metrics": {
            "type": "array",
            "maxItems": 100,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["Name"],
                "properties": {
                    "Name": NAME,
                    "Unit": {"enum": ["Count", "Milliseconds", "Bytes", "Seconds", "None"]},
                },
            },
        },
    },
}
SCHEMA = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 1_000_000_000_000},
                "CloudWatchMetrics": {"type": "array", "minItems": 1, "items": DIRECTIVE},
            },
        }
    },
}


def line_of(delivery: Delivery, stage: str = "prod") -> str:
    lines: list[str] = []
    DeliveryMetrics(stage, Clock(NOW), lines.append)("job", delivery.counts(), 0.25, 131)
    (line,) = lines
    return line


def check(line: str) -> dict[str, Any]:
    """Return the values of the metrics; what they refer to must be there, and be numbers."""
    document: dict[str, Any] = json.loads(line)
    jsonschema.validate(document, SCHEMA)
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    for dimensions in directive["Dimensions"]:
        assert all(0 < len(document[name]) <= 1024 for name in dimensions)
    names = [metric["Name"] for metric in directive["Metrics"]]
    assert len(set(names)) == len(names)
    assert all(type(document[name]) in (int, float) for name in names)
    return {name: document[name] for name in names}


def test_all_counts_are_metrics_of_the_stage() -> None:
    delivery = Delivery(1, 2, 3, 4, 5, 6, repeated=7)
    line = line_of(delivery)
    assert check(line) == {
        "Targeted": 21,
        "Delivered": 1,
        "Gone": 2,
        "Expired": 3,
        "Slow": 4,
        "Failed": 5,
        "Deferred": 6,
        "Repeated": 7,
        "Duration": 250.0,
        "PayloadBytes": 131,
    }
    document = json.loads(line)
    assert document["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Stage"]]
    assert (document["Stage"], document["Kind"]) == ("prod", "job")
    assert document["_aws"]["Timestamp"] == int(NOW * 1000)


@given(st.lists(st.integers(0, 10**9), min_size=7, max_size=7))
def test_any_delivery_is_one_line_cloudwatch_takes(counts: list[int]) -> None:
    line = line_of(Delivery(*counts))
    assert "\n" not in line
    assert len(line) < 256 * 1024
    assert check(line)["Targeted"] == sum(counts[:6])


@pytest.mark.parametrize("broken", ["Timestamp", "CloudWatchMetrics"])
def test_the_rules_notice_what_is_missing(broken: str) -> None:
    document = json.loads(line_of(Delivery()))
    del document["_aws"][broken]
    with pytest.raises(jsonschema.ValidationError):
        check(json.dumps(document))
