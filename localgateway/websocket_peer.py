"""An open WebSocket: websockets' sans-I/O protocol on an asyncio transport."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import SERVER, Protocol, State

from localgateway.events import Connection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from websockets.extensions import Extension

    from localgateway.gateway import Gateway
    from localgateway.server import Server

_NO_STATUS = "Client-side close frame status not set"
"""What AWS writes as reason where a client's close frame has no status (1005)."""

_SLICE = 1024
"""Bytes read at once, before looking whether the client is sending more than is handled."""

_NOTHING = memoryview(b"")

_quiet = logging.getLogger("localgateway.websocket")
_quiet.setLevel(logging.WARNING)


class WebSocketPeer(asyncio.Protocol):
    """One client, from 101 to the end of its TCP connection."""

    __slots__ = (
        "_ending",
        "_failed",
        "_fragments",
        "_gateway",
        "_in_flight",
        "_protocol",
        "_server",
        "_transport",
        "_unread",
        "connection",
        "last_active_at",
    )

    def __init__(
        self,
        connection: Connection,
        gateway: Gateway,
        extensions: Sequence[Extension],
        server: Server,
    ) -> None:
        self.connection = connection
        self.last_active_at = connection.connected_at
        self._gateway = gateway
        self._server = server
        limits = gateway.limits
        self._protocol = Protocol(
            SERVER,
            state=State.OPEN,
            max_size=(limits.message_size, limits.frame_size),
            logger=_quiet,
        )
        self._protocol.extensions = list(extensions)
        self._transport: asyncio.Transport | None = None
        self._fragments: bytearray | None = None
        self._unread = _NOTHING
        self._in_flight = 0
        self._ending: asyncio.TimerHandle | None = None
        self._failed = False

    def take_over(self, transport: asyncio.Transport, response: bytes, rest: bytes) -> None:
        """Answer the handshake and become the transport's protocol; ``rest`` is read first."""
        if transport.is_closing():
            # The client left while the app decided; connection_lost has been called on another.
            self.connection_lost(None)
            return
        self._transport = transport
        self._server.http_protocols.discard(transport.get_protocol())
        transport.set_protocol(self)
        transport.write(response)
        transport.resume_reading()
        if rest:
            self.data_received(rest)

    # What asyncio calls.

    def data_received(self, data: bytes) -> None:
        """Read frames and act on each, as long as their messages are handled in time."""
        self._unread = memoryview(bytes(self._unread) + data if self._unread else data)
        self._read_on()

    def eof_received(self) -> None:
        """Let the transport close: a client that sends no more is gone."""
        self._protocol.receive_eof()
        self._after_receiving()
        self._left(CloseCode.ABNORMAL_CLOSURE, "")  # the first word counts, if there was one

    def connection_lost(self, _error: Exception | None) -> None:
        """Whatever has not been said about the end by now is an abnormal closure."""
        if self._transport is not None:
            self._server.transports.discard(self._transport)
        self._transport = None
        if self._ending is not None:
            self._ending.cancel()  # it would keep all of this in memory
        self._left(CloseCode.ABNORMAL_CLOSURE, "")

    # What the gateway calls.

    def send(self, data: bytes) -> bool:
        """Send one text message, in frames no larger than a client may send us."""
        transport = self._transport
        if transport is None or self._protocol.state is not State.OPEN:
            return False
        if transport.get_write_buffer_size() > self._gateway.limits.client_buffer:
            return False
        self.last_active_at = self._gateway.clock()
        size = self._gateway.limits.frame_size
        self._protocol.send_text(data[:size], fin=len(data) <= size)
        for start in range(size, len(data), size):
            self._protocol.send_continuation(data[start : start + size], start + size >= len(data))
        self._flush()
        return True

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake, and tell the app."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._flush()
            self._end_soon()
        self._left(code, reason)

    # The rest is private.

    def _read_on(self) -> None:
        # In slices: one chunk may hold thousands of frames, each of which may inflate a lot.
        while self._unread and self._in_flight < self._gateway.limits.messages_in_flight:
            data, self._unread = self._unread[:_SLICE], self._unread[_SLICE:]
            self._protocol.receive_data(bytes(data))
            for event in self._protocol.events_received():
                if isinstance(event, Frame):
                    self._frame_received(event)
            self._refuse_endless_compression()
            self._after_receiving()
        if not self._unread:
            self._unread = _NOTHING  # an empty view of what was received would keep all of that
        self._pause_or_resume()

    def _pause_or_resume(self) -> None:
        if self._transport is None:
            return
        if self._unread:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _refuse_endless_compression(self) -> None:
        # zlib keeps what comes after a last block, and a message is never too long by it.
        for extension in self._protocol.extensions:
            decoder = getattr(extension, "decoder", None)
            if decoder is not None and decoder.eof:
                self._fail(CloseCode.PROTOCOL_ERROR, "Data after the last block")

    def _frame_received(self, frame: Frame) -> None:
        # A close frame may have come along: what was sent before it is handled all the same.
        if self._failed:
            return
        if frame.opcode is Opcode.BINARY:
            self._fail(CloseCode.UNSUPPORTED_DATA, "Binary frames are not supported")
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._collect(frame)

    def _collect(self, frame: Frame) -> None:
        if self._fragments is None and frame.fin:
            self._message_received(bytes(frame.data))
            return
        if self._fragments is None:
            self._fragments = bytearray()
        self._fragments += frame.data
        if frame.fin:
            fragments, self._fragments = self._fragments, None
            self._message_received(bytes(fragments))

    def _message_received(self, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, "Not valid UTF-8")
            return
        if self.connection.connection_id not in self._gateway.peers:
            return  # we have closed, and what the client still sends leads nowhere
        self.last_active_at = self._gateway.clock()
        if not self._gateway.take_request():
            self._fail(CloseCode.POLICY_VIOLATION, "Too Many Requests")
            return
        self._in_flight += 1
        self._server.spawn(self._handle(text))

    def _fail(self, code: CloseCode, reason: str) -> None:
        self._failed = True
        if self._protocol.state is State.OPEN:
            self._protocol.fail(code, reason)

    async def _handle(self, text: str) -> None:
        try:
            await self._gateway.receive(self, text)
        finally:
            self._in_flight -= 1
            if self._unread and self._transport is not None:
                self._read_on()

    def _after_receiving(self) -> None:
        self._flush()
        limits = self._gateway.limits
        if self._transport is not None and (
            self._transport.get_write_buffer_size() > limits.client_buffer + limits.message_size
        ):
            # Posts end at the client's buffer; this is a client that pings and never reads. Its
            # socket is read on for as long as that is so, or we would not see it leave.
            self._transport.abort()
        if self._protocol.state is State.OPEN:
            return
        received, sent = self._protocol.close_rcvd, self._protocol.close_sent
        self._end_soon()
        if received is not None:
            no_status = received.code == CloseCode.NO_STATUS_RCVD
            self._left(received.code, _NO_STATUS if no_status else received.reason)
        elif sent is not None:
            self._left(sent.code, sent.reason)

    def _flush(self) -> None:
        writes = self._protocol.data_to_send()
        transport = self._transport
        if not writes or transport is None or transport.is_closing():
            return
        data = b"".join(writes)
        if data:
            transport.write(data)
        if not writes[-1] and transport.can_write_eof():
            # Not close(): what the client still sends would be answered with a reset, and the
            # reset may overtake our close frame.
            with suppress(OSError):  # the client may have gone already
                transport.write_eof()

    def _end_soon(self) -> None:
        """Drop the client if it does not finish the closing handshake by itself."""
        if self._ending is None and self._transport is not None:
            loop = asyncio.get_running_loop()
            seconds = self._gateway.limits.close_timeout
            self._ending = loop.call_later(seconds, self._transport.abort)

    def _left(self, code: int, reason: str) -> None:
        if self._gateway.forget(self):
            self._server.tell_of_end(self.connection, code, reason)
