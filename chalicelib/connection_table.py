"""Connections and their audiences in the one DynamoDB table.

* connection: pk ``connection#<id>``, sk ``connection``; with principalId, context,
  connectedAt (ms), expiresAt (s, TTL), sourceIp, apiId, stage, and channels: how many it joined
* member, seen from the audience: pk ``audience#<audience>#<shard>``, sk ``<connection id>``;
  with principalId, connectedAt, expiresAt
* joined channel, seen from the connection: pk ``connection#<id>``, sk ``audience#<audience>``;
  with shard, expiresAt

The two implicit memberships have no joined item: the connection's principal says them.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from chalicelib.connections import (
    EVERYONE,
    REVOKED,
    Audience,
    Connection,
    Member,
    Page,
    implicit_audiences,
    shard_of,
)
from chalicelib.dynamodb import DynamoDB, Item, TransactionRefused
from chalicelib.errors import ConditionFailed, ConnectionGone

_CHANNEL_PREFIX = "audience#"


class DynamoDBConnectionRepository:
    """The ConnectionRepository that ships. All reads are strongly consistent."""

    def __init__(
        self, dynamodb: DynamoDB, table: str, everyone_shards: int, channel_shards: int
    ) -> None:
        """The numbers of shards must stay as they are while connections are remembered."""
        self._dynamodb = dynamodb
        self._table = table
        self._shards = {"everyone": everyone_shards, "channel": channel_shards}

    def add(self, connection: Connection) -> None:
        """Write the audience side first: whoever is found by ``get`` can also be addressed."""
        member = connection.member()
        audiences = implicit_audiences(connection.principal_id)
        self._write([_put(self._member_item(audience, member)) for audience in audiences])
        self._dynamodb.call(
            "PutItem", {"TableName": self._table, "Item": _connection_item(connection)}
        )

    def join(self, connection_id: str, channel: Audience, now: float, most: int) -> bool:
        """Write both sides in one transaction with a look at the connection.

        So a removal either comes first, and nothing is joined, or finds what was joined.
        """
        connection = self._alive(connection_id, now)
        while not self._try_to_join(connection, channel, now, most):
            known, connection = connection, self._alive(connection_id, now)
            if connection.expires_at == known.expires_at:
                return False
            # It was renewed meanwhile; its membership must not end before it does.
        return True

    def _alive(self, connection_id: str, now: float) -> Connection:
        connection = self.get(connection_id, now)
        if connection is None:
            raise ConnectionGone(connection_id)
        return connection

    def _try_to_join(
        self, connection: Connection, channel: Audience, now: float, most: int
    ) -> bool:
        try:
            self._transact(
                self._count_one_more(connection, now, most),
                self._put_unless_there(self._joined_item(connection, channel)),
                self._in_transaction("Put", Item=self._member_item(channel, connection.member())),
            )
        except TransactionRefused as problem:
            return 1 in problem.refused  # it had joined before
        return True

    def leave(self, connection_id: str, channel: Audience) -> None:
        """Delete both sides at once, and count one less."""
        own = _connection_pk(connection_id)
        count_one_less = {
            "Key": _key(own, "connection"),
            "UpdateExpression": "ADD channels :less",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeValues": {":less": {"N": "-1"}},
        }
        joined = {
            "Key": _key(own, f"{_CHANNEL_PREFIX}{channel}"),
            "ConditionExpression": "attribute_exists(pk)",
        }
        member = {"Key": _key(self._member_pk(channel, connection_id), connection_id)}
        # Refused: it was no member, or is being removed from all its channels.
        with suppress(TransactionRefused):
            self._transact(
                self._in_transaction("Update", **count_one_less),
                self._in_transaction("Delete", **joined),
                self._in_transaction("Delete", **member),
            )

    def channels(self, connection_id: str) -> list[Audience]:
        """Return the channels a connection has joined."""
        return [channel for channel, _ in self._joined(connection_id)]

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
        joined = self._joined(connection_id)
        channels = [f"{_CHANNEL_PREFIX}{channel}#{shard}" for channel, shard in joined]
        implicit = [
            self._member_pk(audience, connection_id)
            for audience in implicit_audiences(principal_id)
        ]
        self._write([_delete(pk, connection_id) for pk in (*implicit, *channels)])
        self._write([_delete(own, f"{_CHANNEL_PREFIX}{channel}") for channel, _ in joined])

    def expire(self, connection_id: str, principal_id: str) -> None:
        """Mark the connection first: from then on it joins nothing that would not be marked."""
        own = _key(_connection_pk(connection_id), "connection")
        values = {":revoked": {"N": str(REVOKED)}}
        self._change(own, "SET expiresAt = :revoked", "attribute_exists(pk)", values)
        for key in self._memberships(connection_id, principal_id):
            self._change(key, "SET expiresAt = :revoked", "attribute_exists(pk)", values)

    def renew(
        self, connection: Connection, expires_at: int, context: Mapping[str, str], now: float
    ) -> bool:
        """Change the connection first, then its memberships, but none that is revoked.

        What is joined meanwhile is joined with the new time.
        """
        own = _key(_connection_pk(connection.connection_id), "connection")
        values = {
            ":until": {"N": str(expires_at)},
            ":context": {"M": _texts(context)},
            ":principal": {"S": connection.principal_id},
            ":now": {"N": str(int(now))},
        }
        change = "SET expiresAt = :until, context = :context"
        if not self._change(own, change, "principalId = :principal AND expiresAt > :now", values):
            return False
        values = {":until": {"N": str(expires_at)}, ":revoked": {"N": str(REVOKED)}}
        for key in self._memberships(connection.connection_id, connection.principal_id):
            self._change(key, "SET expiresAt = :until", "expiresAt > :revoked", values)
        return True

    def expired(self, shard: int, start: str | None, limit: int, by: float) -> Page:
        """Have the others left out by DynamoDB: they are read, but not sent."""
        answer = self._query(
            _shard_pk(EVERYONE, shard),
            start=start,
            Limit=limit,
            FilterExpression="expiresAt <= :by",
            values={":by": {"N": str(int(by))}},
        )
        return Page(tuple(map(_member, answer.get("Items", ()))), _last_sk(answer))

    def shards(self, audience: Audience) -> int:
        """Return over how many partitions an audience is spread."""
        return self._shards.get(audience.kind, 1)

    def read(
        self, audience: Audience, shard: int, start: str | None, limit: int, now: float
    ) -> Page:
        """Read one page of a shard."""
        if audience.kind == "connection":
            connection = self.get(audience.name, now)
            return Page((connection.member(),) if connection else ())
        pk = _shard_pk(audience, shard)
        answer = self._query(pk, start=start, Limit=limit)
        members = tuple(
            member for member in map(_member, answer.get("Items", ())) if member.expires_at > now
        )
        return Page(members, _last_sk(answer))

    def count(self, audience: Audience, shard: int, start: str | None, now: float) -> int:
        """Have the members of a shard after ``start`` counted, not sent."""
        if audience.kind == "connection":
            return len(self.read(audience, shard, start, 1, now).members)
        number = 0
        while True:
            answer = self._query(
                _shard_pk(audience, shard),
                start=start,
                Select="COUNT",
                FilterExpression="expiresAt > :now",
                values={":now": {"N": str(int(now))}},
            )
            number += int(answer.get("Count", 0))
            start = _last_sk(answer)
            if start is None:
                return number

    def _memberships(self, connection_id: str, principal_id: str) -> list[Item]:
        """Return the keys of all items beside a connection's own: implicit ones, then joined."""
        joined = self._joined(connection_id)
        implicit = implicit_audiences(principal_id)
        return [
            *(_key(self._member_pk(it, connection_id), connection_id) for it in implicit),
            *(
                key
                for channel, shard in joined
                for key in (
                    _key(f"{_CHANNEL_PREFIX}{channel}#{shard}", connection_id),
                    _key(_connection_pk(connection_id), f"{_CHANNEL_PREFIX}{channel}"),
                )
            ),
        ]

    def _change(self, key: Item, change: str, condition: str, values: Mapping[str, Any]) -> bool:
        """Change an item; False, and nothing is changed, where the condition does not hold."""
        payload = {
            "TableName": self._table,
            "Key": key,
            "UpdateExpression": change,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }
        try:
            self._dynamodb.call("UpdateItem", payload)
        except ConditionFailed:
            return False
        return True

    def _joined(self, connection_id: str) -> list[tuple[Audience, str]]:
        """Return the channels of a connection, each with its shard."""
        pk = _connection_pk(connection_id)
        found: list[tuple[Audience, str]] = []
        start: str | None = None
        while True:
            answer = self._query(
                pk, start=start, sort="begins_with(sk, :sk)", values={":sk": {"S": _CHANNEL_PREFIX}}
            )
            for item in answer.get("Items", ()):
                channel = Audience.parse(item["sk"]["S"].removeprefix(_CHANNEL_PREFIX))
                found.append((channel, item["shard"]["N"]))
            start = _last_sk(answer)
            if start is None:
                return found

    def _query(
        self,
        pk: str,
        *,
        start: str | None,
        sort: str = "",
        values: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": f"pk = :pk AND {sort}" if sort else "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": pk}, **(values or {})},
            "ConsistentRead": True,
            **options,
        }
        if start is not None:
            query["ExclusiveStartKey"] = _key(pk, start)
        return self._dynamodb.call("Query", query)

    def _transact(self, *items: Mapping[str, Any]) -> None:
        self._dynamodb.call("TransactWriteItems", {"TransactItems": items})

    def _in_transaction(self, operation: str, **details: Any) -> Mapping[str, Any]:
        return {operation: {"TableName": self._table, **details}}

    def _put_unless_there(self, item: Item) -> Mapping[str, Any]:
        return self._in_transaction(
            "Put", Item=item, ConditionExpression="attribute_not_exists(pk)"
        )

    def _count_one_more(self, connection: Connection, now: float, most: int) -> Mapping[str, Any]:
        return self._in_transaction(
            "Update",
            Key=_key(_connection_pk(connection.connection_id), "connection"),
            UpdateExpression="ADD channels :more",
            ConditionExpression=(
                "attribute_exists(pk) AND expiresAt > :now AND expiresAt = :known"
                " AND (attribute_not_exists(channels) OR channels < :most)"
            ),
            ExpressionAttributeValues={
                ":more": {"N": "1"},
                ":now": {"N": str(int(now))},
                ":known": {"N": str(connection.expires_at)},
                ":most": {"N": str(most)},
            },
        )

    def _write(self, requests: Sequence[Mapping[str, Any]]) -> None:
        self._dynamodb.write(self._table, requests)

    def _member_pk(self, audience: Audience, connection_id: str) -> str:
        return _shard_pk(audience, shard_of(connection_id, self.shards(audience)))

    def _member_item(self, audience: Audience, member: Member) -> Item:
        return {
            **_key(self._member_pk(audience, member.connection_id), member.connection_id),
            "principalId": {"S": member.principal_id},
            "connectedAt": {"N": str(member.connected_at)},
            "expiresAt": {"N": str(member.expires_at)},
        }

    def _joined_item(self, connection: Connection, channel: Audience) -> Item:
        shard = shard_of(connection.connection_id, self.shards(channel))
        return {
            **_key(_connection_pk(connection.connection_id), f"{_CHANNEL_PREFIX}{channel}"),
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
        "context": {"M": _texts(connection.context)},
        "connectedAt": {"N": str(connection.connected_at)},
        "expiresAt": {"N": str(connection.expires_at)},
        "sourceIp": {"S": connection.source_ip},
        "apiId": {"S": connection.api_id},
        "stage": {"S": connection.stage},
    }


def _texts(context: Mapping[str, str]) -> Item:
    return {name: {"S": value} for name, value in context.items()}


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


def _last_sk(answer: Mapping[str, Any]) -> str | None:
    key = answer.get("LastEvaluatedKey")
    return str(key["sk"]["S"]) if key else None


def _member(item: Item) -> Member:
    return Member(
        connection_id=item["sk"]["S"],
        principal_id=item["principalId"]["S"],
        connected_at=int(item["connectedAt"]["N"]),
        expires_at=int(item["expiresAt"]["N"]),
    )
