"""Many HTTP exchanges with one origin at once, on one thread.

Every item gets exactly one answer, or the reason why it has none, within the budget and whatever
the other side does. Threads would spend most of their time on each other.
"""

import heapq
import selectors
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar, cast

from chalicelib.backoff import Backoff
from chalicelib.errors import ServiceUnavailable
from chalicelib.http1 import NotHTTP, Response, ResponseParser
from chalicelib.origin import Address, Origin

T = TypeVar("T")

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE
# What a record of TLS holds at most: none is left behind where no selector sees it.
_RECEIVED_AT_ONCE = 16 * 1024
# How late a time limit may be noticed.
_TICK = 0.05
_BACKOFF = Backoff(longest=2.0)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why an item has no answer; a ``deferred`` one was not sent, for there was no time left."""

    reason: str
    deferred: bool = False


Result = Response | NoAnswer

_NO_TIME = NoAnswer("no time left to send it", deferred=True)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once, and how often; pauses between attempts are those of ``backoff``."""

    sockets: int = 32
    attempts: int = 4
    backoff: Backoff = _BACKOFF


DEFAULT_LIMITS = Limits()


class _Post(Generic[T]):
    """An item on its way; ``problem`` is what came of the last attempt."""

    __slots__ = ("failures", "item", "problem", "was_stale")

    def __init__(self, item: T) -> None:
        self.item = item
        self.failures = 0
        self.problem: Result = _NO_TIME
        self.was_stale = False


class _Channel(Generic[T]):
    """A connection, and the post that is on it if any."""

    __slots__ = (
        "address", "deadline", "events", "fd", "is_connected", "is_open", "is_reused", "parser",
        "post", "since", "sock", "unsent",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, address: Address | None, since: float) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.address = address
        self.since = since
        self.is_reused = self.is_connected = self.is_open = address is None
        """Connected is TCP; open is TLS too, where there is TLS."""
        self.events = 0
        self.deadline = 0.0
        self.unsent = b""
        self.post: _Post[T] | None = None
        self.parser = ResponseParser()


class Exchanges(Generic[T]):
    """One run of exchanges; ``request`` makes the request of an item whenever it is sent."""

    def __init__(
        self,
        origin: Origin,
        request: Callable[[T], bytes],
        budget: float,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """``budget`` is in seconds, from now on."""
        self._origin = origin
        self._request = request
        self._limits = limits
        self._clock = limits.backoff.clock
        self._end = self._clock() + budget
        self._selector = selectors.DefaultSelector()
        self._results: deque[tuple[T, Result]] = deque()
        self._ready: deque[_Post[T]] = deque()
        self._waiting: list[tuple[float, int, _Post[T]]] = []
        self._numbers = count()
        self._busy: set[_Channel[T]] = set()
        self._free: list[_Channel[T]] = []
        self._next_sweep = 0.0
        self._connect_failures = 0
        self._connect_failed_at = self._connect_after = float("-inf")
        self._unreachable: NoAnswer | None = None

    def run(self, items: Iterable[T]) -> Iterator[tuple[T, Result]]:
        """Yield every item with what came of it, in the order they end.

        Items are taken as they can be sent, all that are left once there is no more time.
        """
        source = iter(items)
        try:
            while self._start(source):
                self._turn()
                while self._results:
                    yield self._results.popleft()
            yield from self._results
            yield from self._unfinished()
            for item in source:
                yield item, self._unreachable or _NO_TIME
        finally:
            self._close()

    def _start(self, source: Iterator[T]) -> bool:
        """Put posts on all connections there may be; False if there is nothing left to do."""
        while len(self._busy) < self._limits.sockets:
            if self._clock() >= self._end:
                return False
            post = self._next_post(source)
            if post is None:
                break
            channel = self._channel_for(post)
            if channel is None:
                self._ready.appendleft(post)
                break
            self._put(post, channel)
        if self._busy:
            return self._clock() < self._end
        return self._unreachable is None and bool(self._ready or self._waiting)

    def _next_post(self, source: Iterator[T]) -> _Post[T] | None:
        if self._ready:
            return self._ready.popleft()
        if self._waiting and self._waiting[0][0] <= self._clock():
            return heapq.heappop(self._waiting)[2]
        if len(self._waiting) >= 4 * self._limits.sockets:
            return None  # the other side has trouble enough
        for item in source:
            return _Post(item)
        return None

    def _channel_for(self, post: _Post[T]) -> _Channel[T] | None:
        if self._free:
            channel = self._free.pop()
            if not post.was_stale:
                return channel
            self._drop(channel)
        kept = None if post.was_stale else self._origin.take()
        if kept is None:
            return self._connect()
        kept.setblocking(False)
        return self._watch(_Channel(kept, None, self._clock()), _READ)

    def _connect(self) -> _Channel[T] | None:
        now = self._clock()
        if self._unreachable or now < self._connect_after:
            return None
        address = None
        try:
            timeout = max(0.0, min(self._origin.connect_timeout, self._end - now))
            address = self._origin.addresses(timeout)[0]
            sock = self._origin.begin(address)
        except (OSError, ServiceUnavailable) as error:
            self._connect_failed(address, now, error)
            return None
        return self._watch(_Channel(sock, address, now), _WRITE)

    def _connect_failed(self, address: Address | None, since: float, error: Exception) -> None:
        """Those that were begun together fail together, and count once."""
        if since <= self._connect_failed_at:
            return
        now = self._connect_failed_at = self._clock()
        self._connect_failures += 1
        self._connect_after = now + self._limits.backoff.pause(self._connect_failures)
        if address is not None:
            self._origin.avoid(address)
        is_open = self._free or any(channel.is_open for channel in self._busy)
        if self._connect_failures >= self._limits.attempts and not is_open:
            self._unreachable = NoAnswer(f"cannot connect: {error}")

    def _put(self, post: _Post[T], channel: _Channel[T]) -> None:
        channel.post = post
        self._busy.add(channel)
        if channel.is_open:
            self._begin(channel)
        else:
            channel.deadline = channel.since + self._origin.connect_timeout

    def _begin(self, channel: _Channel[T]) -> None:
        channel.parser = ResponseParser()
        channel.deadline = self._clock() + self._origin.read_timeout
        channel.unsent = self._request(cast(_Post[T], channel.post).item)
        self._advance(channel, _WRITE)

    def _turn(self) -> None:
        """Wait until something happens, and carry on what it happens to."""
        now = self._clock()
        wait = min(_TICK, self._end - now)
        if self._waiting and not self._ready and len(self._busy) < self._limits.sockets:
            wait = min(wait, self._waiting[0][0] - now)
        for key, events in self._selector.select(wait):
            self._advance(key.data, events)
        now = self._clock()
        if now >= self._next_sweep:
            self._next_sweep = now + _TICK
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        for channel in [channel for channel in self._busy if channel.deadline <= now]:
            if channel.is_open:
                post = self._take_off(channel)
                self._results.append((post.item, NoAnswer("no answer in time")))
                self._drop(channel)
            else:
                self._broken(channel, TimeoutError("not in time"))

    def _advance(self, channel: _Channel[T], events: int) -> None:
        try:
            if not channel.is_open:
                self._open(channel)
                return
            if events & _READ:
                self._receive(channel)
            if events & _WRITE and channel.unsent:
                self._send(channel)
        except self._origin.again:
            pass
        except (OSError, NotHTTP) as error:
            self._broken(channel, error)

    def _open(self, channel: _Channel[T]) -> None:
        if not channel.is_connected:
            error = channel.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "cannot connect")
            channel.is_connected = True
            if self._origin.is_tls:
                channel.sock = self._origin.secure(channel.sock)
        if self._origin.is_tls:
            self._watch(channel, _READ)  # a hello fits into any send buffer
            channel.sock.do_handshake()  # type: ignore[attr-defined]
        channel.is_open = True
        self._connect_failures = 0
        self._watch(channel, _READ)
        self._begin(channel)

    def _send(self, channel: _Channel[T]) -> None:
        try:
            sent = channel.sock.send(channel.unsent)
        except self._origin.again:
            sent = 0
        channel.unsent = channel.unsent[sent:]
        self._watch(channel, _READ | _WRITE if channel.unsent else _READ)

    def _receive(self, channel: _Channel[T]) -> None:
        data = channel.sock.recv(_RECEIVED_AT_ONCE)
        if channel.post is None:
            raise ConnectionResetError("closed while it was idle")
        response = channel.parser.feed(data) if data else channel.parser.eof()
        if response is not None:
            self._answered(channel, response)
        elif not data:
            raise ConnectionResetError("closed before the answer was whole")

    def _answered(self, channel: _Channel[T], response: Response) -> None:
        post = self._take_off(channel)
        if channel.parser.keep_alive and not channel.unsent:
            channel.is_reused = True
            self._free.append(channel)
        else:
            channel.unsent = b""
            self._drop(channel)
        if response.status >= 500:
            self._retry(post, response)
        else:
            self._results.append((post.item, response))

    def _broken(self, channel: _Channel[T], error: Exception) -> None:
        if channel.post is None:
            self._free.remove(channel)
            self._drop(channel)
            return
        post = self._take_off(channel)
        self._drop(channel)
        problem = NoAnswer(f"no answer: {error!r}")
        if not channel.is_open:
            self._connect_failed(channel.address, channel.since, error)
            self._ready.append(post)
        elif isinstance(error, NotHTTP):
            self._results.append((post.item, NoAnswer(str(error))))
        elif channel.is_reused and not channel.parser.started and not post.was_stale:
            # Closed while it was idle, which shows only now; its neighbours are no younger.
            self._origin.close()
            post.was_stale = True
            post.problem = problem  # who knows whether it was read
            self._ready.append(post)
        else:
            self._retry(post, problem)

    def _retry(self, post: _Post[T], problem: Result) -> None:
        post.failures += 1
        post.problem = problem
        due = self._clock() + self._limits.backoff.pause(post.failures)
        if post.failures >= self._limits.attempts or due >= self._end:
            self._results.append((post.item, problem))
        else:
            heapq.heappush(self._waiting, (due, next(self._numbers), post))

    def _unfinished(self) -> Iterator[tuple[T, Result]]:
        for channel in self._busy:
            post = cast(_Post[T], channel.post)
            yield post.item, NoAnswer("no answer in time") if channel.is_open else post.problem
        for post in (*self._ready, *(post for _, _, post in self._waiting)):
            unsent = post.problem is _NO_TIME and self._unreachable
            yield post.item, unsent or post.problem

    def _watch(self, channel: _Channel[T], events: int) -> _Channel[T]:
        if not channel.events:
            self._selector.register(channel.fd, events, channel)
        elif channel.events != events:
            self._selector.modify(channel.fd, events, channel)
        channel.events = events
        return channel

    def _take_off(self, channel: _Channel[T]) -> _Post[T]:
        post = cast(_Post[T], channel.post)
        channel.post = None
        self._busy.discard(channel)
        return post

    def _drop(self, channel: _Channel[T]) -> None:
        self._selector.unregister(channel.fd)
        channel.sock.close()

    def _close(self) -> None:
        self._selector.close()
        for channel in self._busy:
            channel.sock.close()
        for channel in self._free:
            self._origin.keep(channel.sock)
