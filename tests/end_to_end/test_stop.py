"""Stopping in the middle of everything leaves no traceback and no process."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.gateway_process import GatewayProcess
from tests.gateway_under_test import NET


def flood(gateway: GatewayProcess) -> None:
    client = gateway.connect(header={"token": "hello"})
    for number in range(200):
        client.send(json.dumps({"action": "ping", "id": number}))
    client.shutdown()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_flood_does_not_keep_it_from_stopping_cleanly(number: signal.Signals) -> None:
    with GatewayProcess("--stage", "local") as gateway:
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda _: flood(gateway), range(30)))
            gateway.process.send_signal(number)
        assert gateway.process.wait(NET) == 0
        assert "Traceback" not in gateway.output
