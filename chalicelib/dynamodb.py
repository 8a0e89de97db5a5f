"""Connections in one DynamoDB table, by signed calls of our own.

* connection: pk ``connection#<id>``, sk ``connection``; with principalId, context,
  connectedAt (ms), expiresAt (s, TTL), sourceIp, apiId, stage
* member, seen from the audience: pk ``audience#<audience>#<shard>``, sk ``<connection id>``;
  with principalId, connectedAt, expiresAt
* joined channel, seen from the connection: pk ``connection#<id>``, sk ``audience#<audience>``;
  with shard, expiresAt

The two implicit memberships have no joined item: the connection's principal says them.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

from chalicelib.aws import Caller
from chalicelib.backoff import Backoff
from chalicelib.connections import (
    Audience,
    Connection,
    Member,
    implicit_audiences,
    shard_of,
)
from chalicelib.errors import ServiceUnavailable
from chalicelib.json_protocol import JsonService

Item = Mapping[str, Mapping[str, Any]]

# BatchWriteItem takes no more.
_BATCH = 25


class DynamoDB(JsonService):
    """DynamoDB's operations, with retries of what may pass."""

    def __init__(self, client: Caller, backoff: Backoff) -> None:
        super().__init__(
            client, backoff, name="DynamoDB", target="DynamoDB_20120810", version="1.0"
        )

    def write(self, table: str, requests: Sequence[Mapping[str, Any]]) -> None:
        """Write and delete any number of items, in no order; raises as ``call`` does."""
        for start in range(0, len(requests), _BATCH):
            self._write_batch(table, requests[start : start + _BATCH])

    def _write_batch(self, table: str, requests: Sequence[Mapping[str, Any]]) -> None:
        for _ in self._backoff.attempts():
            answer = self.call("BatchWriteItem", {"RequestItems": {table: requests}})
            requests = answer.get("UnprocessedItems", {}).get(table, [])
            if not requests:
                return
        raise ServiceUnavailable(f"DynamoDB left {len(requests)} items unprocessed")


class _Page(NamedTuple):
    items: Sequence[Item]
    last_key: Item | None


class DynamoDBConnectionRepository:
    """The ConnectionRepository that ships. All reads are strongly consistent."""

    def __init__(
        self, dynamodb: DynamoDB, table: str, executor: Executor, everyone_shards: int
    ) -> None:
        """``everyone_shards`` must stay as it is for as long as connections are remembered."""
        self._dynamodb = dynamodb
        self._table = table
        self._executor = executor
        self._everyone_shards = everyone_shards

    def add(self, connection: Connection) -> None:
        """Write the audience side first: whoever is found by ``get`` can also be addressed."""
        member = connection.member()
        audiences = implicit_audiences(connection.principal_id)
        self._write([_put(self._member_item(audience, member)) for audience in audiences])
        self._dynamodb.call(
            "PutItem", {"TableName": self._table, "Item": _connection_item(connection)}
        )

    def join(self, connection: Connection, channel: Audience) -> None:
        """Write the connection's side first: ``remove`` must find every membership."""
        self._write([_put(self._joined_item(connection, channel))])
        self._write([_put(self._member_item(channel, connection.member()))])

    def get(self, connection_id: str, now: float) -> Connection | None:
        """Return a connection that has not expired."""
        key = _key(_connection_pk(connection_id), "connection")
        query = {"TableName": self._table, "Key": key, "ConsistentRead": True}
        item = self._dynamodb.call("GetItem", query).get("Item")
        connection = _connection(item) if item else None
        return connection if connection and connection.expires_at > now else None

    def remove(self, connection_id: str, principal_id: str) -> None:
        """Delete the connection, its memberships, and last what says which channels it joined.

        In this order a removal that stops anywhere leaves what the next one needs to finish it.
        """
        own = _connection_pk(connection_id)
        self._dynamodb.call(
            "DeleteItem", {"TableName": self._table, "Key": _key(own, "connection")}
        )
        joined = [item for page in self._pages(own) for item in page.items]
        channels = [f"{item['sk']['S']}#{item['shard']['N']}" for item in joined]
        implicit = [
            self._member_pk(audience, connection_id)
            for audience in implicit_audiences(principal_id)
        ]
        self._write([_delete(pk, connection_id) for pk in (*implicit, *channels)])
        self._write([_delete(own, item["sk"]["S"]) for item in joined])

    def members(self, audience: Audience, now: float) -> Iterator[Member]:
        """Yield the members of all shards; pages are read ahead of those who take them.

        Not to be called on the executor, whose threads it waits for.
        """
        pks = [_shard_pk(audience, shard) for shard in range(self._shards(audience))]
        read = map if len(pks) == 1 else self._executor.map
        for pk, first in zip(pks, read(self._page, pks), strict=True):
            page = first
            while page.last_key:
                following = self._executor.submit(self._page, pk, page.last_key)
                yield from _alive(page, now)
                page = following.result()
            yield from _alive(page, now)

    def _pages(self, pk: str) -> Iterator[_Page]:
        page = self._page(pk)
        yield page
        while page.last_key:
            page = self._page(pk, page.last_key)
            yield page

    def _page(self, pk: str, start: Item | None = None) -> _Page:
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": pk}},
            "ConsistentRead": True,
        }
        if start:
            query["ExclusiveStartKey"] = start
        answer = self._dynamodb.call("Query", query)
        return _Page(answer.get("Items", []), answer.get("LastEvaluatedKey"))

    def _write(self, requests: Sequence[Mapping[str, Any]]) -> None:
        self._dynamodb.write(self._table, requests)

    def _shards(self, audience: Audience) -> int:
        return self._everyone_shards if audience.kind == "everyone" else 1

    def _member_pk(self, audience: Audience, connection_id: str) -> str:
        return _shard_pk(audience, shard_of(connection_id, self._shards(audience)))

    def _member_item(self, audience: Audience, member: Member) -> Item:
        return {
            **_key(self._member_pk(audience, member.connection_id), member.connection_id),
            "principalId": {"S": member.principal_id},
            "connectedAt": {"N": str(member.connected_at)},
            "expiresAt": {"N": str(member.expires_at)},
        }

    def _joined_item(self, connection: Connection, channel: Audience) -> Item:
        shard = shard_of(connection.connection_id, self._shards(channel))
        return {
            **_key(_connection_pk(connection.connection_id), f"audience#{channel}"),
            "shard": {"N": str(shard)},
            "expiresAt": {"N": str(connection.expires_at)},
        }


def _connection_pk(connection_id: str) -> str:
    return f"connection#{connection_id}"


def _shard_pk(audience: Audience, shard: int) -> str:
    return f"audience#{audience}#{shard}"


def _key(pk: str, sk: str) -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _put(item: Item) -> Mapping[str, Any]:
    return {"PutRequest": {"Item": item}}


def _delete(pk: str, sk: str) -> Mapping[str, Any]:
    return {"DeleteRequest": {"Key": _key(pk, sk)}}


def _connection_item(connection: Connection) -> Item:
    return {
        **_key(_connection_pk(connection.connection_id), "connection"),
        "principalId": {"S": connection.principal_id},
        "context": {"M": {name: {"S": value} for name, value in connection.context.items()}},
        "connectedAt": {"N": str(connection.connected_at)},
        "expiresAt": {"N": str(connection.expires_at)},
        "sourceIp": {"S": connection.source_ip},
        "apiId": {"S": connection.api_id},
        "stage": {"S": connection.stage},
    }


def _connection(item: Item) -> Connection:
    return Connection(
        connection_id=item["pk"]["S"].removeprefix("connection#"),
        principal_id=item["principalId"]["S"],
        connected_at=int(item["connectedAt"]["N"]),
        expires_at=int(item["expiresAt"]["N"]),
        source_ip=item["sourceIp"]["S"],
        api_id=item["apiId"]["S"],
        stage=item["stage"]["S"],
        context={name: value["S"] for name, value in item["context"]["M"].items()},
    )


def _alive(page: _Page, now: float) -> Iterator[Member]:
    return (member for member in map(_member, page.items) if member.expires_at > now)


def _member(item: Item) -> Member:
    return Member(
        connection_id=item["sk"]["S"],
        principal_id=item["principalId"]["S"],
        connected_at=int(item["connectedAt"]["N"]),
        expires_at=int(item["expiresAt"]["N"]),
    )
