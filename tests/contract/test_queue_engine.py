"""The embedded engine's queues as boto3 and the application's own signed client meet them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from chalicelib.aws import Credentials, SignedClient, Signer
from localgateway.database import EmbeddedDatabase

REGION = "eu-central-1"
# Answers a call as the engine does, and says which of MiniStack's services are loaded by then.
LOADING = """
import asyncio, sys
from localgateway.database_process import Engine, _service
from localgateway.http_messages import HttpRequest

async def main():
    engine = Engine(_service())
    for target in ("DynamoDB_20120810.ListTables", "AmazonSQS.ListQueues"):
        headers = (("X-Amz-Target", target),)
        response = await engine.respond(HttpRequest("POST", "/", headers, b"{}"))
        services = [n for n in ("dynamodb", "sqs") if f"ministack.services.{n}" in sys.modules]
        print(response.status, *services)

asyncio.run(main())
"""
BODIES = ["plain", "né ☃ 𝄞", '<a href="x">&amp;</a>\r\n\t\\', "[]", " ", "x" * 200_000]


def sqs_client(endpoint_url: str) -> Any:
    return boto3.client(
        "sqs",
        endpoint_url=endpoint_url,
        region_name=REGION,
        # A poll of twenty seconds that is not woken fails, and does not just take its time.
        config=Config(retries={"total_max_attempts": 1}, read_timeout=10),
    )


@pytest.fixture
def sqs(database: EmbeddedDatabase) -> Iterator[Any]:
    client = sqs_client(database.endpoint_url)
    yield client
    client.close()


@pytest.fixture
def name() -> str:
    return f"q-{uuid.uuid4().hex}"


@pytest.fixture
def queue(sqs: Any, name: str) -> str:
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url


def received(sqs: Any, queue: str, wait: int = 20, **options: Any) -> list[dict[str, Any]]:
    answer = sqs.receive_message(
        QueueUrl=queue,
        WaitTimeSeconds=wait,
        MaxNumberOfMessages=10,
        AttributeNames=["All"],
        MessageAttributeNames=["All"],
        **options,
    )
    messages: list[dict[str, Any]] = answer.get("Messages", [])
    return messages


def test_a_queue_has_a_url_on_this_machine_and_an_arn_of_its_region(
    sqs: Any, queue: str, name: str, database: EmbeddedDatabase
) -> None:
    assert queue == f"{database.endpoint_url}/123456789012/{name}"
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == queue
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    assert attributes["Attributes"]["QueueArn"] == f"arn:aws:sqs:{REGION}:123456789012:{name}"


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:8]))
def test_a_body_arrives_as_it_was_sent(sqs: Any, queue: str, body: str) -> None:
    attributes = {
        "text": {"DataType": "String", "StringValue": "né"},
        "bytes": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
    }
    sqs.send_message(QueueUrl=queue, MessageBody=body, MessageAttributes=attributes)
    (message,) = received(sqs, queue)
    assert message["Body"] == body
    assert message["MessageAttributes"] == attributes
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"


def test_batches_are_sent_hidden_and_deleted(sqs: Any, queue: str) -> None:
    entries = [{"Id": str(number), "MessageBody": f"m{number}"} for number in range(10)]
    assert len(sqs.send_message_batch(QueueUrl=queue, Entries=entries)["Successful"]) == 10
    messages = received(sqs, queue)
    assert sorted(message["Body"] for message in messages) == [f"m{n}" for n in range(10)]
    handles = [{"Id": m["Body"], "ReceiptHandle": m["ReceiptHandle"]} for m in messages]
    hidden = [{**entry, "VisibilityTimeout": 0} for entry in handles[:3]]
    sqs.change_message_visibility_batch(QueueUrl=queue, Entries=hidden)
    again = received(sqs, queue)
    assert {m["Body"] for m in again} == {entry["Id"] for entry in hidden}
    handles[:3] = [{"Id": m["Body"], "ReceiptHandle": m["ReceiptHandle"]} for m in again]
    answer = sqs.delete_message_batch(QueueUrl=queue, Entries=handles)
    assert len(answer["Successful"]) == 10
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "0"
    assert attributes["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_a_long_poll_ends_with_the_first_message(
    sqs: Any, queue: str, database: EmbeddedDatabase
) -> None:
    found: list[dict[str, Any]] = []
    polled = threading.Event()

    def poll() -> None:
        client = sqs_client(database.endpoint_url)
        client.meta.events.register("before-send.sqs", lambda **_: polled.set())
        found.extend(received(client, queue, wait=20))
        client.close()

    thread = threading.Thread(target=poll)
    thread.start()
    assert polled.wait(60)
    time.sleep(0.1)  # it is the engine that waits now
    sqs.send_message(QueueUrl=queue, MessageBody="hello")
    thread.join(60)
    assert [message["Body"] for message in found] == ["hello"]


def test_a_poll_without_a_message_ends_when_its_time_is_over(sqs: Any, queue: str) -> None:
    started = time.monotonic()
    assert received(sqs, queue, wait=0) == []
    assert received(sqs, queue, wait=1) == []
    assert time.monotonic() - started >= 1


def test_a_queue_may_say_how_long_polls_wait(sqs: Any, queue: str) -> None:
    attributes = {"ReceiveMessageWaitTimeSeconds": "1"}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=attributes)
    started = time.monotonic()
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)
    assert time.monotonic() - started >= 1


def test_a_poll_meets_a_message_that_is_delayed(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="later", DelaySeconds=1)
    (message,) = received(sqs, queue)
    times = message["Attributes"]
    waited = int(times["ApproximateFirstReceiveTimestamp"]) - int(times["SentTimestamp"])
    assert waited >= 1000


def test_a_poll_meets_a_message_that_can_be_seen_again(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="again")
    started = time.monotonic()
    (first,) = received(sqs, queue, VisibilityTimeout=1)
    (second,) = received(sqs, queue)
    assert time.monotonic() - started >= 1
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    assert second["ReceiptHandle"] != first["ReceiptHandle"]


def test_a_message_received_too_often_goes_to_the_dead_letter_queue(
    sqs: Any, queue: str, name: str
) -> None:
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:123456789012:{name}-dead"
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": policy})
    sent = sqs.send_message(QueueUrl=queue, MessageBody="poison")["MessageId"]
    for _ in range(2):
        assert len(received(sqs, queue, VisibilityTimeout=0)) == 1
    assert received(sqs, queue, wait=0) == []
    (message,) = received(sqs, dead, wait=0)
    assert message["MessageId"] == sent
    source = message["Attributes"]["DeadLetterQueueSourceArn"]
    assert source == f"arn:aws:sqs:{REGION}:123456789012:{name}"


def test_a_poll_of_a_dead_letter_queue_meets_what_is_moved_there(
    sqs: Any, queue: str, name: str, database: EmbeddedDatabase
) -> None:
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:123456789012:{name}-dead"
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": policy})
    found: list[dict[str, Any]] = []

    def poll() -> None:
        client = sqs_client(database.endpoint_url)
        found.extend(received(client, dead, wait=20))
        client.close()

    sqs.send_message(QueueUrl=queue, MessageBody="poison")
    assert len(received(sqs, queue, VisibilityTimeout=1)) == 1
    thread = threading.Thread(target=poll)
    thread.start()
    assert received(sqs, queue, wait=2) == [], "whoever polls next finds that it is dead"
    thread.join(60)
    assert [message["Body"] for message in found] == ["poison"]


def test_a_group_of_a_fifo_queue_is_received_in_order_one_after_the_other(
    sqs: Any, name: str
) -> None:
    queue = sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    for number in range(3):
        sqs.send_message(
            QueueUrl=queue,
            MessageBody=str(number),
            MessageGroupId="a",
            MessageDeduplicationId=str(number),
        )
    first = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1)["Messages"]
    assert [message["Body"] for message in first] == ["0"]
    assert received(sqs, queue, wait=0) == [], "while one is worked on, its group waits"
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=first[0]["ReceiptHandle"])
    assert [message["Body"] for message in received(sqs, queue)] == ["1", "2"]


def test_a_url_written_down_for_aws_means_the_queue_of_that_name(
    sqs: Any, queue: str, name: str
) -> None:
    url = f"https://sqs.{REGION}.amazonaws.com/999999999999/{name}"
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    assert [message["Body"] for message in received(sqs, queue)] == ["hello"]


def test_a_queue_of_another_region_is_another(queue: str, name: str, sqs: Any) -> None:
    other = boto3.client("sqs", endpoint_url=sqs.meta.endpoint_url, region_name="us-west-2")
    with pytest.raises(other.exceptions.QueueDoesNotExist):
        other.get_queue_url(QueueName=name)
    other.close()


def test_errors_have_the_names_botocore_knows(sqs: Any, queue: str) -> None:
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        received(sqs, f"{queue}-missing")
    with pytest.raises(sqs.exceptions.EmptyBatchRequest):
        sqs.delete_message_batch(QueueUrl=queue, Entries=[])


def signed(database: EmbeddedDatabase) -> SignedClient:
    return SignedClient(
        database.endpoint_url,
        Signer(REGION, "sqs"),
        lambda: Credentials("local", "local"),
        time.time,
    )


def call(client: SignedClient, operation: str, payload: bytes) -> tuple[int, Any]:
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": f"AmazonSQS.{operation}",
    }
    response = client.call("POST", "/", payload, headers)
    return response.status, json.loads(response.body)


def test_the_applications_own_client_reaches_it(
    database: EmbeddedDatabase, sqs: Any, queue: str
) -> None:
    client = signed(database)
    payload = json.dumps({"QueueUrl": queue, "MessageBody": "né"}).encode()
    status, answer = call(client, "SendMessage", payload)
    client.close()
    assert status == 200
    (message,) = received(sqs, queue)
    assert (message["MessageId"], message["Body"]) == (answer["MessageId"], "né")


@pytest.mark.parametrize("payload", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_call_is_refused(database: EmbeddedDatabase, payload: bytes) -> None:
    client = signed(database)
    status, answer = call(client, "SendMessage", payload)
    client.close()
    assert (status, answer) == (400, {"__type": "SerializationException"})


def test_queues_are_loaded_at_the_first_call_to_them() -> None:
    command = [sys.executable, "-c", LOADING]
    output = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert output.splitlines() == ["200 dynamodb", "200 dynamodb sqs"]
