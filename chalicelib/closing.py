"""Closes connections: says why in a last message, for API Gateway says 1000 whatever the reason.

A connection is forgotten only once it is certain that it is closed. API Gateway answers 410 for
one that is gone and for one whose handshake has not finished yet; the young are tried again.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass

from chalicelib.broadcast import MIN_STALE_AGE_SECONDS, ManagementAPI
from chalicelib.connections import ConnectionRepository, Member
from chalicelib.endings import Closing
from chalicelib.errors import ConnectionGone, NotAConnectionId, PortcullisError

PAUSE_SECONDS = 0.5

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Closer:
    """Closes connections of any stage; ``management_api`` is by API id and stage."""

    connections: ConnectionRepository
    management_api: Callable[[str, str], ManagementAPI]
    executor: Executor
    now: Callable[[], float]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def close(self, member: Member, closing: Closing, where: tuple[str, str] | None = None) -> bool:
        """Close and forget a connection; False if that is not certain yet.

        ``where`` are its API id and stage; None has them looked up. Whatever fails is logged:
        whoever comes next tries again.
        """
        try:
            where = where or self._where(member)
            is_closed = where is not None and hang_up(
                self.management_api(*where), member.connection_id, closing
            )
            if not is_closed and is_young(member.connected_at, self.now()):
                return False
            self.connections.remove(member.connection_id, member.principal_id)
        except PortcullisError as problem:
            _logger.warning("a connection was not closed: %s", problem)
            return False
        return True

    def close_all(
        self, members: Iterable[Member], closing: Closing, seconds: float
    ) -> Sequence[Member]:
        """Close connections, many at once, the young again and again; return who is left."""
        end = self.clock() + seconds
        left = tuple(members)
        while left:
            running = [(it, self.executor.submit(self.close, it, closing)) for it in left]
            wait([future for _, future in running], max(0.0, end - self.clock()))
            for _, future in running:
                future.cancel()
            left = tuple(it for it, future in running if not _has_closed(future))
            if not left or self.clock() + PAUSE_SECONDS >= end:
                break
            self.sleep(PAUSE_SECONDS)
        return left

    def _where(self, member: Member) -> tuple[str, str] | None:
        connection = self.connections.get(member.connection_id, -1)
        return None if connection is None else (connection.api_id, connection.stage)


def hang_up(management_api: ManagementAPI, connection_id: str, closing: Closing) -> bool:
    """Say why, then close; False if API Gateway knows of no such connection, or not yet."""
    with suppress(PortcullisError):  # who reads nothing any more is closed all the same
        management_api.post_to_connection(connection_id, closing.frame())
    try:
        management_api.delete_connection(connection_id)
    except (ConnectionGone, NotAConnectionId):
        return False
    return True


def is_young(connected_at: int, now: float) -> bool:
    """Tell whether its handshake may still be under way; milliseconds, and seconds."""
    return now - connected_at / 1000 < MIN_STALE_AGE_SECONDS


def _has_closed(future: Future[bool]) -> bool:
    return future.done() and not future.cancelled() and future.result()
