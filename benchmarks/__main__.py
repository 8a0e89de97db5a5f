"""``python -m benchmarks``: the command line. Figures go to stdout as JSON, progress to stderr."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from typing import Any

import click

from benchmarks import cold_start, decisions, report, server_process
from benchmarks.load import Figures
from benchmarks.measures import MEASURES
from benchmarks.parameters import Parameters
from benchmarks.rival import serverless_offline
from benchmarks.server_process import Server
from benchmarks.target import BenchmarkError, Target, say

_SERVED = (*MEASURES, "start")
# What this project's own functions cost, each in processes of its own.
_FUNCTIONS: Mapping[str, Callable[[Parameters], dict[str, Any]]] = {
    "cold-start": cold_start.measure,
    "decision": decisions.measure,
}
_NAMES = (*_SERVED, *_FUNCTIONS)
_CALIBRATED = ("connect", "echo", "broadcast")
_DEFAULTS = Parameters()

Servers = Callable[[], AbstractContextManager[Server]]


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@click.option("--only", multiple=True, type=click.Choice(_NAMES), help="Measure this; repeatable.")
@click.option("--url", help="Measure what runs there (ws://127.0.0.1:PORT/PATH).")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="With --url.")
@click.option("--pid", type=int, help="With --url: the root process, for memory.")
@click.option("--calibrate", is_flag=True, help="Also measure the client against a trivial server.")
@click.option("--beside", is_flag=True, help="Measure serverless-offline too, in turn (npm).")
@click.option("--connections", type=click.IntRange(1, 10_000), default=_DEFAULTS.connections)
@click.option("--in-flight", type=click.IntRange(1, 1000), default=_DEFAULTS.in_flight)
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=_DEFAULTS.seconds)
@click.option("--idle", type=click.IntRange(2, 15_000), default=_DEFAULTS.idle)
@click.option("--repeat", type=click.IntRange(1, 50), default=_DEFAULTS.repeat)
@click.option("--echo-frame", default=_DEFAULTS.echo_frame)
@click.option("--broadcast-frame", default=_DEFAULTS.broadcast_frame)
def main(
    *,
    only: tuple[str, ...],
    url: str | None,
    headers: tuple[str, ...],
    pid: int | None,
    calibrate: bool,
    beside: bool,
    **options: Any,
) -> None:
    """Measure this project's gateway, or whatever WebSocket server runs at --url."""
    _prepare()
    parameters = replace(_DEFAULTS, **options)
    try:
        servers = _running(Target.parse(url, headers, pid)) if url else server_process.gateway
        names = only or (MEASURES if url else _SERVED if beside else _NAMES)
        if not _FUNCTIONS.keys().isdisjoint(names) and (url or beside):
            problem = "measure this project's functions and nothing beside them"
            raise BenchmarkError(f"{' and '.join(_FUNCTIONS)} {problem}")
        result = {"machine": report.machine(), "parameters": asdict(parameters)}
        if calibrate:
            result["calibration"] = _measure(_CALIBRATED, server_process.echo_server, parameters)
        if beside:
            result |= _measure_beside(names, parameters)
        else:
            result["figures"] = _measure(names, servers, parameters, reused=bool(url))
    except (BenchmarkError, OSError) as error:
        sys.exit(f"benchmarks: {error}")
    click.echo(json.dumps(result, indent=2))


def _measure(
    names: Iterable[str], servers: Servers, parameters: Parameters, *, reused: bool = False
) -> dict[str, Any]:
    return {name: _repeated(name, servers, parameters, reused=reused) for name in names}


def _measure_beside(names: Iterable[str], parameters: Parameters) -> dict[str, Any]:
    """Measure the gateway and its rival run by run in turn: the machine's moods hit both."""
    both: dict[str, Servers] = {
        "figures": server_process.gateway,
        "serverless_offline": serverless_offline,
    }
    result: dict[str, Any] = {name: {} for name in both}
    for name in names:
        runs: dict[str, list[Figures]] = {which: [] for which in both}
        for number in range(1, parameters.repeat + 1):
            for which, servers in both.items():
                say(f"{name}, run {number} of {parameters.repeat}: {which}")
                runs[which].append(_once(name, servers, parameters))
        for which in both:
            result[which][name] = report.summary(runs[which])
    return result


def _repeated(
    name: str, servers: Servers, parameters: Parameters, *, reused: bool
) -> dict[str, Any]:
    if name in _FUNCTIONS:
        say(name)
        return _FUNCTIONS[name](parameters)
    if name == "start":
        _once(name, servers, parameters)  # fills the caches: it is the second start that counts
    # Freed memory is used again, so a server that goes on running shows its growth only once.
    repeat = 1 if reused and name.startswith("memory") else parameters.repeat
    runs = []
    for number in range(1, repeat + 1):
        say(f"{name}, run {number} of {repeat}")
        runs.append(_once(name, servers, parameters))
    return report.summary(runs)


def _once(name: str, servers: Servers, parameters: Parameters) -> Figures:
    with servers() as server:
        if name == "start":
            return {"seconds": server.start_seconds}
        return asyncio.run(_figures(name, server.target, parameters))


async def _figures(name: str, target: Target, parameters: Parameters) -> Figures:
    return await MEASURES[name](target, parameters)


def _running(target: Target) -> Servers:
    @contextmanager
    def server() -> Iterator[Server]:
        yield Server(target, 0.0)

    return server


def _prepare() -> None:
    """Allow thousands of sockets, keep the collector out, and end in order when terminated."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("benchmarks: terminated"))


if __name__ == "__main__":
    main()
