"""Tickets and API keys in the table, beside the connections.

* ticket: pk ``ticket#<sha256>``, sk ``ticket``; with claims, expiresAt (s, TTL)
* key: pk ``key#<id>``, sk ``key``; with digest, principalId, scopes, createdAt, revoked and, where
  it has an end, expiresAt (s, TTL), and where it was made over HTTP, createdBy
* key, in the list of all: pk ``keys``, sk ``<id>``; with all that the key has but the digest

The list is one partition. Listing reads nothing else, and no secret's digest. Of the 1,000 writes
a second that a partition takes a transaction needs two: about 500 keys a second can be made.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
"""

from collections.abc import Mapping
from typing import Any

from chalicelib.authorizers import DETAILS, Principal
from chalicelib.authorizers.api_key import ApiKey, KeyDescription
from chalicelib.authorizers.ticket import Ticket
from chalicelib.dynamodb import DynamoDB, Item
from chalicelib.errors import ConditionFailed
from chalicelib.managed_keys import KeyPage
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


_LIST = "keys"


class DynamoDBKeys:
    """The ManagedKeys that ship."""

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
        """Write a key and its entry in the list at once: no key works that is not listed."""
        known = _attributes(key)
        item = {**_key(f"key#{key.key_id}", "key"), **known, "digest": {"S": key.digest}}
        listed = {**_key(_LIST, key.key_id), **known}
        puts = [{"Put": {"TableName": self._table, "Item": it}} for it in (item, listed)]
        # With a token it is done once, though the call be repeated for an answer that was lost.
        payload = {"TransactItems": puts, "ClientRequestToken": key.key_id}
        self._dynamodb.call("TransactWriteItems", payload)

    def revoke(self, key_id: str) -> bool:
        """Revoke the key, then its entry: what is listed as revoked is so.

        Of a key that has expired DynamoDB may have deleted either before the other.
        """
        is_there = self._revoke(_key(f"key#{key_id}", "key"))
        if is_there:
            self._revoke(_key(_LIST, key_id))
        return is_there

    def page(self, after: str | None, limit: int) -> KeyPage:
        """Read a part of the list, strongly: what was made or revoked before is to be seen."""
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": _LIST}},
            "ConsistentRead": True,
            "Limit": limit,
        }
        if after is not None:
            query["ExclusiveStartKey"] = _key(_LIST, after)
        page = self._dynamodb.call("Query", query)
        keys = (KeyDescription(**_described(item["sk"]["S"], item)) for item in page["Items"])
        last = page.get("LastEvaluatedKey")
        return KeyPage(tuple(keys), last["sk"]["S"] if last else None)

    def _revoke(self, key: Item) -> bool:
        payload = {
            "TableName": self._table,
            "Key": key,
            "ConditionExpression": "attribute_exists(pk)",
            "UpdateExpression": "SET revoked = :true",
            "ExpressionAttributeValues": {":true": {"BOOL": True}},
        }
        try:
            self._dynamodb.call("UpdateItem", payload)
        except ConditionFailed:
            return False
        return True


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
        **({} if principal.issued_at is None else {"issuedAt": {"N": str(principal.issued_at)}}),
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
        issued_at=int(claims["issuedAt"]["N"]) if "issuedAt" in claims else None,
    )
    origin = claims["origin"]["S"] if "origin" in claims else None
    return Ticket(principal, origin, int(item["expiresAt"]["N"]))


def _attributes(key: KeyDescription) -> dict[str, dict[str, Any]]:
    end, maker = key.expires_at, key.created_by
    return {
        "principalId": {"S": key.principal_id},
        "scopes": {"S": str(key.scopes)},
        "createdAt": {"N": str(key.created_at)},
        "revoked": {"BOOL": key.revoked},
        **({} if end is None else {"expiresAt": {"N": str(end)}}),
        **({} if maker is None else {"createdBy": {"S": maker}}),
    }


def _api_key(item: Mapping[str, Any]) -> ApiKey:
    key_id = item["pk"]["S"].removeprefix("key#")
    return ApiKey(digest=item["digest"]["S"], **_described(key_id, item))


def _described(key_id: str, item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key_id": key_id,
        "principal_id": item["principalId"]["S"],
        "scopes": Scopes.granted(item["scopes"]["S"].split()),
        "created_at": int(item["createdAt"]["N"]),
        "expires_at": int(item["expiresAt"]["N"]) if "expiresAt" in item else None,
        "revoked": item["revoked"]["BOOL"],
        "created_by": item["createdBy"]["S"] if "createdBy" in item else None,
    }
