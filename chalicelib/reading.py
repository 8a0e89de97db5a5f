"""An audience being read while it is sent to: pages ahead of those who take them, never waiting."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future

from chalicelib.connections import Audience, ConnectionRepository, Member, Page
from chalicelib.errors import PortcullisError

PAGE = 1000
# Where in an audience to go on reading: a shard, and the connection id after which.
Place = tuple[int, str | None]


class Reading:
    """Some shards of an audience, from their places on."""

    def __init__(
        self,
        connections: ConnectionRepository,
        executor: Executor,
        audience: Audience,
        now: Callable[[], float],
        *,
        places: Sequence[Place],
        most: int | None = None,
        page: int = PAGE,
        is_over: Callable[[], bool] = lambda: False,
        announce: Callable[[Page], None] = lambda page: None,
        skip: Callable[[Member], None] = lambda member: None,
    ) -> None:
        """Take ``most`` members at most, and none once ``is_over``; ``now`` is in seconds.

        ``announce`` is called on the executor with each page, before any of it is taken;
        ``skip`` with each who has expired meanwhile.
        """
        self.expired = 0
        """Those who have expired since they were read."""
        self.problem: PortcullisError | None = None
        self._connections = connections
        self._executor = executor
        self._audience = audience
        self._now = now
        self._most = most
        self._size = page if most is None else min(page, -(-most // len(places)))
        self._is_over = is_over
        self._announce = announce
        self._skip = skip
        self._taken = 0
        self._unread: list[_Cursor] = []
        self._cursors = deque(_Cursor(shard, start) for shard, start in places)
        for cursor in self._cursors:
            self._read_ahead(cursor, cursor.start)

    def members(self) -> Iterator[Member | None]:
        """Yield who is due, and None while they are still being read.

        A shard that cannot be read does not stop the others.
        """
        while self._cursors:
            cursor = self._cursors[0]
            if not cursor.page.done():
                yield None
                continue
            try:
                page = cursor.page.result()
            except PortcullisError as problem:
                self.problem = problem
                self._unread.append(self._cursors.popleft())
                continue
            if page.last is not None and not self._is_full(len(page.members)):
                self._read_ahead(cursor, page.last)
            yield from self._take(cursor, page)
            if self._is_full() and (page.last is not None or cursor.is_cut):
                return
            self._cursors.popleft()
            if page.last is not None:
                self._cursors.append(cursor)

    def rest(self) -> list[Place]:
        """Return where to go on reading for those who were not taken; no page is read after it."""
        left = [*self._unread, *self._cursors]
        for cursor in left:
            cursor.page.cancel()
        return [(cursor.shard, cursor.start) for cursor in left]

    def _take(self, cursor: "_Cursor", page: Page) -> Iterator[Member]:
        for member in page.members:
            if self._is_full():
                cursor.is_cut = True
                return
            cursor.start = member.connection_id
            self._taken += 1
            if member.expires_at > self._now():
                yield member
            else:
                self.expired += 1
                self._skip(member)
        cursor.start = page.last

    def _is_full(self, more: int = 0) -> bool:
        return self._is_over() or (self._most is not None and self._taken + more >= self._most)

    def _read_ahead(self, cursor: "_Cursor", start: str | None) -> None:
        cursor.page = self._executor.submit(self._read, cursor.shard, start)

    def _read(self, shard: int, start: str | None) -> Page:
        page = self._connections.read(self._audience, shard, start, self._size, self._now())
        self._announce(page)
        return page


class _Cursor:
    """How far a shard is taken, and the page that is read for it."""

    __slots__ = ("is_cut", "page", "shard", "start")

    page: Future[Page]

    def __init__(self, shard: int, start: str | None) -> None:
        self.shard = shard
        self.start = start
        self.is_cut = False
