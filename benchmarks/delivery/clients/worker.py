"""Works one task of a large delivery, on a real table; or fills the table and hands it over."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from chalicelib.api import connection_table
from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.broadcast import Sending
from chalicelib.connection_table import DynamoDBConnectionRepository
from chalicelib.connections import EVERYONE, Connection
from chalicelib.dynamodb import DynamoDB
from chalicelib.job_table import DynamoDBJobStore
from chalicelib.jobs import JobQueue, Task, Worker
from chalicelib.management_api import APIGatewayManagementAPI

TABLE = "delivery-benchmark"


class Tasks(list):
    """A queue that is printed."""

    def send(self, bodies) -> None:
        self.extend(bodies)


def client(endpoint: str, service: str) -> SignedClient:
    signer = Signer("us-east-1", service)
    return SignedClient(endpoint, signer, lambda: Credentials("local", "local"), time.time)


def fill(database: str, shards: int, members: int) -> None:
    dynamodb = DynamoDB(client(database, "dynamodb"), Backoff())
    dynamodb.call("CreateTable", {
        name: value for name, value in connection_table(TABLE).items() if name[:10] != "TimeToLive"
    })  # fmt: skip
    connections = DynamoDBConnectionRepository(dynamodb, TABLE, shards, 1)
    now = int(time.time())
    everyone = [
        Connection(f"L0SM9cOFvHcCI{place:06}=", f"p{place}", (now - 60) * 1000, now + 7200)
        for place in range(members)
    ]
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(connections.add, everyone))
    tasks = Tasks()
    queue = JobQueue(DynamoDBJobStore(dynamodb, TABLE), tasks, "a1", "dev", time.time, 900)
    queue.hand_over("m1", EVERYONE, b"x" * 100, [(shard, None) for shard in range(shards)])
    print(json.dumps(tasks))


def work(database: str, endpoint: str, shards: int, rate: float, task: str) -> None:
    dynamodb = DynamoDB(client(database, "dynamodb"), Backoff())
    sending = Sending(
        DynamoDBConnectionRepository(dynamodb, TABLE, shards, 1),
        APIGatewayManagementAPI(client(endpoint, "execute-api")),
        ThreadPoolExecutor(4),
        time.time,
    )
    store = DynamoDBJobStore(dynamodb, TABLE)
    # The embedded engine takes as long for a page of 100 as for one of 1,000: 85 ms.
    worker = Worker(store, Tasks(), lambda api_id, stage: sending, rate, task, page=500)
    store.payload("m1")  # the connection to the table is there
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, wall = time.process_time(), time.perf_counter()
    delivery = worker.work(Task.from_text(task), 60.0)
    spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    print(json.dumps({**spent, **delivery.counts()}))


if sys.argv[1] == "fill":
    fill(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    database, endpoint, shards, rate, task = sys.argv[2:]
    work(database, endpoint, int(shards), float(rate), task)
