"""A worker's process is killed in the middle of a job; another one finishes it."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.api import connection_table
from chalicelib.connections import EVERYONE
from chalicelib.errors import JobBusy
from chalicelib.jobs import JobQueue, Task
from localgateway.database import EmbeddedDatabase
from tests.factories import make_connection
from tests.fakes import InMemoryQueue
from tests.faulty_server import FaultyServer
from tests.gateway_under_test import eventually
from tests.worker_process import make_worker

LEASE = 28.0


def test_a_worker_that_is_killed_loses_nobody_and_repeats_are_counted(
    database: EmbeddedDatabase,
) -> None:
    table = "killed-worker"
    database.create_table(connection_table(table))
    with FaultyServer() as server:
        first = make_worker(database.endpoint_url, table, server.origin, 10_000)
        store = first.store
        connections = first.sending("a1", "dev").connections
        names = [f"ok.{number:03}" for number in range(300)]
        now = time.time()
        members = [
            make_connection(name, connected_at=int(now - 60) * 1000, expires_at=int(now) + 3600)
            for name in names
        ]
        with ThreadPoolExecutor(8) as executor:
            list(executor.map(connections.add, members))
        queue = InMemoryQueue()
        JobQueue(store, queue, "a1", "dev", time.time, 900).hand_over(
            "m1", EVERYONE, b"hello", [(0, None)]
        )
        (body,) = queue.bodies
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.worker_process",
                *(database.endpoint_url, table, server.origin, "200", str(LEASE), body),
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: sum(server.seen.values()) >= 60, 60)
        finally:
            process.kill()
            process.wait(60)
        assert sum(server.seen.values()) < 300
        report = store.report("m1")
        assert report is not None
        assert not report.is_done
        with pytest.raises(JobBusy):
            first.work(Task.from_text(body), LEASE)
        second = make_worker(database.endpoint_url, table, server.origin, 10_000, ahead=LEASE + 1)
        delivery = second.work(Task.from_text(body), LEASE)
        assert delivery is not None
        report = store.report("m1")
        assert report is not None
        assert report.is_done
        assert report.counts["delivered"] == report.counts["targeted"] == 300
        assert set(server.acted) == set(names)
        twice = sum(server.acted[name] > 1 for name in names)
        assert twice <= report.counts["repeated"] <= 3 * 20 + 32
