"""A queue's function is invoked as Lambda's event source mapping invokes it."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from localgateway.database import EmbeddedDatabase
from localgateway.definition import ApiDefinition
from localgateway.errors import StartError
from localgateway.limits import Limits
from localgateway.queues import EventSource
from tests.gateway_under_test import GatewayUnderTest, Handler, eventually

ACCOUNT = "arn:aws:sqs:us-east-1:123456789012"


@pytest.fixture
def sqs(database: EmbeddedDatabase) -> Iterator[Any]:
    client = boto3.client("sqs", endpoint_url=database.endpoint_url)
    yield client
    client.close()


@pytest.fixture
def name() -> str:
    return f"q-{uuid.uuid4().hex}"


Work = Callable[..., GatewayUnderTest]


@pytest.fixture
def work(database: EmbeddedDatabase, name: str) -> Iterator[Work]:
    """Let a function work the queue; keyword arguments are the event source's.

    What is received is hidden for 30 seconds: however late it is deleted, it does not come again.
    """
    running: list[GatewayUnderTest] = []

    def start(
        function: Handler,
        *,
        queues: list[dict[str, Any]] | None = None,
        queue: str = name,
        deliveries: int = 1,
        limits: Limits | None = None,
        function_timeouts: dict[str, int] | None = None,
        **settings: Any,
    ) -> GatewayUnderTest:
        gateway = GatewayUnderTest(ApiDefinition(routes={}), {"work": function}, limits)
        running.append(gateway)
        gateway.work_queues(
            database.endpoint_url,
            [{"QueueName": queue}] if queues is None else queues,
            [EventSource("work", queue, **settings)],
            deliveries=deliveries,
            function_timeouts=function_timeouts,
        )
        return gateway

    yield start
    for gateway in running:
        gateway.stop()


def forgetful(name: str) -> list[dict[str, Any]]:
    """Declare a queue on which what was not deleted soon comes again."""
    return [{"QueueName": name, "VisibilityTimeout": 1}]


def url(sqs: Any, name: str) -> str:
    found: str = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    return found


def send(sqs: Any, name: str, *bodies: str, **options: Any) -> None:
    entries = [{"Id": str(n), "MessageBody": body, **options} for n, body in enumerate(bodies)]
    sqs.send_message_batch(QueueUrl=url(sqs, name), Entries=entries)


def count(sqs: Any, name: str) -> int:
    """Return how many messages a queue has, hidden ones too."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = sqs.get_queue_attributes(QueueUrl=url(sqs, name), AttributeNames=names)
    return sum(int(value) for value in answer["Attributes"].values())


def bodies(gateway: GatewayUnderTest) -> list[list[str]]:
    return [[record["body"] for record in event["Records"]] for event in gateway.events("work")]


def nothing(_event: Any, _context: Any) -> None:
    """Handle whatever it is."""


def fail(_event: Any, _context: Any) -> None:
    raise RuntimeError("no secret in here")


class Gate:
    """Holds every invocation until it is opened; remembers how many there were at once."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.at_once = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, _event: Any, _context: Any) -> None:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        self.is_open.wait(30)
        with self._lock:
            self.at_once -= 1


def test_what_was_handled_is_deleted(work: Work, sqs: Any, name: str) -> None:
    gateway = work(nothing)
    send(sqs, name, "hello")
    gateway.wait_for("work")
    eventually(lambda: count(sqs, name) == 0)
    assert bodies(gateway) == [["hello"]]


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_a_batch_has_at_most_its_size(work: Work, sqs: Any, name: str, batch_size: int) -> None:
    sqs.create_queue(QueueName=name)
    send(sqs, name, *map(str, range(10)))
    gateway = work(nothing, queues=[], batch_size=batch_size)
    eventually(lambda: sum(map(len, bodies(gateway))) == 10)
    assert max(map(len, bodies(gateway))) == batch_size
    assert sorted(body for batch in bodies(gateway) for body in batch) == list("0123456789")


def test_a_batching_window_waits_for_more(work: Work, sqs: Any, name: str) -> None:
    gateway = work(nothing, queues=[], batch_size=20, batching_window=60)
    send(sqs, name, *map(str, range(10)))
    send(sqs, name, *map(str, range(10, 20)))
    gateway.wait_for("work")
    assert sorted(map(int, bodies(gateway)[0])) == list(range(20))
    assert len(bodies(gateway)) == 1
    eventually(lambda: count(sqs, name) == 0)


def test_a_batching_window_that_ends_hands_over_what_there_is(
    work: Work, sqs: Any, name: str
) -> None:
    gateway = work(nothing, queues=[], batch_size=20, batching_window=1)
    send(sqs, name, "alone")
    gateway.wait_for("work")
    assert bodies(gateway) == [["alone"]]


def test_a_batch_over_six_megabytes_is_two(work: Work, sqs: Any, name: str) -> None:
    sqs.create_queue(QueueName=name)
    for _ in range(7):
        send(sqs, name, "x" * 1_000_000)
    gateway = work(nothing, queues=[], batch_size=10)
    eventually(lambda: sum(map(len, bodies(gateway))) == 7)
    assert sorted(len(batch) for batch in bodies(gateway)) == [1, 6]  # both at the same time
    eventually(lambda: count(sqs, name) == 0)


def test_a_batch_that_failed_comes_again_whole_after_its_visibility_timeout(
    work: Work, sqs: Any, name: str
) -> None:
    times: list[float] = []

    def fail_once(_event: Any, _context: Any) -> None:
        times.append(time.time() * 1000)
        if len(times) == 1:
            raise RuntimeError("the second message is bad")

    sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "2"})
    send(sqs, name, "good", "bad")
    gateway = work(fail_once, queues=[], batch_size=10)
    eventually(lambda: len(times) >= 2)
    first, second = gateway.events("work")[:2]
    assert [len(first["Records"]), len(second["Records"])] == [2, 2]
    counts = [r["attributes"]["ApproximateReceiveCount"] for r in second["Records"]]
    assert counts == ["2", "2"]
    for record in second["Records"]:
        assert times[1] - int(record["attributes"]["ApproximateFirstReceiveTimestamp"]) >= 2000
    eventually(lambda: count(sqs, name) == 0)


def test_what_a_function_answers_counts_only_where_the_mapping_says_so(
    work: Work, sqs: Any, name: str
) -> None:
    def refuse(event: Any, _context: Any) -> Any:
        failed = [{"itemIdentifier": record["messageId"]} for record in event["Records"]]
        return {"batchItemFailures": failed}

    gateway = work(refuse)
    send(sqs, name, "hello")
    gateway.wait_for("work")
    eventually(lambda: count(sqs, name) == 0)


def test_only_messages_named_as_failed_come_again(work: Work, sqs: Any, name: str) -> None:
    def refuse_once(event: Any, _context: Any) -> Any:
        failed = [
            {"itemIdentifier": record["messageId"]}
            for record in event["Records"]
            if record["body"] == "bad" and record["attributes"]["ApproximateReceiveCount"] == "1"
        ]
        return {"batchItemFailures": failed}

    sqs.create_queue(QueueName=name)
    send(sqs, name, "good", "bad")
    gateway = work(refuse_once, queues=[], batch_size=10, reports_item_failures=True)
    records = gateway.wait_for("work")["Records"]
    eventually(lambda: count(sqs, name) == 1)
    (bad,) = (record["receiptHandle"] for record in records if record["body"] == "bad")
    sqs.change_message_visibility(QueueUrl=url(sqs, name), ReceiptHandle=bad, VisibilityTimeout=0)
    gateway.wait_for("work", 2)
    assert [sorted(batch) for batch in bodies(gateway)] == [["bad", "good"], ["bad"]]
    eventually(lambda: count(sqs, name) == 0)


def test_after_its_last_receive_a_message_is_a_dead_letter(work: Work, sqs: Any, name: str) -> None:
    policy = {"deadLetterTargetArn": f"{ACCOUNT}:{name}-dead", "maxReceiveCount": 2}
    jobs = {"QueueName": name, "VisibilityTimeout": 1, "RedrivePolicy": policy}
    gateway = work(fail, queues=[jobs, {"QueueName": f"{name}-dead"}])
    send(sqs, name, "poison")
    eventually(lambda: count(sqs, f"{name}-dead") == 1)
    gateway.wait_for("work", 2)
    assert bodies(gateway) == [["poison"], ["poison"]]
    assert count(sqs, name) == 0


def test_a_maximum_concurrency_bounds_what_runs_at_once(work: Work, sqs: Any, name: str) -> None:
    gate = Gate()
    sqs.create_queue(QueueName=name)
    send(sqs, name, *map(str, range(6)))
    gateway = work(gate, queues=[], batch_size=1, maximum_concurrency=2)
    gateway.wait_for("work", 2)
    time.sleep(0.2)
    assert len(gateway.events("work")) == 2
    assert count(sqs, name) == 6, "what is not worked on is left for others"
    gate.is_open.set()
    eventually(lambda: count(sqs, name) == 0)
    assert gate.most == 2


def test_without_a_maximum_five_batches_run_at_once(work: Work, sqs: Any, name: str) -> None:
    gate = Gate()
    sqs.create_queue(QueueName=name)
    send(sqs, name, *map(str, range(8)))
    gateway = work(gate, queues=[], batch_size=1)
    gateway.wait_for("work", 5)
    time.sleep(0.2)
    gate.is_open.set()
    eventually(lambda: count(sqs, name) == 0)
    assert gate.most == 5


def test_groups_of_a_fifo_queue_keep_their_order(work: Work, sqs: Any, name: str) -> None:
    seen: list[tuple[str, str]] = []
    lock = threading.Lock()

    def slowly(event: Any, _context: Any) -> None:
        for record in event["Records"]:
            time.sleep(0.005)
            with lock:
                seen.append((record["attributes"]["MessageGroupId"], record["body"]))

    fifo = f"{name}.fifo"
    work(slowly, queue=fifo, queues=[{"QueueName": fifo, "FifoQueue": True}], batch_size=2)
    for number in range(10):
        for group in ("a", "b"):
            sqs.send_message(
                QueueUrl=url(sqs, fifo),
                MessageBody=str(number),
                MessageGroupId=group,
                MessageDeduplicationId=f"{group}{number}",
            )
    eventually(lambda: len(seen) == 20)
    for group in ("a", "b"):
        assert [body for g, body in seen if g == group] == list("0123456789")


def test_a_function_over_its_time_limit_has_failed(work: Work, sqs: Any, name: str) -> None:
    gate = Gate()
    gateway = work(gate, queues=forgetful(name), limits=Limits(integration_timeout=0.2))
    send(sqs, name, "slow")
    gateway.wait_for("work", 2)  # it comes again, though the first one runs still
    gate.is_open.set()
    (first, second) = gateway.events("work")[:2]
    assert first["Records"][0]["messageId"] == second["Records"][0]["messageId"]


def test_each_delivery_may_be_made_twice(work: Work, sqs: Any, name: str) -> None:
    gateway = work(nothing, deliveries=2)
    send(sqs, name, "hello")
    gateway.wait_for("work", 2)
    eventually(lambda: count(sqs, name) == 0)
    first, second = gateway.events("work")
    assert first == second


def test_an_invocation_is_a_line_of_the_log_and_a_failure_a_traceback(
    work: Work, sqs: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "localgateway")
    functions = [fail, nothing]

    def succeed_then_fail(event: Any, context: Any) -> None:
        functions.pop()(event, context)

    gateway = work(succeed_then_fail)
    send(sqs, name, "secret body")
    gateway.wait_for("work", 1)
    eventually(lambda: f"{name} work ok" in caplog.text)
    assert ", 1 message\n" in caplog.text
    send(sqs, name, "secret body")
    eventually(lambda: f"{name} work error" in caplog.text)
    assert "Traceback" in caplog.text
    assert "secret body" not in caplog.text


def test_a_queue_nobody_declares_is_created_and_named(
    work: Work, sqs: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = work(nothing, queues=[], function_timeouts={"work": 60})
    assert caplog.text.count(f"queue {name}, which work works, is in no definition") == 1
    assert len(caplog.records) == 1, "that it has SQS's defaults is said already"
    send(sqs, name, "hello")
    gateway.wait_for("work")


def test_a_fifo_queue_nobody_declares_is_one(work: Work, sqs: Any, name: str) -> None:
    work(nothing, queues=[], queue=f"{name}.fifo")
    attributes = sqs.get_queue_attributes(
        QueueUrl=url(sqs, f"{name}.fifo"), AttributeNames=["FifoQueue"]
    )
    assert attributes["Attributes"] == {"FifoQueue": "true"}


def test_a_queue_that_is_there_is_left_as_it_is(
    work: Work, sqs: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "77"})
    send(sqs, name, "hello")
    gateway = work(nothing, queues=forgetful(name))
    gateway.wait_for("work")
    names = ["VisibilityTimeout"]
    answer = sqs.get_queue_attributes(QueueUrl=url(sqs, name), AttributeNames=names)
    assert answer["Attributes"] == {"VisibilityTimeout": "77"}
    assert caplog.text == ""


def test_a_queue_that_is_there_need_not_be_declared(
    work: Work, sqs: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    sqs.create_queue(QueueName=name)
    send(sqs, name, "hello")
    work(nothing, queues=[]).wait_for("work")
    assert caplog.text == ""


@pytest.mark.parametrize(("timeout", "warned"), [(1, False), (2, True)])
def test_a_visibility_timeout_under_the_functions_time_limit_is_named(
    work: Work, name: str, caplog: pytest.LogCaptureFixture, timeout: int, warned: bool
) -> None:
    work(nothing, queues=forgetful(name), function_timeouts={"work": timeout})
    words = f"queue {name}: its visibility timeout of 1 s is under the time limit of work, 2 s"
    assert (words in caplog.text) is warned


def test_a_dead_letter_queue_that_is_not_there_is_refused_at_start(work: Work, name: str) -> None:
    policy = {"deadLetterTargetArn": f"{ACCOUNT}:nowhere", "maxReceiveCount": 2}
    with pytest.raises(StartError, match="dead letter queue nowhere is not there"):
        work(nothing, queues=[{"QueueName": name, "RedrivePolicy": policy}])


def test_what_the_engine_refuses_is_said_at_start(work: Work, name: str) -> None:
    with pytest.raises(StartError, match=f"queue {name}: CreateQueue: .*VisibilityTimeout"):
        work(nothing, queues=[{"QueueName": name, "VisibilityTimeout": 99_999}])


def test_a_queue_that_is_gone_is_said_once_and_polled_again(
    work: Work, sqs: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = work(nothing, limits=Limits(queue_concurrency=1))
    send(sqs, name, "hello")
    gateway.wait_for("work")
    eventually(lambda: count(sqs, name) == 0)  # or deleting the message fails first
    sqs.delete_queue(QueueUrl=url(sqs, name))
    eventually(lambda: f"queue {name}: ReceiveMessage" in caplog.text)
    time.sleep(1.2)
    assert caplog.text.count(f"queue {name}: ReceiveMessage") == 1
    sqs.create_queue(QueueName=name)
    send(sqs, name, "again")
    gateway.wait_for("work", 2)


def test_stopping_waits_for_what_is_worked_on_and_takes_no_more(
    work: Work, sqs: Any, name: str
) -> None:
    gate = Gate()
    gateway = work(gate, maximum_concurrency=2, batch_size=1)
    send(sqs, name, "first", "second", "third")
    gateway.wait_for("work", 2)
    stopping = threading.Thread(target=gateway.stop)
    stopping.start()
    eventually(lambda: polls_no_more(gateway))
    gate.is_open.set()
    stopping.join()
    assert len(gateway.events("work")) == 2
    assert count(sqs, name) == 1, "the third is there for whoever polls next"


def polls_no_more(gateway: GatewayUnderTest) -> bool:
    assert gateway._queues is not None
    return all(task.done() for task in gateway._queues._tasks)


def test_what_is_not_done_in_time_when_stopping_is_not_lost(
    work: Work, sqs: Any, name: str
) -> None:
    gate = Gate()
    gateway = work(gate, queues=forgetful(name))
    send(sqs, name, "slow")
    gateway.wait_for("work")
    gateway.stop()  # the function runs for longer than stopping takes
    assert count(sqs, name) == 1
    answer = sqs.receive_message(QueueUrl=url(sqs, name), WaitTimeSeconds=20)
    assert [message["Body"] for message in answer["Messages"]] == ["slow"]
    gate.is_open.set()
