"""``python -m benchmarks.delivery``: figures go to stdout as JSON, progress to stderr.

Rivals that are not in this project's environment are installed beside it, into a directory under
the system's temporary one, with pip and npm, the first time they are measured.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks import report
from benchmarks.delivery import costs, local
from benchmarks.server_process import gateway
from benchmarks.target import BenchmarkError, say

_ROOT = Path(__file__).parents[2]
_CLIENTS = Path(__file__).parent / "clients"
_CERTIFICATE = _ROOT / "tests" / "certificates" / "localhost.pem"
_INSTALLED = Path(tempfile.gettempdir()) / "portcullis-delivery-rivals"


@dataclass(frozen=True, slots=True)
class Client:
    """A program that posts, how it is started, and how many posts it gets."""

    command: Callable[[], Sequence[str]]
    posts: int


def _python(name: str) -> list[str]:
    return [sys.executable, str(_CLIENTS / name)]


def _rival_python(name: str) -> list[str]:
    python = _INSTALLED / "venv" / "bin" / "python"
    if not python.exists():
        say("installing aiobotocore and awscrt")
        subprocess.run([sys.executable, "-m", "venv", str(_INSTALLED / "venv")], check=True)
        packages = ["aiobotocore==3.10.0", "awscrt==0.38.1"]
        command = [str(python), "-m", "pip", "install", "--quiet", *packages]
        subprocess.run(command, check=True, timeout=600)
    return [str(python), str(_CLIENTS / name)]


def _node() -> list[str]:
    directory = _INSTALLED / "node"
    if not (directory / "node_modules").is_dir():
        say("installing the SDK for JavaScript")
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(_CLIENTS / "package.json", directory)
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
        subprocess.run(command, cwd=directory, check=True, timeout=600)
    shutil.copy(_CLIENTS / "node_sdk.mjs", directory)
    return ["node", str(directory / "node_sdk.mjs")]


_POSTING: Mapping[str, Client] = {
    "ours": Client(lambda: _python("ours.py"), 20_000),
    "boto3, threads": Client(lambda: _python("boto3_threads.py"), 2_000),
    "aiobotocore": Client(lambda: _rival_python("aiobotocore_tasks.py"), 2_000),
    "awscrt": Client(lambda: _rival_python("awscrt_posts.py"), 5_000),
    "Node.js SDK v3": Client(_node, 5_000),
}


@click.command(context_settings={"show_default": True})
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(["posts", "reading", "quota", "costs", "local"]),
    help="Measure this; repeatable.",
)
@click.option("--repeat", type=click.IntRange(1, 20), default=3)
@click.option("--at-once", type=click.IntRange(1, 512), default=32, help="Posts in flight.")
@click.option("--members", type=click.IntRange(100, 100_000), default=10_000)
def main(*, only: tuple[str, ...], repeat: int, at_once: int, members: int) -> None:
    """Measure the delivery path beside others, on this machine."""
    measures: dict[str, Callable[[], Any]] = {
        "posts": lambda: {scheme: _posts(scheme, repeat, at_once) for scheme in ("https", "http")},
        "reading": lambda: _reading(repeat, members),
        "quota": lambda: _quota(members),
        "costs": lambda: costs.table(costs.Assumptions()),
        "local": lambda: [local.measure(clients) for clients in (1_000, members)],
    }
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    result: dict[str, Any] = {"machine": report.machine()}
    try:
        for name in only or measures:
            result[name] = measures[name]()
    except (BenchmarkError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"benchmarks: {error}")
    click.echo(json.dumps(result, indent=2))


def _posts(scheme: str, repeat: int, at_once: int) -> dict[str, Any]:
    """Run by run in turn, so that the machine's moods hit all."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in _POSTING}
    options = ["--certificate", str(_CERTIFICATE)] if scheme == "https" else []
    for number in range(1, repeat + 1):
        for name, client in _POSTING.items():
            say(f"{scheme}, run {number} of {repeat}: {name}")
            with _sink(*options) as port:
                endpoint = f"{scheme}://localhost:{port}/api"
                arguments = [endpoint, str(client.posts), str(at_once)]
                figures = _run([*client.command(), *arguments])
            runs[name].append(
                {
                    "cpu_ms_each": figures["cpu"] * 1000 / client.posts,
                    "per_second": client.posts / figures["wall"],
                    "per_cpu_second": client.posts / figures["cpu"],
                }
            )
    return {name: report.summary(each) for name, each in runs.items()}


def _reading(repeat: int, members: int) -> dict[str, Any]:
    readers = {
        "ours": _python("read_ours.py"),
        "boto3, client": _python("read_boto3.py"),
        "boto3, resource": _python("read_boto3.py"),
    }
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in readers}
    for _ in range(repeat):
        for name, command in readers.items():
            say(f"reading {members} members: {name}")
            with _sink("--members", str(members)) as port:
                kind = name.rpartition(" ")[2]
                endpoint = f"http://localhost:{port}"
                figures = _run([*command, endpoint, str(members), "10", kind])
            runs[name].append({"cpu_ms": figures["cpu"] * 100, "wall_ms": figures["wall"] * 100})
    return {name: report.summary(each) for name, each in runs.items()}


def _quota(members: int, quota: float = 1000, burst: float = 500, share: float = 0.95) -> Any:
    """Let four workers, each a process, send to all members under an account's quota."""
    workers = 4
    with gateway() as server, _sink("--rate", str(quota), "--burst", str(burst)) as port:
        database = f"http://127.0.0.1:{_database_port(server.target.pid)}"
        command = _python("worker.py")
        say(f"adding {members} connections")
        filled = subprocess.run(
            [*command, "fill", database, str(workers), str(members)],
            env=_environment(),
            check=True,
            capture_output=True,
            text=True,
        )
        tasks = json.loads(filled.stdout)
        rate = share * quota / workers
        endpoint = f"http://localhost:{port}/api"
        say(f"{workers} workers send to {members}")
        arguments = [database, endpoint, str(workers), str(rate)]
        processes = [_started([*command, "work", *arguments, task]) for task in tasks]
        for process in processes:
            print(file=process.stdin, flush=True)
        told = [json.loads(process.communicate(timeout=300)[0]) for process in processes]
        with urllib.request.urlopen(f"{endpoint.removesuffix('/api')}/stats") as answer:
            stats = json.load(answer)
    floor = max(0.0, members - share * burst) / (share * quota)
    delivered = sum(each["delivered"] for each in told)
    return {
        "members": members,
        "quota": quota,
        "burst": burst,
        "share": share,
        "delivered": delivered,
        "targeted": sum(each["targeted"] for each in told),
        "repeated": sum(each["repeated"] for each in told),
        "refusals_per_delivery": stats["refused"] / max(1, delivered),
        "seconds": stats["seconds"],
        "seconds_of_each_worker": [round(each["wall"], 2) for each in told],
        "floor": floor,
        "of_the_floor": stats["seconds"] / floor,
        "cpu_ms_each": sum(each["cpu"] for each in told) * 1000 / max(1, delivered),
    }


def _started(command: Sequence[str]) -> subprocess.Popen[str]:
    """Start a worker and wait until it can begin."""
    process = subprocess.Popen(
        command,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.stdout is None or process.stdout.readline() != "ready\n":
        raise BenchmarkError("a worker did not start")
    return process


def _database_port(pid: int | None) -> int:
    """Find the engine the gateway has started: its child, by what that listens on."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [child for task in tasks for child in task.read_text().split()]
    names = set().union(*map(_open_in, children))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        # Address and state in hexadecimal, and the socket's inode (proc_pid_net(5)).
        _, address, _, state, *rest = line.split()
        if state == "0A" and f"socket:[{rest[5]}]" in names:
            return int(address.partition(":")[2], 16)
    raise BenchmarkError("the gateway has no database")


def _open_in(pid: str) -> set[str]:
    names = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            names.add(str(descriptor.readlink()))
    return names


def _environment() -> dict[str, str]:
    certificate = _trusted()
    return {
        **os.environ,
        "AWS_CA_BUNDLE": certificate,
        "NODE_EXTRA_CA_CERTS": certificate,
        "PYTHONPATH": str(_ROOT),
        "SSL_CERT_FILE": certificate,
    }


def _trusted() -> str:
    """Write the certificate without its key: some clients want nothing else in the file."""
    path = _INSTALLED / "trusted.pem"
    if not path.exists():
        _INSTALLED.mkdir(parents=True, exist_ok=True)
        _, begin, rest = _CERTIFICATE.read_text().partition("-----BEGIN CERTIFICATE-----")
        certificate, end, _ = rest.partition("-----END CERTIFICATE-----")
        path.write_text(f"{begin}{certificate}{end}\n")
    return str(path)


def _run(command: Sequence[str]) -> dict[str, float]:
    completed = subprocess.run(
        command, env=_environment(), capture_output=True, text=True, check=False, timeout=600
    )
    if completed.returncode:
        raise BenchmarkError(f"{command[1]}: {completed.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(completed.stdout)
    return figures


@contextmanager
def _sink(*options: str) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.delivery.sink", *options],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    main()
