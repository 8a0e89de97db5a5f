"""Reads an audience by boto3's client, or its resource (``Table``)."""

import json
import sys
import time

import boto3
from boto3.dynamodb.conditions import Key

endpoint, members, times, kind = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
options = {
    "endpoint_url": endpoint,
    "region_name": "us-east-1",
    "aws_access_key_id": "AKID",
    "aws_secret_access_key": "secret",
}
client = boto3.client("dynamodb", **options)
table = boto3.resource("dynamodb", **options).Table("table")


def pages():
    if kind == "client":
        query = {
            "TableName": "table",
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": "audience#everyone#0"}},
            "ConsistentRead": True,
        }
        yield from client.get_paginator("query").paginate(**query)
        return
    query = {"KeyConditionExpression": Key("pk").eq("audience#everyone#0"), "ConsistentRead": True}
    page = table.query(**query)
    yield page
    while "LastEvaluatedKey" in page:
        page = table.query(**query, ExclusiveStartKey=page["LastEvaluatedKey"])
        yield page


def read() -> None:
    found = 0
    for page in pages():
        for item in page["Items"]:
            found += bool(item["sk"])
    assert found == members, found


read()
cpu, wall = time.process_time(), time.perf_counter()
for _ in range(times):
    read()
print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}))
