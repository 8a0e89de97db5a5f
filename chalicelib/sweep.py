"""Once a minute: whoever has expired is told so and closed. Until then nothing reaches them."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chalicelib.connections import EVERYONE, Member
from chalicelib.endings import closing_of
from chalicelib.errors import PortcullisError

if TYPE_CHECKING:
    from chalicelib.closing import Closer

# A renewal that began in time changes several items; it is over long before this.
GRACE_SECONDS = 10
_PAGE = 1000
_AT_ONCE = 16

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Reads ``everyone``, shard by shard, and ends whoever has expired."""

    closer: Closer
    clock: Callable[[], float] = time.monotonic

    def run(self, seconds: float) -> Mapping[str, int]:
        """Return how many were ``closed``, ``left`` for the next minute or ``renewed`` meanwhile.

        ``unread`` is 1 where the time was over before all were looked at: what was closed is
        forgotten, so that the next run comes further; each begins at another shard.
        """
        end = self.clock() + seconds
        counts: Counter[str] = Counter(closed=0, left=0, renewed=0, unread=0)
        running: set[Future[str]] = set()
        for member in self._expired():
            running.add(self.closer.executor.submit(self._end, member))
            if len(running) >= _AT_ONCE:
                running = self._settle(running, counts)
            if self.clock() >= end:
                counts["unread"] = 1
                break
        while running:
            running = self._settle(running, counts)
        return counts

    def _settle(self, running: set[Future[str]], counts: Counter[str]) -> set[Future[str]]:
        done, rest = wait(running, return_when=FIRST_COMPLETED)
        counts.update(future.result() for future in done)
        return rest

    def _expired(self) -> Iterator[Member]:
        connections, by = self.closer.connections, self.closer.now() - GRACE_SECONDS
        shards = connections.shards(EVERYONE)
        first = int(self.closer.now() // 60) % shards
        for shard in (*range(first, shards), *range(first)):
            page = connections.expired(shard, None, _PAGE, by)
            yield from page.members
            while page.last is not None:
                page = connections.expired(shard, page.last, _PAGE, by)
                yield from page.members

    def _end(self, member: Member) -> str:
        try:
            return self._renew_or_close(member)
        except PortcullisError as problem:
            _logger.warning("a connection was left: %s", problem)
            return "left"

    def _renew_or_close(self, member: Member) -> str:
        connections, now = self.closer.connections, self.closer.now()
        connection = connections.get(member.connection_id, now)
        if connection is not None:
            # The connection says what counts: a renewal stopped before it came to its memberships.
            connections.renew(connection, connection.expires_at, connection.context, now)
            return "renewed"
        return "closed" if self.closer.close(member, closing_of(member.expires_at)) else "left"
