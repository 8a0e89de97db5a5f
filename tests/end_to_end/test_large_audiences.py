"""A large audience, from one message to the last receiver, with the queue of the local gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway_process import GatewayProcess
from tests.gateway_under_test import eventually

TOKEN = {"token": "hello"}
MEMBERS = 60


@pytest.fixture(scope="module", params=["once", "twice"])
def gateway(request: pytest.FixtureRequest) -> Iterator[GatewayProcess]:
    """Send to ten at once, the rest by the queue, which may deliver each task twice."""
    settings = ("FANOUT_THRESHOLD=10", "EVERYONE_SHARDS=4")
    options = [option for setting in settings for option in ("--env", setting)]
    with GatewayProcess("--stage", "local", "--deliveries", request.param, *options) as running:
        yield running


def numbers(item: Any, name: str) -> int:
    return int(item["counts"]["M"][name]["N"])


def test_everyone_receives_a_message_once_and_the_job_accounts_for_the_rest(
    gateway: GatewayProcess,
) -> None:
    clients = [gateway.connect(header=TOKEN) for _ in range(MEMBERS)]
    clients[0].send(json.dumps({"action": "sendmessage", "message": "hello", "id": 1}))
    received: list[list[Any]] = [[] for _ in clients]
    for client, frames in zip(clients, received, strict=True):
        frames.append(json.loads(client.recv()))
    while all(frame["type"] == "message" for frame in received[0]):
        received[0].append(json.loads(clients[0].recv()))
    (reply,) = [frame["result"] for frame in received[0] if frame["type"] == "reply"]
    assert reply["delivery"]["delivered"] == 10
    assert reply["jobId"] == reply["messageId"]

    def slices() -> list[Any]:
        return [item for item in gateway.items() if item["sk"]["S"].startswith("slice#")]

    eventually(lambda: all("doneAt" in item for item in slices()))
    assert sum(numbers(item, "delivered") for item in slices()) == MEMBERS - 10
    assert sum(numbers(item, "repeated") for item in slices()) == 0
    for client, frames in zip(clients, received, strict=True):
        client.send(json.dumps({"action": "ping"}))  # whatever came before has been received then
        while frames[-1].get("result", {}).get("time") is None:
            frames.append(json.loads(client.recv()))
        messages = [frame["messageId"] for frame in frames if frame["type"] == "message"]
        assert messages == [reply["messageId"]]
        client.close()
