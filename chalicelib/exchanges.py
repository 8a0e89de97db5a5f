"""Many HTTP exchanges with one origin at once, on one thread.

Every item that is taken gets exactly one answer, or the reason why it has none, within the budget
and whatever the other side does. Threads would spend most of their time on each other.

What may have been acted upon is not sent again in silence: such an answer is ``repeated``.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar, cast

from chalicelib.backoff import Backoff
from chalicelib.http1 import Response
from chalicelib.origin import Origin
from chalicelib.pacing import Pace
from chalicelib.sockets import TICK, Broken, Channels

T = TypeVar("T")

# How soon to ask again for items that are still being read.
_POLL = 0.005
_BACKOFF = Backoff(longest=2.0)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why an item has no answer; a ``deferred`` one has reached nobody: it was not sent in time."""

    reason: str
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class Repeated:
    """What came of an item whose request may have been acted upon more than once."""

    result: Response | NoAnswer


Result = Response | NoAnswer | Repeated

_NO_TIME = NoAnswer("no time left to send it", deferred=True)
_THROTTLED = NoAnswer("the account is over its quota", deferred=True)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once, and how often; pauses between attempts are those of ``backoff``.

    ``refusals`` is how often an item may be refused while many others are, too.
    """

    sockets: int = 32
    attempts: int = 4
    refusals: int = 12
    backoff: Backoff = _BACKOFF


DEFAULT_LIMITS = Limits()


class _Post(Generic[T]):
    """An item on its way; ``problem`` is what came of the last attempt."""

    __slots__ = (
        "failures", "is_doubtful", "is_repeated", "item", "problem", "refusals", "was_stale",
    )  # fmt: skip

    def __init__(self, item: T) -> None:
        self.item = item
        self.failures = 0
        self.refusals = 0
        self.problem: Response | NoAnswer = _NO_TIME
        self.was_stale = False
        self.is_doubtful = False
        """It was sent, and nobody said that it was not acted upon."""
        self.is_repeated = False
        """It was sent once more after that."""


class Exchanges(Generic[T]):
    """One run of exchanges; ``request`` makes the request of an item whenever it is sent."""

    def __init__(
        self,
        origin: Origin,
        request: Callable[[T], bytes],
        budget: float,
        limits: Limits = DEFAULT_LIMITS,
        rate: float | None = None,
    ) -> None:
        """``budget`` is in seconds, from now on; ``rate`` in requests per second."""
        self._request = request
        self._limits = limits
        self._clock = limits.backoff.clock
        now = self._clock()
        self._end = now + budget
        self._pace = Pace(rate, now)
        self._results: deque[tuple[T, Result]] = deque()
        self._ready: deque[_Post[T]] = deque()
        self._waiting: list[tuple[float, int, _Post[T]]] = []
        self._numbers = count()
        self._is_reading = True
        self._is_short = False
        """There is no item yet."""
        self._channels: Channels[_Post[T]] = Channels(
            origin,
            self._end,
            limits.attempts,
            limits.backoff,
            request=self._send,
            answered=self._answered,
            broken=self._broken,
        )

    def run(self, items: Iterable[T | None]) -> Iterator[tuple[T, Result]]:
        """Yield every item with what came of it, in the order they end.

        Items are taken as they can be sent; None is none yet. When there is no more time, those
        that are there are yielded unsent, up to the first None.
        """
        source = iter(items)
        try:
            while self._start(source):
                self._channels.turn(self._wait())
                while self._results:
                    yield self._results.popleft()
            yield from self._results
            yield from self._unfinished()
            for item in source:
                if item is None:
                    break
                yield item, self._unreachable() or _NO_TIME
        finally:
            self._channels.close()
            del self._channels  # it calls back, and so nothing would be freed at once

    def _start(self, source: Iterator[T | None]) -> bool:
        """Put posts on all connections there may be; False if there is nothing left to do."""
        busy = self._channels.busy
        while len(busy) < self._limits.sockets:
            now = self._clock()
            if now >= self._end:
                return False
            if self._pace.delay(now):
                break
            post = self._next_post(source, now)
            if post is None:
                break
            if not self._channels.put(post, fresh=post.was_stale):
                self._ready.appendleft(post)
                break
            self._pace.begin(now)
        if busy:
            return self._clock() < self._end
        is_left = self._ready or self._waiting or self._is_reading
        return self._channels.unreachable is None and bool(is_left)

    def _next_post(self, source: Iterator[T | None], now: float) -> _Post[T] | None:
        if self._ready:
            return self._ready.popleft()
        if self._waiting and self._waiting[0][0] <= now:
            return heapq.heappop(self._waiting)[2]
        if not self._is_reading or self._has_trouble():
            return None
        for item in source:
            self._is_short = item is None
            return None if item is None else _Post(item)
        self._is_reading = False
        return None

    def _wait(self) -> float:
        now = self._clock()
        wait = min(TICK, self._end - now)
        if len(self._channels.busy) < self._limits.sockets and not self._ready:
            soonest = self._waiting[0][0] - now if self._waiting else TICK
            if self._is_reading and not self._has_trouble():
                soonest = min(soonest, _POLL if self._is_short else 0.0)
            wait = min(wait, max(soonest, self._pace.delay(now)))
        return max(0.0, wait)

    def _has_trouble(self) -> bool:
        """So many wait for another attempt that no more are taken."""
        return len(self._waiting) >= 4 * self._limits.sockets

    def _send(self, post: _Post[T]) -> bytes:
        request = self._request(post.item)
        post.is_repeated = post.is_repeated or post.is_doubtful
        return request

    def _answered(self, post: _Post[T], response: Response) -> None:
        now = self._clock()
        if response.status == 429:
            self._refused(post, response, now)
            return
        self._pace.answered(now)
        if response.status >= 500:
            post.is_doubtful = True
            self._retry(post, response)
        else:
            self._finish(post, response)

    def _refused(self, post: _Post[T], response: Response, now: float) -> None:
        """Try again: for a receiver that does not read a few times, for an account many times."""
        self._pace.refused(now, is_first=not post.refusals)
        post.refusals += 1
        if post.refusals >= self._limits.refusals:
            self._finish(post, response)
        elif self._pace.throttled:
            self._later(post, post.problem if post.is_doubtful else _THROTTLED, post.refusals)
        else:
            self._retry(post, response)

    def _broken(self, post: _Post[T], how: Broken, error: Exception, is_whole: bool) -> None:
        post.is_doubtful = post.is_doubtful or is_whole
        if how is Broken.UNSENT:
            self._ready.append(post)
        elif how in (Broken.LATE, Broken.NOT_HTTP):
            self._finish(post, NoAnswer(str(error)))
        elif how is Broken.STALE and not post.was_stale:
            post.was_stale = True
            if post.is_doubtful:
                post.problem = NoAnswer(f"no answer: {error!r}")
            self._ready.append(post)
        else:
            self._retry(post, NoAnswer(f"no answer: {error!r}"))

    def _retry(self, post: _Post[T], problem: Response | NoAnswer) -> None:
        post.failures += 1
        if post.failures >= self._limits.attempts:
            self._finish(post, problem)
        else:
            self._later(post, problem, post.failures)

    def _later(self, post: _Post[T], problem: Response | NoAnswer, failures: int) -> None:
        post.problem = problem
        due = self._clock() + self._limits.backoff.pause(failures)
        if due >= self._end:
            self._finish(post, problem)
        else:
            heapq.heappush(self._waiting, (due, next(self._numbers), post))

    def _finish(self, post: _Post[T], result: Response | NoAnswer) -> None:
        self._results.append((post.item, Repeated(result) if post.is_repeated else result))

    def _unreachable(self) -> NoAnswer | None:
        reason = self._channels.unreachable
        return None if reason is None else NoAnswer(reason)

    def _unfinished(self) -> Iterator[tuple[T, Result]]:
        for channel in self._channels.busy:
            post = cast(_Post[T], channel.post)
            self._finish(post, NoAnswer("no answer in time") if channel.is_open else post.problem)
        for post in (*self._ready, *(post for _, _, post in self._waiting)):
            unsent = post.problem is _NO_TIME and self._unreachable()
            self._finish(post, unsent or post.problem)
        yield from self._results
