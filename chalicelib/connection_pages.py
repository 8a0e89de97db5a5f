"""Audiences page by page, over all their shards, for those who come back with a cursor.

A cursor is opaque to its owner and trusted by nobody: it names a place within the audience that is
asked for anyway, never what is read.
"""

import base64
import hashlib
import json
from dataclasses import dataclass

from chalicelib.connections import Audience, ConnectionRepository, Member
from chalicelib.errors import ClientError
from chalicelib.reading import Place

# A page may take that many reads: expired members and empty shards fill none.
MAX_READS = 64
MAX_CURSOR = 256


@dataclass(frozen=True, slots=True)
class AudiencePage:
    """Members, and the cursor of the next page; None at the end."""

    members: tuple[Member, ...]
    cursor: str | None


def read_page(
    connections: ConnectionRepository,
    audience: Audience,
    cursor: str | None,
    limit: int,
    now: float,
) -> AudiencePage:
    """Return up to ``limit`` members; fewer, even none, do not mean that it is the last page."""
    shards = connections.shards(audience)
    shard, start = (0, None) if cursor is None else _place(cursor, audience, shards)
    found: list[Member] = []
    for _ in range(MAX_READS):
        page = connections.read(audience, shard, start, limit - len(found), now)
        found += page.members
        start = page.last
        shard += page.last is None
        if shard == shards:
            return AudiencePage(tuple(found), None)
        if len(found) >= limit:
            break
    return AudiencePage(tuple(found), _cursor(audience, (shard, start)))


def _name(audience: Audience) -> str:
    """Name an audience shortly: a principal may have a kilobyte of a name."""
    return hashlib.sha256(str(audience).encode()).hexdigest()[:16]


def _cursor(audience: Audience, place: Place) -> str:
    text = json.dumps([_name(audience), *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(cursor: str, audience: Audience, shards: int) -> Place:
    match _decoded(cursor):
        case [str(name), int(shard), str() | None as start] if (
            name == _name(audience)
            and type(shard) is int
            and 0 <= shard < shards
            and (start is None or _is_connection_id(start))
        ):
            return shard, start
    raise ClientError("invalid_cursor", "cursor is none of this audience's.")


def _decoded(cursor: str) -> object:
    if len(cursor) > MAX_CURSOR or not cursor.isascii():
        return None
    try:
        value: object = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        return None
    return value


def _is_connection_id(text: str) -> bool:
    try:
        Audience.parse(f"connection:{text}")
    except ValueError:
        return False
    return True
