"""Stopping in the middle of everything leaves no traceback and no process."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from tests.end_to_end.conftest import Serve
from tests.end_to_end.wire import logged, nothing_left
from tests.gateway_process import GatewayProcess
from tests.gateway_under_test import NET


def flood(gateway: GatewayProcess) -> None:
    client = gateway.connect(header={"token": "hello"})
    for number in range(200):
        client.send(json.dumps({"action": "ping", "id": number}))
    client.shutdown()


def test_what_outlives_the_port_fails_unheard(serve: Serve) -> None:
    host, port = "127.0.0.1", 0

    def call_back(_event: Any, _context: Any) -> None:
        with closing(http.client.HTTPConnection(host, port, timeout=NET)) as connection:
            while True:
                connection.request("GET", "/")
                connection.getresponse().read()

    gateway = serve(message=call_back)
    port = int(gateway.address.partition(":")[2])
    with logged() as log:
        gateway.connect().send("hello")
        gateway.wait_for("message")
        stopping = gateway.server.stop(seconds=0.1)
        asyncio.run_coroutine_threadsafe(stopping, gateway.loop).result(NET)
        nothing_left(gateway)
    assert [record.getMessage() for record in log.records] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_flood_does_not_keep_it_from_stopping_cleanly(number: signal.Signals) -> None:
    with GatewayProcess("--stage", "local") as gateway:
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda _: flood(gateway), range(30)))
            gateway.process.send_signal(number)
        assert gateway.process.wait(NET) == 0
        assert "Traceback" not in gateway.output
