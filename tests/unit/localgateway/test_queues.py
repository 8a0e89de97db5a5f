"""Queues as CloudFormation describes them, and who works them as Lambda would allow it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localgateway.errors import StartError
from localgateway.events import Stage
from localgateway.queues import EventSource, QueueDefinition, queue_name, read_queues

STAGE = Stage(region="eu-central-1", account_id="111122223333")
DEAD = "arn:aws:sqs:eu-central-1:111122223333:dead"


def read(**properties: Any) -> QueueDefinition:
    return QueueDefinition.read({"QueueName": "jobs", **properties}, STAGE)


def test_properties_become_attributes_of_text() -> None:
    queue = read(VisibilityTimeout=60, DelaySeconds="5", ContentBasedDeduplication=False)
    assert queue.name == "jobs"
    assert queue.attributes == {
        "VisibilityTimeout": "60",
        "DelaySeconds": "5",
        "ContentBasedDeduplication": "false",
    }
    assert queue.dead_letter_queue is None


def test_what_a_local_engine_has_no_use_for_is_left_out() -> None:
    assert read(KmsMasterKeyId="alias/x", Tags=[], SqsManagedSseEnabled=True).attributes == {}


@pytest.mark.parametrize(
    "policy",
    [
        {"deadLetterTargetArn": DEAD, "maxReceiveCount": 3},
        {"deadLetterTargetArn": DEAD, "maxReceiveCount": "3"},
        json.dumps({"deadLetterTargetArn": DEAD, "maxReceiveCount": 3}),
        {
            "deadLetterTargetArn": "arn:${Partition}:sqs:${Region}:${AccountId}:dead",
            "maxReceiveCount": 3,
        },
    ],
)
def test_a_redrive_policy_names_a_queue_and_a_count(policy: Any) -> None:
    queue = read(RedrivePolicy=policy)
    assert (queue.dead_letter_queue, queue.max_receive_count) == ("dead", 3)
    assert queue.attributes == {}


def test_a_name_may_hold_the_stages_values() -> None:
    assert read(QueueName="jobs-${Region}").name == "jobs-eu-central-1"


@pytest.mark.parametrize(
    ("properties", "attributes"),
    [
        ({"QueueName": "jobs.fifo", "FifoQueue": True}, {"FifoQueue": "true"}),
        ({"QueueName": "jobs.fifo", "FifoQueue": "true"}, {"FifoQueue": "true"}),
        ({"QueueName": "jobs.fifo"}, {"FifoQueue": "true"}),
        ({"FifoQueue": False}, {}),
    ],
)
def test_a_fifo_queue_has_its_suffix(properties: Any, attributes: Any) -> None:
    assert read(**properties).attributes == attributes


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ("jobs", "queue None"),
        ({}, "queue None"),
        ({"QueueName": ""}, "queue ''"),
        ({"QueueName": "a b"}, "letters, digits"),
        ({"QueueName": "${Stage}"}, "letters, digits"),
        ({"QueueName": "x" * 81}, "letters, digits"),
        ({"QueueName": "jobs", "Visibility": 1}, "unknown Visibility; known: QueueName"),
        ({"QueueName": "jobs", "FifoQueue": True}, "go together"),
        ({"QueueName": "jobs.fifo", "FifoQueue": False}, "go together"),
        ({"QueueName": "jobs", "RedrivePolicy": {}}, "deadLetterTargetArn"),
        ({"QueueName": "jobs", "RedrivePolicy": "{"}, "deadLetterTargetArn"),
        (
            {
                "QueueName": "jobs",
                "RedrivePolicy": {"deadLetterTargetArn": DEAD, "maxReceiveCount": 0},
            },
            "from 1 to 1000",
        ),
    ],
)
def test_a_queue_sqs_would_refuse_is_refused_at_start(properties: Any, words: str) -> None:
    with pytest.raises(StartError, match=words):
        QueueDefinition.read(properties, STAGE)


def test_of_two_queues_of_one_name_the_later_counts() -> None:
    first, second = {"QueueName": "a", "DelaySeconds": 1}, {"QueueName": "a", "DelaySeconds": 2}
    (queue,) = read_queues([first, second], STAGE)
    assert queue.attributes == {"DelaySeconds": "2"}


def test_a_queue_is_known_by_its_arn_or_its_name() -> None:
    assert queue_name(DEAD) == queue_name("dead") == "dead"


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("jobs", {"batch_size": 1}),
        ("jobs", {"batch_size": 10_000, "batching_window": 1}),
        ("jobs", {"batching_window": 300}),
        ("jobs", {"maximum_concurrency": 2}),
        ("jobs", {"maximum_concurrency": 1000}),
        ("jobs.fifo", {"batch_size": 10}),
    ],
)
def test_a_mapping_lambda_takes_is_taken(name: str, settings: Any) -> None:
    assert EventSource("work", name, **settings).function == "work"


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("jobs", {"batch_size": 0}),
        ("jobs", {"batch_size": 11}),
        ("jobs", {"batch_size": 10_001, "batching_window": 1}),
        ("jobs", {"batching_window": -1}),
        ("jobs", {"batching_window": 301}),
        ("jobs", {"maximum_concurrency": 1}),
        ("jobs", {"maximum_concurrency": 1001}),
        ("jobs.fifo", {"batch_size": 11, "batching_window": 1}),
        ("jobs.fifo", {"batching_window": 1}),
    ],
)
def test_a_mapping_lambda_would_refuse_is_refused_at_start(name: str, settings: Any) -> None:
    with pytest.raises(StartError, match=f"work on queue {name}: "):
        EventSource("work", name, **settings)
