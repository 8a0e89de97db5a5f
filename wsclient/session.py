"""A connection that is kept: pinged before it is idle for too long, and opened anew if asked."""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from wsclient import words
from wsclient.backoff import delay
from wsclient.errors import CannotConnect, Closed, NoAnswer, Refused, RequestFailed
from wsclient.protocol import Frame, answers, decode, encode, error_of, is_error

_REMEMBERED = 10_000
_QUIET = 0.5
# A signal that comes just before a wait does not end it: its handler runs when the wait is over.
_LONGEST_WAIT = 1.0
_AWAY = (CannotConnect, Closed, NoAnswer)


class Connected(Protocol):
    """What a session needs of a connection; see ``wsclient.connection.Connection``."""

    def send(self, text: str) -> None:
        """Send one message; raises Closed."""

    def receive(self, seconds: float | None, wake: int | None = None) -> str | None:
        """Return the next message; raises Closed."""

    def close(self) -> None:
        """Close it."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a session is kept; times in seconds."""

    ping_every: float = 540.0
    """API Gateway closes after 600 without a message."""
    renew_after: float = 6900.0
    """API Gateway closes after 7,200. Only where ``reconnect`` is asked for."""
    reconnect: bool = False
    timeout: float = 35.0
    """For an answer. API Gateway gives a handler 29."""


def pause(seconds: float, wake: int | None) -> None:
    """Return after so many seconds, or once the descriptor ``wake`` can be read."""
    select.select([] if wake is None else [wake], [], [], seconds)


class Session:
    """One connection after the other, as one; not for several threads at once.

    ``notice`` is told what a person wants to know; ``clock`` is monotonic; ``chance`` returns
    numbers from 0 to 1; ``pause`` is as the function of this name.
    """

    def __init__(
        self,
        connect: Callable[[], Connected],
        keeping: Keeping,
        channels: Sequence[str],
        *,
        notice: Callable[[str], None],
        clock: Callable[[], float],
        chance: Callable[[], float],
        pause: Callable[[float, int | None], None] = pause,
    ) -> None:
        self._connect = connect
        self._keeping = keeping
        self._channels = channels
        self._notice = notice
        self._clock = clock
        self._chance = chance
        self._pause = pause
        self._connection: Connected | None = None
        self._waiting: deque[Frame] = deque()
        self._seen: dict[str, None] = {}
        self._closing: Frame | None = None
        self._requests = 0
        self._failures = 0
        self._next_attempt = 0.0
        self._next_ping = 0.0
        self._next_renewal = 0.0

    @property
    def is_open(self) -> bool:
        """Return whether there is a connection at the moment."""
        return self._connection is not None

    def open(self) -> None:
        """Connect and join the channels; only ``Refused`` is final where reconnecting is asked."""
        try:
            self._take(self._opened())
        except _AWAY as error:
            self.lost(error)

    def request(self, action: str, **fields: object) -> str:
        """Send a request; return its id. Raises Closed."""
        request_id = self._next_id()
        self.send({"action": action, **fields, "id": request_id})
        return request_id

    def send(self, frame: Frame) -> None:
        """Send a frame as it is; raises Closed."""
        if self._connection is None:
            raise Closed("not sent: not connected at the moment.", 1006)
        try:
            self._connection.send(encode(frame))
        except Closed as error:
            raise self._explained(error) from None
        self._next_ping = self._clock() + self._keeping.ping_every

    def ask(self, action: str, **fields: object) -> Frame:
        """Send a request and return what answers it; other frames are passed over."""
        request_id = self.request(action, **fields)
        deadline = self._clock() + self._keeping.timeout
        while (left := deadline - self._clock()) > 0:
            frame = self.receive(left)
            if frame is not None and answers(frame, request_id):
                return frame
        raise NoAnswer(f"no answer within {self._keeping.timeout:g} seconds.")

    def receive(self, seconds: float | None, wake: int | None = None) -> Frame | None:
        """Return the next frame, or None after so many seconds or when ``wake`` can be read.

        Raises Closed, or Refused by an attempt to connect again.
        """
        deadline = None if seconds is None else self._clock() + seconds
        while True:
            if self._waiting:
                return self._waiting.popleft()
            self._keep()
            until = self._next_event(deadline)
            seconds = min(max(0.0, until - self._clock()), _LONGEST_WAIT)
            frame = self._receive(seconds, wake)
            if frame is not None:
                return frame
            if wake is not None and select.select([wake], [], [], 0)[0]:
                return None
            if deadline is not None and self._clock() >= deadline:
                return None

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # The rest is private.

    def _keep(self) -> None:
        """Do what is due: connect again, ping, or renew."""
        now = self._clock()
        if self._connection is None:
            if now >= self._next_attempt:
                self.open()
            return
        try:
            if self._keeping.reconnect and now >= self._next_renewal:
                self._renew()
            if now >= self._next_ping:
                self.send({"action": "ping", "id": self._keepalive_id()})
        except Closed as error:
            self.lost(error)

    def _next_event(self, deadline: float | None) -> float:
        if self._connection is None:
            events = [self._next_attempt]
        else:
            events = [self._next_ping]
            if self._keeping.reconnect:
                events.append(self._next_renewal)
        return min(events if deadline is None else [*events, deadline])

    def _receive(self, seconds: float, wake: int | None) -> Frame | None:
        if self._connection is None:
            self._pause(seconds, wake)
            return None
        try:
            text = self._connection.receive(seconds, wake)
        except Closed as error:
            self.lost(self._explained(error))
            return None
        return None if text is None else self._known(decode(text))

    def _known(self, frame: Frame) -> Frame | None:
        """Return a frame, unless it answers a ping of ours or came over two connections."""
        if frame.get("type") in {"reply", "error"} and frame.get("id") == self._keepalive_id():
            return None
        if frame.get("type") == "closing":
            self._closing = frame
        message_id = frame.get("messageId")
        if frame.get("type") == "message" and isinstance(message_id, str):
            if message_id in self._seen:
                return None
            self._seen[message_id] = None
            if len(self._seen) > _REMEMBERED:
                del self._seen[next(iter(self._seen))]
        return frame

    def _opened(self) -> Connected:
        """Return a new connection which has joined the channels."""
        connection = self._connect()
        try:
            for channel in self._channels:
                self._join(connection, channel)
        except BaseException:
            connection.close()
            raise
        return connection

    def _join(self, connection: Connected, channel: str) -> None:
        request_id = self._next_id()
        connection.send(encode({"action": "join", "channel": channel, "id": request_id}))
        deadline = self._clock() + self._keeping.timeout
        while (left := deadline - self._clock()) > 0:
            text = connection.receive(left)
            if text is None:
                continue
            frame = decode(text)
            if not answers(frame, request_id):
                self._keep_for_later(frame)
            elif is_error(frame):
                raise RequestFailed(
                    f"cannot join {channel}", *map(words.printable, error_of(frame))
                )
            else:
                return
        raise NoAnswer(f"no answer within {self._keeping.timeout:g} seconds.")

    def _keep_for_later(self, frame: Frame) -> None:
        known = self._known(frame)
        if known is not None:
            self._waiting.append(known)

    def _take(self, connection: Connected) -> None:
        now = self._clock()
        self._connection = connection
        self._closing = None
        self._failures = 0
        self._next_ping = now + self._keeping.ping_every
        # Not all at once, where many were started together.
        self._next_renewal = now + self._keeping.renew_after * (1 - self._chance() / 20)

    def _renew(self) -> None:
        """Have the new connection before the old one goes, so that nothing is missed between."""
        old = self._connection
        assert old is not None
        try:
            new = self._opened()
        except (*_AWAY, Refused) as error:
            # The old one may last a while yet; when it ends, Refused ends all.
            self._failures += 1
            self._next_renewal = self._clock() + delay(self._failures, self._chance()) + 1
            self._notice(f"not renewed yet: {error}")
            return
        self._take(new)
        try:
            while (text := old.receive(_QUIET)) is not None:
                self._keep_for_later(decode(text))
        except Closed:
            pass
        old.close()

    def lost(self, error: Exception) -> None:
        """Raise the error, or plan to connect again."""
        self.close()
        if not self._keeping.reconnect:
            raise error
        seconds = delay(self._failures, self._chance())
        self._failures += 1
        self._next_attempt = self._clock() + seconds
        self._notice(f"{error} Connecting again in {seconds:.1f} s.")

    def _explained(self, error: Closed) -> Closed:
        """Return why, where the server has said so in a frame: API Gateway always closes 1000."""
        if self._closing is None:
            return error
        code, reason = self._closing.get("code"), self._closing.get("reason")
        if not isinstance(code, int):
            return error
        reason = reason if isinstance(reason, str) else ""
        return Closed(words.closing(code, reason), code, reason)

    def _next_id(self) -> str:
        self._requests += 1
        return f"wsclient-{self._requests}"

    @staticmethod
    def _keepalive_id() -> str:
        return "wsclient-keepalive"
