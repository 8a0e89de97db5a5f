"""The app with a queue: what a message hands over, and the function that works it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
from chalice.app import SQSEventConfig
from chalice.test import Client

from chalicelib import bootstrap
from chalicelib.bootstrap import Services
from chalicelib.connections import EVERYONE
from chalicelib.delivery_settings import DeliverySettings
from chalicelib.errors import UnexpectedEvent
from tests.app_with_queue import app_with_queue
from tests.factories import CONNECTION_ID, make_connection, make_settings, message_event
from tests.fakes import (
    FakeManagementAPI,
    InMemoryConnectionRepository,
    InMemoryQueue,
)
from tests.services import make_services


@pytest.fixture(scope="module")
def app_module() -> Iterator[ModuleType]:
    """The app as it is imported where a queue is named."""
    with app_with_queue("deliveries") as module:
        yield module


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    delivery = DeliverySettings(queue_name="deliveries", fanout_threshold=20)
    settings = make_settings(delivery=delivery)
    with ThreadPoolExecutor(4) as executor:
        services = make_services(
            executor,
            settings,
            connections=InMemoryConnectionRepository(everyone_shards=3),
            queue=InMemoryQueue(),
        )
        monkeypatch.setattr(bootstrap, "services", lambda: services)
        yield services


@pytest.fixture
def client(app_module: ModuleType, services: Services) -> Iterator[Client]:
    with Client(app_module.app, stage_name="local") as client:
        yield client


def sqs_event(client: Client, body: str) -> dict[str, Any]:
    event: dict[str, Any] = client.events.generate_sqs_event([body], "deliveries")
    return event


def test_the_function_is_subscribed_to_the_queue_one_task_at_a_time(app_module: ModuleType) -> None:
    (source,) = [it for it in app_module.app.event_sources if isinstance(it, SQSEventConfig)]
    assert (source.name, source.queue, source.batch_size, source.maximum_concurrency) == (
        "websocket_deliver",
        "deliveries",
        1,
        4,
    )


def test_a_large_audience_is_told_at_once_in_part_and_then_by_the_queue(
    client: Client, services: Services
) -> None:
    names = [CONNECTION_ID, *(f"connection-{number}" for number in range(99))]
    for name in names:
        services.connections.add(make_connection(name))
    body = '{"action":"sendmessage","message":"hello","id":1}'
    client.lambda_.invoke("websocket_message", message_event(body, "sendmessage"))
    management_api = services.management_api("a1", "dev")
    assert isinstance(management_api, FakeManagementAPI)
    assert isinstance(services.queue, InMemoryQueue)
    reply = json.loads(management_api.posts[CONNECTION_ID][-1])
    assert reply["result"]["delivery"]["delivered"] == 20
    assert reply["result"]["jobId"] == reply["result"]["messageId"]
    for task in list(services.queue.bodies):
        client.lambda_.invoke("websocket_deliver", sqs_event(client, task))
    report = services.job_store().report(reply["result"]["jobId"])
    assert report is not None
    assert report.is_done
    assert report.job.audience == EVERYONE
    assert report.counts["delivered"] == 80
    messages = [
        json.loads(post)["messageId"]
        for name in names
        for post in management_api.posts[name]
        if json.loads(post)["type"] == "message"
    ]
    assert messages == [reply["result"]["messageId"]] * 100


def test_what_is_no_task_of_ours_fails_and_goes_to_the_dead_letters(client: Client) -> None:
    with pytest.raises(UnexpectedEvent):
        client.lambda_.invoke("websocket_deliver", sqs_event(client, '{"shard":1}'))
