from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import closing

import pytest

from localgateway.errors import StartError
from localgateway.run import listen, stop_on_signals

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_second_gateway_on_the_port_fails_before_the_first_serves() -> None:
    with closing(listen("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port} on 127.0.0.1 cannot be used"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_not_lost_when_the_loops_pipe_is_full(number: signal.Signals) -> None:
    async def main() -> None:
        stop = stop_on_signals()
        loop = asyncio.get_running_loop()
        # As thousands of functions that end while the loop is busy: each writes to its pipe.
        for _ in range(20_000):
            loop.call_soon_threadsafe(lambda: None)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 30)

    asyncio.run(main())
