"""Queues of apps in processes of their own, as a user meets them."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest

from localgateway.database import EmbeddedDatabase
from tests.fakes import refusing_port
from tests.gateway_process import ROOT, GatewayProcess
from tests.gateway_under_test import eventually

ORDERS = ROOT / "tests" / "projects" / "orders"
TEMPLATE = ("--template", str(ORDERS / "resources.yaml"))
WORKED = re.compile(r"jobs work ok \d+\.\d ms, 1 message\n")
CONFIG = {
    "version": "2.0",
    "app_name": "small",
    "lambda_timeout": 10,
    "stages": {"dev": {"api_gateway_stage": "api"}},
}
APP = """
import os, time
import boto3
from chalice import Chalice
app = Chalice(app_name="small")

@app.on_sqs_message(queue="jobs")
def work(event):
    print("at work", flush=True)
    time.sleep(float(os.environ.get("SECONDS", 0)))
    print("done with", [record.body for record in event], flush=True)

@app.route("/send")
def send():
    sqs = boto3.client("sqs")
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="jobs")["QueueUrl"], MessageBody="hello")
    return {}
"""
DEFINITION = """
def websocket_api_definition():
    dead = "arn:${Partition}:sqs:${Region}:${AccountId}:dead"
    return {
        "queues": [
            {"QueueName": "dead"},
            {
                "QueueName": "jobs",
                "VisibilityTimeout": 10,
                "RedrivePolicy": {"deadLetterTargetArn": dead, "maxReceiveCount": 3},
            },
        ]
    }
"""


def project(directory: Path, app: str = APP) -> Path:
    (directory / ".chalice").mkdir()
    (directory / ".chalice" / "config.json").write_text(json.dumps(CONFIG))
    (directory / "app.py").write_text(app)
    return directory


def queues_url(gateway: GatewayProcess) -> str:
    found = re.search(r"Queues +(\S+)", gateway.output)
    assert found is not None, gateway.output
    return found[1]


def sqs_client(endpoint_url: str) -> Any:
    return boto3.client("sqs", endpoint_url=endpoint_url)


def send(gateway: GatewayProcess, body: str = "hello") -> None:
    with closing(sqs_client(queues_url(gateway))) as sqs:
        url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=body)


@pytest.fixture(scope="module")
def orders() -> Iterator[GatewayProcess]:
    """A kitchen: a WebSocket handler sends, a queue's function works and answers."""
    with GatewayProcess(*TEMPLATE, project=ORDERS) as running:
        yield running


def test_what_a_websocket_handler_sends_a_queues_function_answers(orders: GatewayProcess) -> None:
    client = orders.connect()
    client.send("soup")
    assert client.recv() == "soup for table 7"
    for dish in ("né", "rice", "beans"):
        client.send(dish)
    answers = {client.recv() for _ in range(3)}
    assert answers == {"né for table 7", "rice for table 7", "beans for table 7"}
    client.close()


def test_what_fails_twice_is_answered_from_the_dead_letter_queue(orders: GatewayProcess) -> None:
    client = orders.connect()
    client.send("soufflé")
    assert client.recv() == "no soufflé today"
    client.close()
    eventually(lambda: orders.output.count("RuntimeError: it has collapsed") == 2)


def test_queues_and_their_functions_are_named_at_start(orders: GatewayProcess) -> None:
    assert f"  Queues          {orders.database_url}\n" in orders.output
    assert "                  orders: cook\n" in orders.output
    assert "                  burnt-orders: apologize\n" in orders.output
    assert "is under the time limit of apologize" not in orders.output


def test_an_app_of_queues_alone_is_served(tmp_path: Path) -> None:
    with GatewayProcess(project=project(tmp_path, APP + DEFINITION)) as gateway:
        assert "WebSocket" not in gateway.output
        send(gateway)
        eventually(lambda: "done with ['hello']" in gateway.output)
        eventually(lambda: WORKED.search(gateway.output) is not None)
        with closing(sqs_client(queues_url(gateway))) as sqs:
            url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]
            names = ["RedrivePolicy", "VisibilityTimeout"]
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        assert attributes["VisibilityTimeout"] == "10"
        assert json.loads(attributes["RedrivePolicy"]) == {
            "deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:dead",
            "maxReceiveCount": 3,
        }


def test_a_queue_nobody_declares_is_named_once(tmp_path: Path) -> None:
    with GatewayProcess(project=project(tmp_path)) as gateway:
        assert gateway.output.count("queue jobs, which work works, is in no definition") == 1
        send(gateway)
        eventually(lambda: "done with" in gateway.output)


def test_a_delivery_may_be_repeated(tmp_path: Path) -> None:
    with GatewayProcess("--deliveries", "twice", project=project(tmp_path)) as gateway:
        send(gateway)
        eventually(lambda: gateway.output.count("done with ['hello']") == 2)


def test_ctrl_c_waits_for_what_is_worked_on(tmp_path: Path) -> None:
    with GatewayProcess("--env", "SECONDS=0.5", project=project(tmp_path)) as gateway:
        send(gateway)
        eventually(lambda: "at work" in gateway.output)
        output = gateway.stop()
    assert gateway.process.returncode == 0
    assert "done with ['hello']" in output
    assert WORKED.search(output)
    assert "Traceback" not in output


def test_ctrl_c_does_not_wait_for_ever(tmp_path: Path) -> None:
    with GatewayProcess("--env", "SECONDS=60", project=project(tmp_path)) as gateway:
        send(gateway)
        eventually(lambda: "at work" in gateway.output)
        output = gateway.stop()  # within the ten seconds it is given
    assert gateway.process.returncode == 0
    assert "done with" not in output
    assert "Traceback" not in output


def test_queues_elsewhere_keep_what_was_not_done(
    tmp_path: Path, database: EmbeddedDatabase
) -> None:
    app = (APP + DEFINITION).replace("jobs", "kept-jobs").replace('Timeout": 10', 'Timeout": 4')
    # The poll of a gateway that has gone may still take it, and so may one that is slow to go.
    app = app.replace('ReceiveCount": 3', 'ReceiveCount": 100')
    directory = project(tmp_path, app)
    elsewhere = ("--queues", database.endpoint_url)
    slow = ("--env", "SECONDS=60")
    with GatewayProcess("--no-database", *elsewhere, *slow, project=directory) as gateway:
        assert queues_url(gateway) == database.endpoint_url
        assert gateway.database_url == ""
        with closing(sqs_client(database.endpoint_url)) as sqs:
            url = sqs.get_queue_url(QueueName="kept-jobs")["QueueUrl"]
            sqs.send_message(QueueUrl=url, MessageBody="hello")
        eventually(lambda: "at work" in gateway.output)
    with GatewayProcess(*elsewhere, project=directory) as gateway:
        assert gateway.database_url not in {"", database.endpoint_url}
        eventually(lambda: "done with ['hello']" in gateway.output, seconds=60)


def test_a_database_elsewhere_leaves_queues_in_the_embedded_engine(
    tmp_path: Path, database: EmbeddedDatabase
) -> None:
    arguments = ("--database", database.endpoint_url)
    with GatewayProcess(*arguments, project=project(tmp_path)) as gateway:
        assert gateway.database_url == database.endpoint_url
        assert queues_url(gateway) != database.endpoint_url
        send(gateway)
        eventually(lambda: "done with" in gateway.output)


@pytest.mark.parametrize("definition", ["", DEFINITION], ids=["a handler", "a definition"])
def test_queues_that_are_not_there_are_said_in_one_line(tmp_path: Path, definition: str) -> None:
    with refusing_port() as port:
        url = f"http://127.0.0.1:{port}"
        with pytest.raises(AssertionError, match=f"the queues at {url}: .*no answer") as raised:
            GatewayProcess("--queues", url, project=project(tmp_path, APP + definition))
    assert "Traceback" not in str(raised.value)


def test_without_an_engine_it_is_said_what_does_not_run(tmp_path: Path) -> None:
    with GatewayProcess("--no-database", project=project(tmp_path)) as gateway:
        assert "with --no-database there is no queue, no work; see --queues" in gateway.output
        assert "Queues" not in gateway.output


def test_a_port_an_engine_for_queues_cannot_have_is_said_in_one_line(
    tmp_path: Path, database: EmbeddedDatabase
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        arguments = ("--database", database.endpoint_url, "--database-port", port)
        with pytest.raises(AssertionError, match=f"port {port}, where the embedded database goes"):
            GatewayProcess(*arguments, project=project(tmp_path))
