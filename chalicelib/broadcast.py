"""Sends one payload to all of an audience, and says what came of every single one."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypedDict

from chalicelib.connections import Audience, ConnectionRepository, Member
from chalicelib.errors import PayloadTooLarge, PortcullisError, ServiceUnavailable
from chalicelib.reading import Place, Reading

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


class Posted(NamedTuple):
    """What came of a member; a ``repeated`` post may have reached it twice."""

    member: Member
    outcome: Outcome
    is_repeated: bool = False


class ManagementAPI(Protocol):
    """The ``@connections`` API of one stage.

    What concerns one connection raises ConnectionGone, LimitExceeded, ServiceUnavailable or
    ConfigurationError.
    """

    def post_to_connection(self, connection_id: str, data: bytes) -> None:
        """Send one text frame; raises PayloadTooLarge over 128 KiB."""

    def post_to_members(
        self,
        members: Iterable[Member | None],
        data: bytes,
        budget: float,
        rate: float | None = None,
    ) -> Iterator[Posted]:
        """Send one text frame to each, many at once, and yield what came of it as it ends.

        Members are taken as they can be sent to, at ``rate`` per second; None is none yet.
        Within ``budget`` seconds all that were taken have failed, if the frame may have reached
        them, or are deferred.
        """

    def get_connection(self, connection_id: str) -> ConnectionStatus:
        """Return what API Gateway knows of a connection."""

    def delete_connection(self, connection_id: str) -> None:
        """Close a connection; the client sees 1000, whatever the reason."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of a broadcast; ``targeted`` is always the sum of the outcomes."""

    delivered: int = 0
    gone: int = 0
    expired: int = 0
    slow: int = 0
    failed: int = 0
    deferred: int = 0
    repeated: int = 0
    """Of these, who may have received it twice."""

    @property
    def targeted(self) -> int:
        """How many members of the audience were read."""
        return sum(getattr(self, outcome.value) for outcome in Outcome)

    def counts(self) -> dict[str, int]:
        """Return the counts as clients see them, the sum first."""
        outcomes = {outcome.value: getattr(self, outcome.value) for outcome in Outcome}
        return {"targeted": self.targeted, **outcomes, "repeated": self.repeated}


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a broadcast, and of those it has not read itself."""

    delivery: Delivery
    job_id: str | None = None
    """The job that sends to those who were not read."""
    is_complete: bool = True
    """Whether everybody is counted, or left to the job."""

    def to_dict(self) -> dict[str, Any]:
        """Return what a sender is told."""
        told: dict[str, Any] = {"delivery": self.delivery.counts()}
        if self.job_id is not None:
            told["jobId"] = self.job_id
        if not self.is_complete:
            told["incomplete"] = True
        return told


class Jobs(Protocol):
    """Whoever sends later what a broadcast has no time for."""

    def hand_over(
        self, message_id: str, audience: Audience, payload: bytes, places: Sequence[Place]
    ) -> str:
        """Return the id of the job that goes on at these places; raises ServiceUnavailable."""


class Report(Protocol):
    """Whoever keeps the figures."""

    def __call__(self, kind: str, counts: Mapping[str, int], seconds: float, size: int) -> None:
        """Note what came of a payload of so many bytes, by ``broadcast`` or by ``job``."""


def no_report(kind: str, counts: Mapping[str, int], seconds: float, size: int) -> None:
    """Keep no figures."""


@dataclass(frozen=True, slots=True)
class Sending:
    """Sends to those who are read, and forgets who has gone."""

    connections: ConnectionRepository
    management_api: ManagementAPI
    executor: Executor
    """Forgets, while others are still sent to."""
    now: Callable[[], float]
    """Seconds since the epoch."""
    clock: Callable[[], float] = time.monotonic

    def send(
        self,
        reading: Reading,
        payload: bytes,
        end: float,
        rate: float | None = None,
        seen: Callable[[Posted], None] = lambda posted: None,
    ) -> Counter[str]:
        """Return how many had which outcome, ``repeated`` too; no receiver can stop the rest.

        ``end`` is by the clock; ``seen`` is told each outcome as it is known.
        """
        started = self.now()
        counts: Counter[str] = Counter()
        removals: list[Future[None]] = []
        budget = max(0.0, end - self.clock())
        members = reading.members()
        for posted in self.management_api.post_to_members(members, payload, budget, rate):
            counts[posted.outcome] += 1
            counts["repeated"] += posted.is_repeated
            seen(posted)
            if posted.outcome is Outcome.GONE and _is_stale(posted.member, started):
                removals.append(self.executor.submit(self._forget, posted.member))
        self._finish(removals, end - self.clock())
        counts[Outcome.EXPIRED] += reading.expired
        return counts

    def _forget(self, member: Member) -> None:
        # What stays behind is found stale again, or expires.
        with suppress(PortcullisError):
            self.connections.remove(member.connection_id, member.principal_id)

    def _finish(self, removals: Sequence[Future[None]], timeout: float) -> None:
        _, late = wait(removals, max(0.0, timeout))
        for removal in late:
            removal.cancel()


@dataclass(frozen=True, slots=True)
class Broadcaster:
    """Sends to audiences; to large ones only the beginning, the rest is handed over to a job."""

    sending: Sending
    jobs: Jobs | None = None
    """None: there is no queue."""
    threshold: int = 500
    """To how many is sent before the rest is handed over."""
    budget: float = 25.0
    """Seconds; of them a fifth for what is on its way when no more is taken."""
    report: Report = no_report

    def broadcast(self, audience: Audience, payload: bytes, message_id: str) -> Sent:
        """Send to everyone in an audience.

        Raises PayloadTooLarge before anything is sent, ServiceUnavailable if the audience
        cannot be read to its end and nobody takes over; those that were read are sent to.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge(f"{len(payload)} bytes")
        started = self.sending.clock()
        reading = self._reading(audience, started)
        counts = self.sending.send(reading, payload, started + self.budget)
        rest = reading.rest()
        job_id = self._hand_over(message_id, audience, payload, rest)
        sent = Sent(Delivery(**counts), job_id, is_complete=not rest or job_id is not None)
        seconds = self.sending.clock() - started
        self.report("broadcast", sent.delivery.counts(), seconds, len(payload))
        if reading.problem is not None and not sent.is_complete:
            _logger.error("an audience was not read to its end: %s", sent.delivery)
            raise reading.problem
        return sent

    def _reading(self, audience: Audience, started: float) -> Reading:
        connections, clock = self.sending.connections, self.sending.clock
        stop = started + self.budget * 0.8
        return Reading(
            connections,
            self.sending.executor,
            audience,
            self.sending.now,
            places=[(shard, None) for shard in range(connections.shards(audience))],
            most=None if self.jobs is None else self.threshold,
            is_over=lambda: self.jobs is not None and clock() >= stop,
        )

    def _hand_over(
        self, message_id: str, audience: Audience, payload: bytes, rest: Sequence[Place]
    ) -> str | None:
        if not rest or self.jobs is None:
            return None
        try:
            return self.jobs.hand_over(message_id, audience, payload, rest)
        except ServiceUnavailable as problem:
            _logger.error("the rest of an audience was not handed over: %s", problem)
            return None


def _is_stale(member: Member, now: float) -> bool:
    return now - member.connected_at / 1000 >= MIN_STALE_AGE_SECONDS
