"""The figures. Each is taken from a server that has done nothing else yet."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import count
from types import MappingProxyType

from benchmarks import processes
from benchmarks.client import Client
from benchmarks.load import Figures, Meter, close_all, open_many, percentiles, settle
from benchmarks.parameters import Parameters
from benchmarks.target import BenchmarkError, Target

_KIB, _MIB = 1024, 1024 * 1024
_BROADCAST_SECONDS = 30.0
_ECHO_SECONDS = 1.0
_WARM_UP_ECHOES = 100
_numbers = count(1)


async def connect(target: Target, parameters: Parameters) -> Figures:
    """Connections per second, from TCP connect to 101."""
    await _warm_up(target, parameters)
    with Meter(target) as meter:
        clients = await open_many(target, parameters.connections, parameters.in_flight)
    await close_all(clients)
    return {
        "per_second": len(clients) / meter.seconds,
        **percentiles([client.handshake_seconds for client in clients]),
        "cpu_ms_each": meter.cpu_ms_each(len(clients)),
    }


async def echo(target: Target, parameters: Parameters) -> Figures:
    """Round trips with one message in flight on each connection."""
    figures: Figures = {}
    for connections in parameters.echo_connections:
        clients = await open_many(target, connections, parameters.in_flight)
        await settle(target)
        await _echo(clients, parameters.echo_frame, 0.3)
        with Meter(target) as meter:
            latencies, repeated, lost = await _echo(
                clients, parameters.echo_frame, parameters.seconds
            )
        await close_all(clients)
        figures[f"connections_{connections}"] = {
            "per_second": len(latencies) / meter.seconds,
            **percentiles(latencies),
            "repeated": repeated,
            "lost": lost,
            "cpu_ms_each": meter.cpu_ms_each(len(latencies)),
        }
    return figures


async def broadcast(target: Target, parameters: Parameters) -> Figures:
    """Time from one message until the first and until all of an audience have received it."""
    figures: Figures = {}
    for audience in parameters.audiences:
        clients = await open_many(target, audience, parameters.in_flight)
        await settle(target)
        await _broadcast(clients, parameters.broadcast_frame)
        times = []
        with Meter(target) as meter:
            for _ in range(parameters.rounds):
                times.append(await _broadcast(clients, parameters.broadcast_frame))
        await close_all(clients)
        await settle(target)
        figures[f"connections_{audience}"] = {
            "first_ms": statistics.median(first for first, _ in times) * 1000,
            "all_ms": statistics.median(last for _, last in times) * 1000,
            "cpu_ms_each": meter.cpu_ms_each(parameters.rounds * audience),
        }
    return figures


async def memory(target: Target, parameters: Parameters, *, deflate: bool = False) -> Figures:
    """Resident memory of the server and all it has started, with 1 and with many idle clients."""
    if target.pid is None or not processes.available():
        raise BenchmarkError("memory needs /proc and, for a server that runs already, --pid")
    await _warm_up(target, parameters)
    first = await Client.open(target, deflate=deflate)
    one = await _rss(target)
    idle = parameters.idle - 1
    clients = await open_many(target, idle, parameters.in_flight, deflate=deflate)
    many = await _rss(target)
    lost = sum(client.closed.done() for client in clients)
    await close_all([first, *clients])
    after = await _rss(target)
    return {
        "kib_per_connection": (sum(many) - sum(one)) / idle / _KIB,
        "server_only_kib_per_connection": (many[0] - one[0]) / idle / _KIB,
        "with_1_mib": sum(one) / _MIB,
        f"with_{parameters.idle}_mib": sum(many) / _MIB,
        "after_all_left_mib": sum(after) / _MIB,
        "negotiated_deflate": sum(client.deflate for client in clients),
        "lost": lost,
    }


Measure = Callable[[Target, Parameters], Awaitable[Figures]]
MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "connect": connect,
        "echo": echo,
        "broadcast": broadcast,
        "memory": memory,
        "memory-deflate": partial(memory, deflate=True),
    }
)


async def _warm_up(target: Target, parameters: Parameters) -> None:
    """Have the server make its threads and its own connections before anything is measured."""
    await close_all(await open_many(target, parameters.in_flight, parameters.in_flight))
    await settle(target)


async def _rss(target: Target) -> tuple[int, int]:
    """Return the resident bytes of the server, and of what it has started."""
    await settle(target)
    first, *others = processes.tree(target.pid or 0)
    return first.rss, sum(process.rss for process in others)


async def _echo(
    clients: Sequence[Client], frame: str, seconds: float
) -> tuple[list[float], int, int]:
    """Send on every client as soon as the last message is answered.

    Returns the round trips in seconds, how many answers came once more than asked, and how many
    messages were not answered: such a one is given up after a second, and the next is sent.
    """
    loops = [_EchoLoop(client, frame, time.perf_counter() + seconds) for client in clients]
    while pending := [loop.done for loop in loops if not loop.done.done()]:
        await asyncio.wait(pending, timeout=_ECHO_SECONDS / 4)
        for loop in loops:
            loop.give_up_after(_ECHO_SECONDS)
    for loop in loops:
        loop.done.result()
    latencies = [latency for loop in loops for latency in loop.latencies]
    return latencies, sum(loop.repeated for loop in loops), sum(loop.lost for loop in loops)


class _EchoLoop:
    def __init__(self, client: Client, frame: str, until: float) -> None:
        self.latencies: list[float] = []
        self.repeated = 0
        self.lost = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client = client
        self._frame = frame
        self._until = until
        client.on_message = self._received
        self._send()

    def _send(self) -> None:
        name = f"echo-{next(_numbers)}"
        self._expected = f'"{name}"'.encode()
        data = self._frame.replace("$id", name).encode()
        self._sent_at = time.perf_counter()
        self._client.send(data)

    def _received(self, data: bytes) -> None:
        now = time.perf_counter()
        if self.done.done():
            return
        if b"error" in data:
            self.done.set_exception(BenchmarkError(f"not an answer: {data[:200]!r}"))
            return
        if self._expected not in data:
            self.repeated += 1  # an earlier answer once more: a server may retry a post
            return
        self.latencies.append(now - self._sent_at)
        self._next(now)

    def give_up_after(self, seconds: float) -> None:
        now = time.perf_counter()
        if not self.done.done() and now - self._sent_at > seconds:
            self.lost += 1
            self._next(now)

    def _next(self, now: float) -> None:
        if now < self._until:
            self._send()
        else:
            self.done.set_result(None)


async def _broadcast(clients: Sequence[Client], frame: str) -> tuple[float, float]:
    """Return after how many seconds the first and the last client had the message."""
    marker = f"broadcast-{next(_numbers)}-"
    received: dict[Client, float] = {}
    complete = asyncio.Event()

    def receive(client: Client, data: bytes) -> None:
        if marker.encode() in data:
            received.setdefault(client, time.perf_counter())
            if len(received) == len(clients):
                complete.set()

    for client in clients:
        client.on_message = partial(receive, client)
    started = time.perf_counter()
    clients[0].send(frame.replace("$id", marker).encode())
    try:
        async with asyncio.timeout(_BROADCAST_SECONDS):
            await complete.wait()
    except TimeoutError:
        problem = f"{len(received)} of {len(clients)} received a broadcast"
        raise BenchmarkError(f"{problem} within {_BROADCAST_SECONDS:g} s") from None
    await asyncio.sleep(0.3)  # the sender's own answer, which is not counted
    return min(received.values()) - started, max(received.values()) - started
