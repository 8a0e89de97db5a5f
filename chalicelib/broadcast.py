"""Sends one payload to all of an audience, and says what came of every single one."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol, TypedDict

from chalicelib.connections import Audience, ConnectionRepository, Member
from chalicelib.errors import ConnectionGone, LimitExceeded, PayloadTooLarge, PortcullisError

# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
MAX_PAYLOAD_BYTES = 131_072
# A post that overtakes $connect is answered 410 too.
MIN_STALE_AGE_SECONDS = 10

_logger = logging.getLogger(__name__)


class Identity(TypedDict, total=False):
    """Who is at the other end of a connection, as API Gateway knows it."""

    sourceIp: str
    userAgent: str


class ConnectionStatus(TypedDict):
    """What API Gateway knows of a connection; times in ISO 8601."""

    connectedAt: str
    identity: Identity
    lastActiveAt: str


class ManagementAPI(Protocol):
    """The ``@connections`` API of one stage.

    All raise ConnectionGone, LimitExceeded, ServiceUnavailable or ConfigurationError.
    """

    def post_to_connection(self, connection_id: str, data: bytes) -> None:
        """Send one text frame; raises PayloadTooLarge over 128 KiB."""

    def get_connection(self, connection_id: str) -> ConnectionStatus:
        """Return what API Gateway knows of a connection."""

    def delete_connection(self, connection_id: str) -> None:
        """Close a connection; the client sees 1000, whatever the reason."""


class Outcome(StrEnum):
    """What came of one member of an audience."""

    DELIVERED = "delivered"
    GONE = "gone"
    EXPIRED = "expired"
    SLOW = "slow"
    FAILED = "failed"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of a broadcast; ``targeted`` is always the sum of the others."""

    delivered: int = 0
    gone: int = 0
    expired: int = 0
    slow: int = 0
    failed: int = 0
    deferred: int = 0

    @property
    def targeted(self) -> int:
        """How many members the audience had."""
        return sum(self._counts().values())

    def to_dict(self) -> dict[str, int]:
        """Return the counts as clients see them, the sum first."""
        return {"targeted": self.targeted, **self._counts()}

    def _counts(self) -> dict[str, int]:
        return {outcome.value: getattr(self, outcome.value) for outcome in Outcome}


@dataclass(frozen=True, slots=True)
class Broadcaster:
    """Posts with many in flight; ``now`` and ``budget`` are in seconds."""

    connections: ConnectionRepository
    management_api: ManagementAPI
    executor: Executor
    now: Callable[[], float]
    budget: float = 20.0

    def broadcast(self, audience: Audience, payload: bytes) -> Delivery:
        """Send to everyone in an audience; no receiver can stop the rest.

        Raises PayloadTooLarge before anything is sent, ServiceUnavailable if the audience
        cannot be read.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge(f"{len(payload)} bytes")
        started = self.now()
        send = partial(self._send, payload, started + self.budget)
        members = self.connections.members(audience, started)
        counts: Mapping[str, int] = Counter(self.executor.map(send, members))
        return Delivery(**counts)

    def _send(self, payload: bytes, deadline: float, member: Member) -> str:
        now = self.now()
        if now >= deadline:
            return Outcome.DEFERRED
        if member.expires_at <= now:
            return Outcome.EXPIRED
        try:
            self.management_api.post_to_connection(member.connection_id, payload)
        except ConnectionGone:
            self._forget(member, now)
            return Outcome.GONE
        except LimitExceeded:
            return Outcome.SLOW
        except PortcullisError as error:
            _logger.warning("post to %s failed: %s", member.connection_id, error)
            return Outcome.FAILED
        return Outcome.DELIVERED

    def _forget(self, member: Member, now: float) -> None:
        if now - member.connected_at / 1000 < MIN_STALE_AGE_SECONDS:
            return
        # What stays behind is found stale again, or expires.
        with suppress(PortcullisError):
            self.connections.remove(member.connection_id, member.principal_id)
