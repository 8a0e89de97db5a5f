"""Broadcasts to thousands of real clients of the local gateway: who received what how often."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from functools import partial
from typing import Any

from benchmarks import processes
from benchmarks.client import Client
from benchmarks.load import close_all, open_many, settle
from benchmarks.server_process import gateway
from benchmarks.target import Target, say

_ROUNDS = 3
_SECONDS = 60.0
_MIB = 1024 * 1024


def measure(clients: int) -> dict[str, Any]:
    """Start a gateway and have one client send to all, a few times."""
    with gateway() as server:
        return asyncio.run(_measure(server.target, clients))


async def _measure(target: Target, number: int) -> dict[str, Any]:
    say(f"opening {number} connections")
    clients = await open_many(target, number, 200)
    await settle(target)
    before = _rss(target)
    times, missed, repeated = [], 0, 0
    for round_ in range(_ROUNDS):
        say(f"broadcast {round_ + 1} of {_ROUNDS}")
        seconds, received = await _broadcast(clients, f"round-{round_}-")
        times.append(seconds)
        missed += number - len(received)
        repeated += sum(times > 1 for times in received.values())
    await settle(target)
    after = _rss(target)
    await close_all(clients)
    return {
        "clients": number,
        "rounds": _ROUNDS,
        "seconds_until_all_received": [round(each, 3) for each in times],
        "missed": missed,
        "received_twice": repeated,
        "mib_before": round(before / _MIB, 1),
        "mib_after": round(after / _MIB, 1),
    }


async def _broadcast(clients: list[Client], marker: str) -> tuple[float, Counter[int]]:
    received: Counter[int] = Counter()
    complete = asyncio.Event()
    last = started = time.perf_counter()

    def receive(place: int, data: bytes) -> None:
        nonlocal last
        if marker.encode() in data and b'"type":"message"' in data:
            received[place] += 1
            last = time.perf_counter()
            if len(received) == len(clients):
                complete.set()

    for place, client in enumerate(clients):
        client.on_message = partial(receive, place)
    clients[0].send(f'{{"action":"sendmessage","message":"{marker}"}}'.encode())
    try:
        async with asyncio.timeout(_SECONDS):
            await complete.wait()
    except TimeoutError:
        say(f"{len(received)} of {len(clients)} have received it")
    finished = last
    await asyncio.sleep(1)  # for whoever receives it once more
    return finished - started, received


def _rss(target: Target) -> int:
    return sum(process.rss for process in processes.tree(target.pid or 0))
