"""A worker as a process of its own: works one task, until it is done or killed."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.broadcast import Sending
from chalicelib.connection_table import DynamoDBConnectionRepository
from chalicelib.dynamodb import DynamoDB
from chalicelib.job_table import DynamoDBJobStore
from chalicelib.jobs import Task, Worker
from chalicelib.management_api import APIGatewayManagementAPI
from tests.fakes import InMemoryQueue

CREDENTIALS = Credentials("testing", "testing")
SHARDS = 1


def make_worker(
    database: str, table: str, management_api: str, rate: float, ahead: float = 0.0
) -> Worker:
    """Put a worker together as the bootstrap does, but for the queue; ``ahead`` is its clock."""
    client = SignedClient(database, Signer("us-east-1", "dynamodb"), lambda: CREDENTIALS, time.time)
    dynamodb = DynamoDB(client, Backoff())
    posts = SignedClient(
        management_api, Signer("us-east-1", "execute-api"), lambda: CREDENTIALS, time.time
    )
    executor = ThreadPoolExecutor(4)
    sending = Sending(
        DynamoDBConnectionRepository(dynamodb, table, SHARDS, SHARDS),
        APIGatewayManagementAPI(posts),
        executor,
        lambda: time.time() + ahead,
    )
    store = DynamoDBJobStore(dynamodb, table)
    name = f"worker-{time.time_ns()}"
    return Worker(store, InMemoryQueue(), lambda api_id, stage: sending, rate, name, page=20)


if __name__ == "__main__":
    _, database, table, management_api, rate, seconds, task = sys.argv
    worker = make_worker(database, table, management_api, float(rate))
    print(worker.work(Task.from_text(task), float(seconds)))
