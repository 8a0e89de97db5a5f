"""Connections, and the audiences they are members of; how they are stored is not said here."""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, cast

from chalicelib.errors import UnexpectedEvent

Kind = Literal["everyone", "principal", "channel", "connection"]

_MAX_PRINCIPAL_BYTES = 1024
_CHANNEL_NAME = re.compile(r"[A-Za-z0-9_.:/@-]{1,128}")
_CONNECTION_ID = re.compile(r"[A-Za-z0-9_=+/-]{1,128}")


@dataclass(frozen=True, slots=True)
class Audience:
    """Whoever can be addressed, as one string: ``everyone``, ``principal:<id>``, and so on."""

    kind: Kind
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> "Audience":
        """Read an audience from outside; ValueError if there can be no such audience."""
        if text == "everyone":
            return EVERYONE
        kind, _, name = text.partition(":")
        if not _NAME_RULES.get(kind, _never)(name):
            raise ValueError("not an audience")
        return cls(cast(Kind, kind), name)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


def _never(name: str) -> bool:
    return False


def _is_principal(name: str) -> bool:
    try:
        return 0 < len(name.encode()) <= _MAX_PRINCIPAL_BYTES
    except UnicodeEncodeError:  # a lone surrogate, which no store keeps
        return False


_NAME_RULES: Mapping[str, Callable[[str], bool]] = {
    "principal": _is_principal,
    "channel": lambda name: _CHANNEL_NAME.fullmatch(name) is not None,
    "connection": lambda name: _CONNECTION_ID.fullmatch(name) is not None,
}

EVERYONE = Audience("everyone")
REVOKED = 0
"""What a revoked connection's ``expires_at`` becomes: no clock is so late that it still lives."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection; ``connected_at`` is in milliseconds, ``expires_at`` in seconds."""

    connection_id: str
    principal_id: str
    connected_at: int
    expires_at: int
    source_ip: str = ""
    api_id: str = ""
    stage: str = ""
    context: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_event(cls, event: Mapping[str, Any], ttl: int) -> "Connection | None":
        """Read a ``$connect`` event; None if no authorizer has named a principal.

        ``ttl`` is in seconds. Raises UnexpectedEvent for anything but a ``$connect`` event.
        """
        request = request_context(event, "CONNECT")
        principal_id = authorized_principal(request)
        if principal_id is None:
            return None
        authorizer = request["authorizer"]
        return cls(
            connection_id=request["connectionId"],
            principal_id=principal_id,
            connected_at=request["connectedAt"],
            expires_at=_expires_at(request["connectedAt"] // 1000 + ttl, authorizer),
            source_ip=(request.get("identity") or {}).get("sourceIp") or "",
            api_id=request["apiId"],
            stage=request["stage"],
            context=_context(authorizer),
        )

    def member(self) -> "Member":
        """Return what an audience keeps of this connection."""
        return Member(self.connection_id, self.principal_id, self.connected_at, self.expires_at)


class Member(NamedTuple):
    """A connection as its audience knows it; times as in Connection."""

    connection_id: str
    principal_id: str
    connected_at: int
    expires_at: int


class Page(NamedTuple):
    """A part of a shard; ``last`` is where the next page starts, None at the end of the shard."""

    members: tuple[Member, ...]
    last: str | None = None


class ConnectionRepository(Protocol):
    """Implementations are held to tests/contract/test_connection_repository.py.

    All raise ServiceUnavailable when the store does not answer.
    """

    def add(self, connection: Connection) -> None:
        """Remember a connection, in ``everyone`` and its own ``principal:``; replaces the old."""

    def join(self, connection_id: str, channel: Audience, now: float, most: int) -> bool:
        """Make a connection a member of a channel, until it leaves or is removed; idempotent.

        False if it is a member of ``most`` channels already. Raises ConnectionGone if the
        connection is unknown or has expired by ``now`` (seconds): nobody stays behind.
        """

    def leave(self, connection_id: str, channel: Audience) -> None:
        """End a membership; no fault where there is none."""

    def channels(self, connection_id: str) -> Sequence[Audience]:
        """Return the channels a connection is a member of, sorted."""

    def get(self, connection_id: str, now: float) -> Connection | None:
        """Return a connection, or None if it is unknown or has expired by ``now`` (seconds)."""

    def remove(self, connection_id: str, principal_id: str) -> None:
        """Forget a connection in all its audiences.

        Idempotent, for ``$disconnect`` is best effort and may repeat; completes a removal
        that stopped half way.
        """

    def expire(self, connection_id: str, principal_id: str) -> None:
        """Let a connection be expired, now and for ever, in all its audiences; it is not forgotten.

        Idempotent; whatever is not there any more is not brought back.
        """

    def renew(
        self, connection: Connection, expires_at: int, context: Mapping[str, str], now: float
    ) -> bool:
        """Let a connection expire at another time (seconds), in all its audiences.

        ``context`` replaces the one it has. False, and nothing is changed, if it is another
        principal's, unknown, or has expired by ``now`` (seconds).
        """

    def expired(self, shard: int, start: str | None, limit: int, by: float) -> Page:
        """Return those of ``everyone`` who have expired by then (seconds), as ``read`` does.

        ``limit`` is of those who are looked at.
        """

    def shards(self, audience: Audience) -> int:
        """Return in how many parts an audience is kept and read; they are numbered from 0."""

    def read(
        self, audience: Audience, shard: int, start: str | None, limit: int, now: float
    ) -> Page:
        """Return the next ``limit`` members of a shard, at most, in the order of their ids.

        ``start`` is where the last page ended, or any connection id: they come after it. Those
        who have expired by ``now`` (seconds) are left out.
        """

    def count(self, audience: Audience, shard: int, start: str | None, now: float) -> int:
        """Return how many members ``read`` would find in all its pages."""


def members(
    connections: ConnectionRepository, audience: Audience, now: float, limit: int = 1000
) -> Iterator[Member]:
    """Yield everyone in an audience, shard by shard: for where nobody waits."""
    for shard in range(connections.shards(audience)):
        page = connections.read(audience, shard, None, limit, now)
        yield from page.members
        while page.last is not None:
            page = connections.read(audience, shard, page.last, limit, now)
            yield from page.members


def implicit_audiences(principal_id: str) -> tuple[Audience, Audience]:
    """Return the audiences every connection is in, for expiry and revocation sweep them."""
    return EVERYONE, Audience("principal", principal_id)


def shard_of(connection_id: str, shards: int) -> int:
    """Return which of an audience's shards holds a connection: the same one for ever."""
    # crc32, not hash(): that differs from one process to the next.
    return zlib.crc32(connection_id.encode()) % shards


def request_context(event: Mapping[str, Any], event_type: str) -> Mapping[str, Any]:
    """Return the request context of an event of this type, or raise UnexpectedEvent.

    A client chooses its route key: whether it can name ``$connect`` or ``$disconnect`` in a
    message is not documented, so no handler takes its event's type for granted.
    """
    context = event.get("requestContext")
    if not isinstance(context, Mapping) or context.get("eventType") != event_type:
        raise UnexpectedEvent(f"not a {event_type} event")
    return context


def authorized_principal(request: Mapping[str, Any]) -> str | None:
    """Return whom the authorizer has named in a request context, None if it was not asked."""
    authorizer = request.get("authorizer")
    principal_id = authorizer.get("principalId") if isinstance(authorizer, Mapping) else None
    return principal_id if isinstance(principal_id, str) and principal_id else None


def _expires_at(latest: int, authorizer: Mapping[str, Any]) -> int:
    """A credential may end before the time a connection is given."""
    told = authorizer.get("expiresAt")
    if isinstance(told, str) and told.isascii() and told.isdigit():
        return min(latest, int(told))
    return latest


def _context(authorizer: Mapping[str, Any]) -> dict[str, str]:
    own = {"principalId", "integrationLatency"}
    return {
        key: value for key, value in authorizer.items() if key not in own and isinstance(value, str)
    }
