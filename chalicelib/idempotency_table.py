"""Answers to repeated requests, in the table.

pk ``idempotency#<principal>#<key>``, sk ``idempotency``; with fingerprint, ownerId, leasedUntil
(ms), expiresAt (s, TTL) and, once the request has ended, answer
"""

from contextlib import suppress
from typing import Any

from chalicelib.dynamodb import DynamoDB, Item
from chalicelib.errors import ConditionFailed
from chalicelib.idempotency import KEPT_SECONDS, LEASE_SECONDS, Attempt, Kept


class DynamoDBIdempotency:
    """The IdempotencyStore that ships."""

    def __init__(self, dynamodb: DynamoDB, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def begin(self, attempt: Attempt, now: float) -> Kept | None:
        """Write on a condition, which holds too where the same write was answered to nobody."""
        item = {
            **_key(attempt),
            "fingerprint": {"S": attempt.fingerprint},
            "ownerId": {"S": attempt.owner},
            "leasedUntil": {"N": str(int((now + LEASE_SECONDS) * 1000))},
            "expiresAt": {"N": str(int(now) + KEPT_SECONDS)},
        }
        try:
            self._call("PutItem", Item=item, **_may_take(attempt, now))
        except ConditionFailed:
            return self._kept(attempt)
        return None

    def finish(self, attempt: Attempt, answer: str) -> None:
        """Add the answer."""
        with suppress(ConditionFailed):
            self._call(
                "UpdateItem",
                Key=_key(attempt),
                UpdateExpression="SET answer = :answer",
                ConditionExpression="ownerId = :owner",
                ExpressionAttributeValues={
                    ":answer": {"S": answer},
                    ":owner": {"S": attempt.owner},
                },
            )

    def release(self, attempt: Attempt) -> None:
        """Delete the item."""
        with suppress(ConditionFailed):
            self._call(
                "DeleteItem",
                Key=_key(attempt),
                ConditionExpression="ownerId = :owner",
                ExpressionAttributeValues={":owner": {"S": attempt.owner}},
            )

    def _kept(self, attempt: Attempt) -> Kept:
        item = self._call("GetItem", Key=_key(attempt), ConsistentRead=True).get("Item")
        if item is None:  # given back since: whoever repeats the request again will have it
            return Kept(attempt.fingerprint, None)
        return Kept(item["fingerprint"]["S"], item["answer"]["S"] if "answer" in item else None)

    def _call(self, operation: str, **payload: Any) -> dict[str, Any]:
        return self._dynamodb.call(operation, {"TableName": self._table, **payload})


def _may_take(attempt: Attempt, now: float) -> dict[str, Any]:
    given_up = "attribute_not_exists(answer) AND leasedUntil <= :ms AND fingerprint = :fingerprint"
    return {
        "ConditionExpression": (
            f"attribute_not_exists(pk) OR expiresAt <= :now OR ownerId = :owner OR ({given_up})"
        ),
        "ExpressionAttributeValues": {
            ":now": {"N": str(int(now))},
            ":ms": {"N": str(int(now * 1000))},
            ":owner": {"S": attempt.owner},
            ":fingerprint": {"S": attempt.fingerprint},
        },
    }


def _key(attempt: Attempt) -> Item:
    return {
        "pk": {"S": f"idempotency#{attempt.principal_id}#{attempt.key}"},
        "sk": {"S": "idempotency"},
    }
