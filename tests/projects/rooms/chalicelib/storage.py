import os

import boto3
from boto3.dynamodb.conditions import Attr


class Storage:
    def __init__(self, table):
        self._table = table

    @classmethod
    def from_env(cls):
        return cls(boto3.resource("dynamodb").Table(os.environ["TABLE"]))

    def create(self, connection_id):
        self._table.put_item(Item={"id": connection_id, "nickname": "somebody"})

    def record(self, connection_id):
        return self._table.get_item(Key={"id": connection_id}).get("Item")

    def update(self, connection_id, **values):
        for name, value in values.items():
            self._table.update_item(
                Key={"id": connection_id},
                UpdateExpression="SET #name = :value",
                ExpressionAttributeNames={"#name": name},
                ExpressionAttributeValues={":value": value},
            )

    def delete(self, connection_id):
        self._table.delete_item(Key={"id": connection_id})

    def all(self):
        return self._table.scan()["Items"]

    def members(self, room):
        items = self._table.scan(FilterExpression=Attr("room").eq(room))["Items"]
        return [item["id"] for item in items]

    def rooms(self):
        return sorted({item["room"] for item in self.all() if item.get("room")})
