"""boto3's client in a thread pool, as large tutorials have it."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

endpoint, posts, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = boto3.client(
    "apigatewaymanagementapi",
    endpoint_url=endpoint,
    region_name="us-east-1",
    aws_access_key_id="AKIDEXAMPLE",
    aws_secret_access_key="secret",
    aws_session_token="token" * 100,
    config=Config(max_pool_connections=at_once, retries={"total_max_attempts": 1}),
)


def post(place: int) -> None:
    client.post_to_connection(ConnectionId=f"L0SM9cOFvHcCI{place:06}=", Data=b"x" * 100)


with ThreadPoolExecutor(at_once) as executor:
    list(executor.map(post, range(posts // 10)))
    cpu, wall = time.process_time(), time.perf_counter()
    list(executor.map(post, range(posts)))
    print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}))
