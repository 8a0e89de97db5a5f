"""Non-blocking connections to one origin, each with one request on it at most.

Says what came of each request by calling back; what to do about it is decided in exchanges.py.
"""

import select
import selectors
import socket
from collections.abc import Callable
from enum import Enum, auto
from typing import Generic, TypeVar, cast

from chalicelib.backoff import Backoff
from chalicelib.errors import ServiceUnavailable
from chalicelib.http1 import NotHTTP, Response, ResponseParser
from chalicelib.origin import Address, Origin

P = TypeVar("P")

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE
# What a record of TLS holds at most: none is left behind where no selector sees it.
_RECEIVED_AT_ONCE = 16 * 1024
# How late a time limit may be noticed.
TICK = 0.05


class Broken(Enum):
    """How a request can end without an answer."""

    UNSENT = auto()
    """No connection was made."""
    STALE = auto()
    """A connection that had been used before was closed without a word."""
    LOST = auto()
    """The connection broke before the answer was whole."""
    LATE = auto()
    """It was not answered in time."""
    NOT_HTTP = auto()
    """What came back is no answer."""


class Channel(Generic[P]):
    """A connection, and the request that is on it if any."""

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
        self.post: P | None = None
        self.parser = ResponseParser()


class Channels(Generic[P]):
    """As many connections as there may be, with requests on some of them."""

    def __init__(
        self,
        origin: Origin,
        end: float,
        attempts: int,
        backoff: Backoff,
        *,
        request: Callable[[P], bytes],
        answered: Callable[[P, Response], None],
        broken: Callable[[P, Broken, Exception, bool], None],
    ) -> None:
        """``end`` is when time is up, by the clock of ``backoff``.

        ``broken`` is told last whether the request went out whole, so that it may have been
        acted upon. After so many ``attempts`` to connect, with none open, it is ``unreachable``.
        """
        self.busy: set[Channel[P]] = set()
        self.unreachable: str | None = None
        self._origin = origin
        self._end = end
        self._attempts = attempts
        self._backoff = backoff
        self._clock = backoff.clock
        self._request = request
        self._answered = answered
        self._broken = broken
        self._selector = selectors.DefaultSelector()
        self._free: list[Channel[P]] = []
        self._next_sweep = 0.0
        self._connect_failures = 0
        self._connect_failed_at = self._connect_after = float("-inf")

    def put(self, post: P, *, fresh: bool) -> bool:
        """Send a request, once a connection is open; False if there is none to be had now.

        A ``fresh`` connection is one that has not been used before.
        """
        channel = self._channel(fresh=fresh)
        if channel is None:
            return False
        channel.post = post
        self.busy.add(channel)
        if channel.is_open:
            self._begin(channel)
        else:
            channel.deadline = channel.since + self._origin.connect_timeout
        return True

    def turn(self, wait: float) -> None:
        """Wait until something happens, and carry on what it happens to."""
        for key, events in self._selector.select(wait):
            self._advance(key.data, events)
        now = self._clock()
        if now >= self._next_sweep:
            self._next_sweep = now + TICK
            self._sweep(now)

    def close(self) -> None:
        """Keep what is free, and close what is in use."""
        self._selector.close()
        for channel in self.busy:
            channel.sock.close()
        for channel in self._free:
            self._origin.keep(channel.sock)

    def _channel(self, *, fresh: bool) -> Channel[P] | None:
        if self._free:
            channel = self._free.pop()
            if not fresh:
                return channel
            self._drop(channel)
        kept = None if fresh else self._kept()
        if kept is None:
            return self._connect()
        return self._watch(Channel(kept, None, self._clock()), _READ)

    def _kept(self) -> socket.socket | None:
        """Return a kept connection on which nothing has come in, its end least of all.

        Seen now it costs nothing; seen after the request has gone out, who knows who read it.
        """
        while (sock := self._origin.take()) is not None:
            sock.setblocking(False)
            poll = select.poll()  # select itself knows no descriptor above 1,023
            poll.register(sock, select.POLLIN)
            if not poll.poll(0):
                return sock
            sock.close()
        return None

    def _connect(self) -> Channel[P] | None:
        now = self._clock()
        if self.unreachable or now < self._connect_after:
            return None
        address = None
        try:
            timeout = max(0.0, min(self._origin.connect_timeout, self._end - now))
            address = self._origin.addresses(timeout)[0]
            sock = self._origin.begin(address)
        except (OSError, ServiceUnavailable) as error:
            self._connect_failed(address, now, error)
            return None
        return self._watch(Channel(sock, address, now), _WRITE)

    def _connect_failed(self, address: Address | None, since: float, error: Exception) -> None:
        """Those that were begun together fail together, and count once."""
        if since <= self._connect_failed_at:
            return
        now = self._connect_failed_at = self._clock()
        self._connect_failures += 1
        self._connect_after = now + self._backoff.pause(self._connect_failures)
        if address is not None:
            self._origin.avoid(address)
        is_open = self._free or any(channel.is_open for channel in self.busy)
        if self._connect_failures >= self._attempts and not is_open:
            self.unreachable = f"cannot connect: {error}"

    def _begin(self, channel: Channel[P]) -> None:
        channel.parser = ResponseParser()
        channel.deadline = self._clock() + self._origin.read_timeout
        channel.unsent = self._request(cast(P, channel.post))
        self._advance(channel, _WRITE)

    def _sweep(self, now: float) -> None:
        for channel in [channel for channel in self.busy if channel.deadline <= now]:
            if channel.is_open:
                self._end_of(channel, Broken.LATE, TimeoutError("no answer in time"))
            else:
                self._break(channel, TimeoutError("not in time"))

    def _advance(self, channel: Channel[P], events: int) -> None:
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
            self._break(channel, error)

    def _open(self, channel: Channel[P]) -> None:
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

    def _send(self, channel: Channel[P]) -> None:
        try:
            sent = channel.sock.send(channel.unsent)
        except self._origin.again:
            sent = 0
        channel.unsent = channel.unsent[sent:]
        self._watch(channel, _READ | _WRITE if channel.unsent else _READ)

    def _receive(self, channel: Channel[P]) -> None:
        data = channel.sock.recv(_RECEIVED_AT_ONCE)
        if channel.post is None:
            raise ConnectionResetError("closed while it was idle")
        response = channel.parser.feed(data) if data else channel.parser.eof()
        if response is not None:
            self._answer(channel, response)
        elif not data:
            raise ConnectionResetError("closed before the answer was whole")

    def _answer(self, channel: Channel[P], response: Response) -> None:
        post = self._take_off(channel)
        if channel.parser.keep_alive and not channel.unsent:
            channel.is_reused = True
            self._free.append(channel)
        else:
            channel.unsent = b""
            self._drop(channel)
        self._answered(post, response)

    def _break(self, channel: Channel[P], error: Exception) -> None:
        if channel.post is None:
            self._free.remove(channel)
            self._drop(channel)
        elif not channel.is_open:
            self._connect_failed(channel.address, channel.since, error)
            self._end_of(channel, Broken.UNSENT, error)
        elif isinstance(error, NotHTTP):
            self._end_of(channel, Broken.NOT_HTTP, error)
        elif channel.is_reused and not channel.parser.started:
            # Closed while it was idle, which shows only now; its neighbours are no younger.
            self._origin.close()
            self._end_of(channel, Broken.STALE, error)
        else:
            self._end_of(channel, Broken.LOST, error)

    def _end_of(self, channel: Channel[P], how: Broken, error: Exception) -> None:
        post = self._take_off(channel)
        self._drop(channel)
        self._broken(post, how, error, channel.is_open and not channel.unsent)

    def _watch(self, channel: Channel[P], events: int) -> Channel[P]:
        if not channel.events:
            self._selector.register(channel.fd, events, channel)
        elif channel.events != events:
            self._selector.modify(channel.fd, events, channel)
        channel.events = events
        return channel

    def _take_off(self, channel: Channel[P]) -> P:
        post = cast(P, channel.post)
        channel.post = None
        self.busy.discard(channel)
        return post

    def _drop(self, channel: Channel[P]) -> None:
        self._selector.unregister(channel.fd)
        channel.sock.close()
