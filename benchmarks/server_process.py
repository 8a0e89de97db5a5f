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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from benchmarks import processes
from benchmarks.client import Client
from benchmarks.processes import Process
from benchmarks.target import BenchmarkError, Target

ROOT = Path(__file__).parent.parent
START_SECONDS = 120.0
_STOP_SECONDS = 10.0
HEADERS = ("token: hello",)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs, and how long it took from launch to the first accepted handshake."""

    target: Target
    start_seconds: float


@contextmanager
def gateway() -> Iterator[Server]:
    """Run this project's gateway with its app, on free ports."""
    port = free_port()
    command = ["localgateway", "--stage", "local", "--port", str(port), "--database-port", "0"]
    target = Target("127.0.0.1", port, "/api", HEADERS)
    with running([sys.executable, "-m", *command], target) as server:
        yield server


@contextmanager
def echo_server() -> Iterator[Server]:
    """Run the trivial server the client is calibrated with."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.echo_server", str(port)]
    with running(command, Target("127.0.0.1", port, "/")) as server:
        yield server


@contextmanager
def running(
    command: Sequence[str],
    target: Target,
    *,
    directory: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    ready: Path | None = None,
) -> Iterator[Server]:
    """Run a server until the block ends.

    Its start counts from launch or, with ``ready``, from when that file is there: before that it
    prepares what is not part of it.
    """
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours: it must not stop a server while we measure
        )
        try:
            if ready is not None:
                started = _wait_for(ready, process)
            accepted = asyncio.run(_accepted(process, target))
            yield Server(replace(target, pid=process.pid), accepted - started)
        except (BenchmarkError, OSError) as error:
            raise BenchmarkError(f"{error}; the server's last words: {_tail(output)}") from error
        finally:
            with _undisturbed():
                _stop(process)


def _wait_for(ready: Path, process: subprocess.Popen[bytes]) -> float:
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchmarkError("the server did not start")
        time.sleep(0.001)
    return time.perf_counter()


async def _accepted(process: subprocess.Popen[bytes], target: Target) -> float:
    """Return when the first handshake was accepted; raises ``BenchmarkError`` if none is."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            async with asyncio.timeout(START_SECONDS):
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
        with suppress(ProcessLookupError):  # it has gone meanwhile
            os.kill(member.pid, signal.SIGKILL)


def _tail(output: BinaryIO) -> str:
    output.seek(0)
    return output.read().decode(errors="replace").strip()[-1000:]


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
