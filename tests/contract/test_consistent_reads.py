"""What lets anybody in, or keeps anybody out, is read strongly consistent: engines always do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from chalicelib.authorizers.api_key import new_key
from chalicelib.connection_table import DynamoDBConnectionRepository
from chalicelib.connections import EVERYONE, Audience, members
from chalicelib.credential_store import DynamoDBKeys
from chalicelib.dynamodb import DynamoDB
from chalicelib.managed_keys import every_key
from chalicelib.rate_table import DynamoDBRates
from chalicelib.revocation_table import DynamoDBRevocations
from chalicelib.scopes import Scopes
from localgateway.database import EmbeddedDatabase
from tests.engine import make_dynamodb
from tests.factories import CONNECTION_ID, NOW, make_connection

_numbers = itertools.count()
READS = frozenset({"GetItem", "Query"})


class Noting(DynamoDB):
    """Notes each read, and whether it was strongly consistent."""

    reads: list[tuple[str, object]]

    def call(self, operation: str, payload: Any) -> dict[str, Any]:
        if operation in READS:
            self.reads.append((operation, payload.get("ConsistentRead")))
        return super().call(operation, payload)


@pytest.fixture
def dynamodb(database: EmbeddedDatabase) -> Noting:
    noting = make_dynamodb(database, f"reads-{next(_numbers)}")
    noting.__class__ = Noting
    assert isinstance(noting, Noting)
    noting.reads = []
    return noting


def test_every_read_is_strongly_consistent(dynamodb: Noting) -> None:
    table = f"reads-{next(_numbers) - 1}"
    keys, revocations = DynamoDBKeys(dynamodb, table), DynamoDBRevocations(dynamodb, table)
    connections = DynamoDBConnectionRepository(dynamodb, table, 2, 1)
    channel = Audience("channel", "news")
    _, key = new_key("alice", Scopes(), NOW)
    keys.add(key)
    assert keys.get(key.key_id) == key
    assert [it.key_id for it in every_key(keys)] == [key.key_id]
    revocations.revoke("alice", int(NOW))
    assert revocations.not_before("alice") == NOW
    DynamoDBRates(dynamodb, table).get("alice")
    connections.add(make_connection())
    connections.join(CONNECTION_ID, channel, NOW, 5)
    assert connections.get(CONNECTION_ID, NOW) is not None
    for audience in (EVERYONE, Audience("principal", "alice"), channel):
        assert len(list(members(connections, audience, NOW))) == 1
    connections.expired(0, None, 10, NOW)
    connections.count(channel, 0, None, NOW)
    connections.renew(make_connection(), int(NOW) + 60, {}, NOW)
    connections.expire(CONNECTION_ID, "alice")
    connections.remove(CONNECTION_ID, "alice")
    assert len(dynamodb.reads) > 10
    assert set(dynamodb.reads) == {(operation, True) for operation in READS}
