"""Tickets and API keys in the table, beside the connections.

* ticket: pk ``ticket#<sha256>``, sk ``ticket``; with claims, expiresAt (s, TTL)
* key: pk ``key#<id>``, sk ``key``; with digest, principalId, scopes, createdAt, revoked and, where
  it has an end, expiresAt (s, TTL)
* key, in the list of all: pk ``keys``, sk ``<id>``; with expiresAt as the key's
"""

from collections.abc import Iterator, Mapping
from typing import Any

from chalicelib.authorizers import DETAILS, Principal
from chalicelib.authorizers.api_key import ApiKey
from chalicelib.authorizers.ticket import Ticket
from chalicelib.dynamodb import DynamoDB, Item
from chalicelib.errors import ConditionFailed
from chalicelib.scopes import Scopes


class DynamoDBTickets:
    """The TicketStore that ships."""

    def __init__(self, dynamodb: DynamoDB, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def add(self, digest: str, ticket: Ticket) -> None:
        """Write a ticket; nobody has had its digest before."""
        item = {
            **_key(f"ticket#{digest}", "ticket"),
            "claims": {"M": _claims(ticket)},
            "expiresAt": {"N": str(ticket.expires_at)},
        }
        self._dynamodb.call("PutItem", {"TableName": self._table, "Item": item})

    def take(self, digest: str, now: float) -> Ticket | None:
        """Delete a ticket on the condition that it is there, and return what was deleted.

        Of many who do so at once DynamoDB lets one succeed. If its answer is lost, the repetition
        finds nothing: then the ticket is lost and a new one is needed, but none is used twice.
        """
        payload = {
            "TableName": self._table,
            "Key": _key(f"ticket#{digest}", "ticket"),
            "ConditionExpression": "expiresAt > :now",
            "ExpressionAttributeValues": {":now": {"N": str(now)}},
            "ReturnValues": "ALL_OLD",
        }
        try:
            answer = self._dynamodb.call("DeleteItem", payload)
        except ConditionFailed:
            return None
        return _ticket(answer["Attributes"])


class DynamoDBKeys:
    """The KeyStore that ships, and what those who manage keys need."""

    def __init__(self, dynamodb: DynamoDB, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def get(self, key_id: str) -> ApiKey | None:
        """Read a key, strongly: one that was revoked must not be found as it was before."""
        query = {
            "TableName": self._table,
            "Key": _key(f"key#{key_id}", "key"),
            "ConsistentRead": True,
        }
        item = self._dynamodb.call("GetItem", query).get("Item")
        return None if item is None else _api_key(item)

    def add(self, key: ApiKey) -> None:
        """Write a key, first to the list: a key that works is never missing there."""
        end = {} if key.expires_at is None else {"expiresAt": {"N": str(key.expires_at)}}
        listed = {**_key("keys", key.key_id), **end}
        self._dynamodb.call("PutItem", {"TableName": self._table, "Item": listed})
        item = {
            **_key(f"key#{key.key_id}", "key"),
            "digest": {"S": key.digest},
            "principalId": {"S": key.principal_id},
            "scopes": {"S": str(key.scopes)},
            "createdAt": {"N": str(key.created_at)},
            "revoked": {"BOOL": key.revoked},
            **end,
        }
        self._dynamodb.call("PutItem", {"TableName": self._table, "Item": item})

    def revoke(self, key_id: str) -> bool:
        """Let a key admit nobody from now on; False where there is no such key."""
        payload = {
            "TableName": self._table,
            "Key": _key(f"key#{key_id}", "key"),
            "ConditionExpression": "attribute_exists(pk)",
            "UpdateExpression": "SET revoked = :true",
            "ExpressionAttributeValues": {":true": {"BOOL": True}},
        }
        try:
            self._dynamodb.call("UpdateItem", payload)
        except ConditionFailed:
            return False
        return True

    def all(self) -> Iterator[ApiKey]:
        """Yield every key, in no order; one read for each, since only the key itself is true."""
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": "keys"}},
            "ConsistentRead": True,
        }
        while True:
            page = self._dynamodb.call("Query", query)
            found = (self.get(item["sk"]["S"]) for item in page.get("Items", []))
            yield from (key for key in found if key is not None)
            if not page.get("LastEvaluatedKey"):
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _key(pk: str, sk: str) -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _claims(ticket: Ticket) -> Item:
    principal = ticket.principal
    texts = {
        "principalId": principal.principal_id,
        "scopes": str(principal.scopes),
        **principal.details,
        **({} if ticket.origin is None else {"origin": ticket.origin}),
    }
    return {
        **{name: {"S": text} for name, text in texts.items()},
        "expiresAt": {"N": str(principal.expires_at)},
        "demonstration": {"BOOL": principal.demonstration},
    }


def _ticket(item: Mapping[str, Any]) -> Ticket:
    claims = item["claims"]["M"]
    principal = Principal(
        principal_id=claims["principalId"]["S"],
        shown_by="ticket",
        expires_at=int(claims["expiresAt"]["N"]),
        scopes=Scopes.granted(claims["scopes"]["S"].split()),
        details={name: claims[name]["S"] for name in DETAILS if name in claims},
        demonstration=claims["demonstration"]["BOOL"],
    )
    origin = claims["origin"]["S"] if "origin" in claims else None
    return Ticket(principal, origin, int(item["expiresAt"]["N"]))


def _api_key(item: Mapping[str, Any]) -> ApiKey:
    return ApiKey(
        key_id=item["pk"]["S"].removeprefix("key#"),
        digest=item["digest"]["S"],
        principal_id=item["principalId"]["S"],
        scopes=Scopes.granted(item["scopes"]["S"].split()),
        created_at=int(item["createdAt"]["N"]),
        expires_at=int(item["expiresAt"]["N"]) if "expiresAt" in item else None,
        revoked=item["revoked"]["BOOL"],
    )
