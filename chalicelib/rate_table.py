"""How many messages principals have sent, in the one DynamoDB table.

* rate: pk ``rate#<principal>``, sk ``rate``; with ahead (ms), refusals, expiresAt (s, TTL)
"""

from collections.abc import Mapping
from typing import Any

from chalicelib.dynamodb import DynamoDB, Item
from chalicelib.errors import ConditionFailed

# What is not there any more counts as idle, so it is kept for longer than any burst takes.
_KEPT_SECONDS = 3600


class DynamoDBRates:
    """The RateStore that ships."""

    def __init__(self, dynamodb: DynamoDB, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def get(self, principal_id: str) -> int | None:
        """Read it, strongly consistent."""
        query = {"TableName": self._table, "Key": _key(principal_id), "ConsistentRead": True}
        item = self._dynamodb.call("GetItem", query).get("Item", {})
        return int(item["ahead"]["N"]) if "ahead" in item else None

    def begin(self, principal_id: str, now: int, interval: int) -> bool:
        """Write it where it is not ahead."""
        change = "SET ahead = :next, expiresAt = :end REMOVE refusals"
        values = {
            ":next": {"N": str(now + interval)},
            ":end": {"N": str(now // 1000 + _KEPT_SECONDS)},
            ":now": {"N": str(now)},
        }
        condition = "attribute_not_exists(ahead) OR ahead <= :now"
        return self._update(principal_id, change, values, condition) is not None

    def go_on(self, principal_id: str, now: int, latest: int, interval: int) -> bool:
        """Add to it where it is ahead, but not too far."""
        values = {
            ":more": {"N": str(interval)},
            ":now": {"N": str(now)},
            ":latest": {"N": str(latest)},
        }
        condition = "ahead > :now AND ahead <= :latest"
        return self._update(principal_id, "ADD ahead :more", values, condition) is not None

    def refuse(self, principal_id: str) -> int:
        """Count it."""
        item = self._update(principal_id, "ADD refusals :one", {":one": {"N": "1"}})
        return int(item["refusals"]["N"]) if item else 0

    def _update(
        self,
        principal_id: str,
        change: str,
        values: Mapping[str, Any],
        condition: str = "attribute_exists(pk)",
    ) -> Item | None:
        payload = {
            "TableName": self._table,
            "Key": _key(principal_id),
            "UpdateExpression": change,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "ReturnValues": "UPDATED_NEW",
        }
        try:
            found: Item = self._dynamodb.call("UpdateItem", payload).get("Attributes", {})
        except ConditionFailed:
            return None
        return found


def _key(principal_id: str) -> Item:
    return {"pk": {"S": f"rate#{principal_id}"}, "sk": {"S": "rate"}}
