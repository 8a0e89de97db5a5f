"""Who is kept out, in the one DynamoDB table.

* revocation: pk ``notbefore#<principal>``, sk ``notbefore``; with notBefore (s). It has no end: the
  keys of its principal have none either.
"""

from chalicelib.dynamodb import DynamoDB, Item
from chalicelib.errors import ConditionFailed


class DynamoDBRevocations:
    """The RevocationStore that ships."""

    def __init__(self, dynamodb: DynamoDB, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def revoke(self, principal_id: str, not_before: int) -> None:
        """Write what is later than what is there: a clock that is behind takes nothing back."""
        payload = {
            "TableName": self._table,
            "Key": _key(principal_id),
            "UpdateExpression": "SET notBefore = :at",
            "ConditionExpression": "attribute_not_exists(notBefore) OR notBefore < :at",
            "ExpressionAttributeValues": {":at": {"N": str(not_before)}},
        }
        try:
            self._dynamodb.call("UpdateItem", payload)
        except ConditionFailed:
            return

    def allow(self, principal_id: str) -> None:
        """Delete it."""
        self._dynamodb.call("DeleteItem", {"TableName": self._table, "Key": _key(principal_id)})

    def not_before(self, principal_id: str) -> int | None:
        """Read it."""
        query = {"TableName": self._table, "Key": _key(principal_id), "ConsistentRead": True}
        item = self._dynamodb.call("GetItem", query).get("Item")
        return int(item["notBefore"]["N"]) if item else None


def _key(principal_id: str) -> Item:
    return {"pk": {"S": f"notbefore#{principal_id}"}, "sk": {"S": "notbefore"}}
