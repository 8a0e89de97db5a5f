"""A thin WebSocket client, so that what is measured is the server.

It masks with zeros, which servers cannot tell from any other mask, and never inflates: where
permessage-deflate is negotiated no messages are exchanged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from benchmarks.target import BenchmarkError, Target

_NO_MASK = bytes(4)
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_FIN = 0x80


def _ignore(_data: bytes) -> None:
    """Drop a message nobody waits for."""


class Client(asyncio.Protocol):
    """One connection: ``on_message`` is called with each text message."""

    def __init__(self, handshake: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.on_message: Callable[[bytes], None] = _ignore
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.deflate = False
        self.handshake_seconds = 0.0
        self._handshake = handshake
        self._buffer = b""
        self._fragments = b""
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, target: Target, *, deflate: bool = False) -> Client:
        """Connect and shake hands; raises ``BenchmarkError`` unless the answer is 101."""
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        handshake = target.handshake(deflate=deflate)
        _, client = await loop.create_connection(lambda: cls(handshake), target.host, target.port)
        await client.opened
        client.handshake_seconds = time.perf_counter() - started
        return client

    def send(self, text: bytes) -> None:
        """Send one text message."""
        self._send_frame(_TEXT, text)

    async def close(self, seconds: float = 10.0) -> None:
        """Finish the closing handshake, or drop the connection after a while."""
        self._send_frame(_CLOSE, (1000).to_bytes(2, "big"))
        await asyncio.wait([self.closed], timeout=seconds)
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        """Read the handshake's answer, then frames."""
        self._buffer = self._buffer + data if self._buffer else data
        if not self.opened.done():
            self._read_handshake()
        if self.opened.done():
            self._read_frames()

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell whoever waits that it is over."""
        self._transport = None
        if not self.opened.done():
            self.opened.set_exception(BenchmarkError("the server hung up during the handshake"))
        self.closed.set_result(None)

    # The rest is private.

    def _read_handshake(self) -> None:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        self._buffer = rest
        if head.startswith(b"HTTP/1.1 101 "):
            self.deflate = b"permessage-deflate" in head.lower()
            self.opened.set_result(None)
            return
        status = head.partition(b"\r\n")[0].decode("latin-1")
        self.opened.set_exception(BenchmarkError(f"the handshake was answered {status}"))
        if self._transport is not None:
            self._transport.abort()

    def _read_frames(self) -> None:
        data = self._buffer
        while (start_end := _payload(data)) is not None:
            start, end = start_end
            self._frame(data[0], data[start:end])
            data = data[end:]
        self._buffer = data

    def _frame(self, head: int, payload: bytes) -> None:
        opcode = head & 0xF
        if opcode == _PING:
            self._send_frame(_PONG, payload)
        elif opcode == _CLOSE and self._transport is not None:
            self._transport.close()
        elif opcode < _CLOSE:
            message = self._fragments + payload
            self._fragments = b"" if head & _FIN else message
            if head & _FIN:
                self.on_message(message)

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        if self._transport is None:
            return
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        self._transport.write(bytes([_FIN | opcode]) + length + _NO_MASK + payload)


def _payload(data: bytes) -> tuple[int, int] | None:
    """Return where the first frame's payload starts and ends, once all of it is there."""
    if len(data) < 2:
        return None
    start, size = 2, data[1]
    if size > 125:
        start = 4 if size == 126 else 10
        size = int.from_bytes(data[2:start], "big")
    end = start + size
    return (start, end) if len(data) >= end else None
