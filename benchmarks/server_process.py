"""Starts a server as a user would, and stops it with everything it has started."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from benchmarks import processes
from benchmarks.client import Client
from benchmarks.processes import Process
from benchmarks.target import BenchmarkError, Target

_ROOT = Path(__file__).parent.parent
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_HEADERS = ("token: hello",)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs, and how long it took from launch to the first accepted handshake."""

    target: Target
    start_seconds: float


@contextmanager
def gateway() -> Iterator[Server]:
    """Run this project's gateway with its app, on free ports."""
    port = _free_port()
    command = ["localgateway", "--stage", "local", "--port", str(port), "--database-port", "0"]
    with _running(command, Target("127.0.0.1", port, "/api", _HEADERS)) as server:
        yield server


@contextmanager
def echo_server() -> Iterator[Server]:
    """Run the trivial server the client is calibrated with."""
    port = _free_port()
    with _running(["benchmarks.echo_server", str(port)], Target("127.0.0.1", port, "/")) as server:
        yield server


@contextmanager
def _running(module: Sequence[str], target: Target) -> Iterator[Server]:
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours: it must not stop a server while we measure
        )
        try:
            accepted = asyncio.run(_accepted(process, target))
            yield Server(replace(target, pid=process.pid), accepted - started)
        except (BenchmarkError, OSError) as error:
            raise BenchmarkError(f"{error}; the server's last words: {_tail(output)}") from error
        finally:
            with _undisturbed():
                _stop(process)


async def _accepted(process: subprocess.Popen[bytes], target: Target) -> float:
    """Return when the first handshake was accepted; raises ``BenchmarkError`` if none is."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            async with asyncio.timeout(_START_SECONDS):
                client = await Client.open(target)
            accepted = time.perf_counter()
            await client.close()
            return accepted
        except (OSError, TimeoutError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError("the server did not start") from error
        await asyncio.sleep(0.005)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a server, and kill what of it has not gone after a while."""
    family = processes.tree(process.pid) if process.poll() is None else []
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _kill(family[1:])


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold off interruptions: a second Ctrl-C must not leave servers behind."""
    numbers = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def _kill(family: Iterable[Process]) -> None:
    deadline = time.monotonic() + 1.0
    while (left := processes.alive(family)) and time.monotonic() < deadline:
        time.sleep(0.01)
    for member in left:
        os.kill(member.pid, signal.SIGKILL)


def _tail(output: BinaryIO) -> str:
    output.seek(0)
    return output.read().decode(errors="replace").strip()[-1000:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
