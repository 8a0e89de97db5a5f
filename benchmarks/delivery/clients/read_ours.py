"""Reads an audience as a broadcast does."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.connection_table import DynamoDBConnectionRepository
from chalicelib.connections import EVERYONE
from chalicelib.dynamodb import DynamoDB
from chalicelib.reading import Reading

endpoint, members, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = SignedClient(
    endpoint, Signer("us-east-1", "dynamodb"), lambda: Credentials("AKID", "secret"), time.time
)
repository = DynamoDBConnectionRepository(DynamoDB(client, Backoff()), "table", 1, 1)
executor = ThreadPoolExecutor(4)


def read() -> None:
    reading = Reading(repository, executor, EVERYONE, time.time, places=[(0, None)])
    found = 0
    for member in reading.members():
        if member is None:
            time.sleep(0.002)
        else:
            found += 1
    assert found == members, found


read()
cpu, wall = time.process_time(), time.perf_counter()
for _ in range(times):
    read()
print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}))
