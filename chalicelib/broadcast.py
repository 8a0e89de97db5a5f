"""Sends one payload to all of an audience, and says what came of every single one."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypedDict

from chalicelib.connections import Audience, ConnectionRepository, Member
from chalicelib.errors import PayloadTooLarge, PortcullisError

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


class Outcome(StrEnum):
    """What came of one member of an audience."""

    DELIVERED = "delivered"
    GONE = "gone"
    EXPIRED = "expired"
    SLOW = "slow"
    FAILED = "failed"
    DEFERRED = "deferred"


class ManagementAPI(Protocol):
    """The ``@connections`` API of one stage.

    What concerns one connection raises ConnectionGone, LimitExceeded, ServiceUnavailable or
    ConfigurationError.
    """

    def post_to_connection(self, connection_id: str, data: bytes) -> None:
        """Send one text frame; raises PayloadTooLarge over 128 KiB."""

    def post_to_members(
        self, members: Iterable[Member], data: bytes, budget: float
    ) -> Iterator[tuple[Member, Outcome]]:
        """Send one text frame to each, many at once, and yield what came of it as it ends.

        Members are taken as they can be sent to. Within ``budget`` seconds all that are left
        have failed, if the frame may have reached them, or are deferred.
        """

    def get_connection(self, connection_id: str) -> ConnectionStatus:
        """Return what API Gateway knows of a connection."""

    def delete_connection(self, connection_id: str) -> None:
        """Close a connection; the client sees 1000, whatever the reason."""


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
    """Sends to audiences; ``now`` and ``budget`` are in seconds.

    The executor forgets who has gone, while others are still sent to.
    """

    connections: ConnectionRepository
    management_api: ManagementAPI
    executor: Executor
    now: Callable[[], float]
    budget: float = 25.0

    def broadcast(self, audience: Audience, payload: bytes) -> Delivery:
        """Send to everyone in an audience; no receiver can stop the rest.

        Raises PayloadTooLarge before anything is sent, ServiceUnavailable if the audience
        cannot be read to its end; those that were read are sent to.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge(f"{len(payload)} bytes")
        started = self.now()
        reading = _Reading(self.connections.members(audience, started), self.now)
        counts: Counter[str] = Counter()
        removals: list[Future[None]] = []
        for member, outcome in self.management_api.post_to_members(
            reading.due(), payload, self.budget
        ):
            counts[outcome] += 1
            if outcome is Outcome.GONE and _is_stale(member, started):
                removals.append(self.executor.submit(self._forget, member))
        self._finish(removals, started + self.budget - self.now())
        counts[Outcome.EXPIRED] = reading.expired
        delivery = Delivery(**counts)
        if reading.problem is not None:
            _logger.error("an audience was not read to its end: %s", delivery)
            raise reading.problem
        return delivery

    def _forget(self, member: Member) -> None:
        # What stays behind is found stale again, or expires.
        with suppress(PortcullisError):
            self.connections.remove(member.connection_id, member.principal_id)

    def _finish(self, removals: Sequence[Future[None]], timeout: float) -> None:
        _, late = wait(removals, max(0.0, timeout))
        for removal in late:
            removal.cancel()


def _is_stale(member: Member, now: float) -> bool:
    return now - member.connected_at / 1000 >= MIN_STALE_AGE_SECONDS


@dataclass(slots=True)
class _Reading:
    """An audience being read: whom to send to, and what else came of it."""

    members: Iterator[Member]
    now: Callable[[], float]
    expired: int = 0
    problem: PortcullisError | None = None

    def due(self) -> Iterator[Member]:
        """Yield those that have not expired by now; ends where no more can be read."""
        try:
            for member in self.members:
                if member.expires_at > self.now():
                    yield member
                else:
                    self.expired += 1
        except PortcullisError as problem:
            self.problem = problem
