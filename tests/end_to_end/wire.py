"""Bytes, sockets and the gateway's log, for what no client library would send."""

from __future__ import annotations

import http.client
import io
import logging
import resource
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from localgateway.definition import Route
from tests.end_to_end.conftest import Serve, accept
from tests.gateway_under_test import NET, GatewayUnderTest, eventually

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
CONTINUATION = 0x0
KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
VERSION = "Sec-WebSocket-Version: 13"
UPGRADE = ("Host: x", "Connection: Upgrade", "Upgrade: websocket", VERSION, KEY)
SIGNED = "Authorization: AWS4-HMAC-SHA256 Credential=any"
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def head(request_line: str, *headers: str) -> bytes:
    """Return the head of a request; text that is not ASCII goes out as latin-1."""
    return "\r\n".join([request_line, *headers, "", ""]).encode("latin-1")


def handshake(*headers: str, target: str = "/api") -> bytes:
    return head(f"GET {target} HTTP/1.1", *UPGRADE, *headers)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """Return a client's frame, masked with zeros, so that the payload reads as it is."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if len(payload) < 126:
        size = struct.pack("!B", 0x80 | len(payload))
    elif len(payload) < 1 << 16:
        size = struct.pack("!BH", 0x80 | 126, len(payload))
    else:
        size = struct.pack("!BQ", 0x80 | 127, len(payload))
    return bytes([first]) + size + bytes(4) + payload


def dial(gateway: GatewayUnderTest, timeout: float = NET) -> socket.socket:
    host, port = gateway.address.split(":")
    return socket.create_connection((host, int(port)), timeout=timeout)


def reset(client: socket.socket) -> None:
    """Close with a reset instead of a goodbye."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def until_closed(client: socket.socket) -> bytes:
    """Return all the gateway sends; a reset ends it as well as a goodbye, silence does not."""
    answer = io.BytesIO()
    with suppress(ConnectionError):
        while chunk := client.recv(65_536):
            answer.write(chunk)
    return answer.getvalue()


def exchange(gateway: GatewayUnderTest, data: bytes) -> bytes:
    """Send bytes and read until the gateway closes."""
    with dial(gateway) as client:
        with suppress(ConnectionError):
            client.sendall(data)
        return until_closed(client)


def statuses(answer: bytes) -> list[int]:
    """Return the statuses of consecutive responses up to a 101; fails at anything else."""
    stream = io.BytesIO(answer)
    found: list[int] = []
    while line := stream.readline():
        version, status = line.split(b" ")[:2]
        assert version == b"HTTP/1.1", line
        found.append(int(status))
        if status == b"101":
            break
        headers = http.client.parse_headers(stream)
        if not answer.startswith(b"HTTP/1.1 ", stream.tell()):  # an answer to HEAD has no body
            stream.read(int(headers.get("Content-Length", "0")))
    return found


class RawClient:
    """A WebSocket client that says what it is told to and shows what it gets."""

    def __init__(self, gateway: GatewayUnderTest, *headers: str) -> None:
        self.sock = dial(gateway)
        self.sock.sendall(handshake(*headers))
        self._received = self.sock.makefile("rb")
        assert self._received.readline().startswith(b"HTTP/1.1 101 ")
        self.headers = http.client.parse_headers(self._received)
        self._fin = True

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._received.close()
        self.sock.close()

    def reset(self) -> None:
        self._received.close()
        reset(self.sock)

    def send(self, *data: bytes) -> None:
        self.sock.sendall(b"".join(data))

    def receive(self) -> tuple[int, bytes] | None:
        """Return the next frame's opcode and payload; None at the end."""
        with suppress(ConnectionError):
            start = self._received.read(2)
            if len(start) == 2:
                self._fin, size = start[0] & 0x80 != 0, start[1]
                if size > 125:
                    width = 2 if size == 126 else 8
                    size = int.from_bytes(self._received.read(width), "big")
                return start[0] & 0x0F, self._received.read(size)
        return None

    def message(self) -> tuple[int, bytes] | None:
        """Return the next message, or control frame, whole."""
        received = self.receive()
        while received is not None and not self._fin:
            more = self.receive()
            assert more is not None
            assert more[0] == CONTINUATION
            received = received[0], received[1] + more[1]
        return received

    def close_code(self) -> int:
        """Read until the gateway closes; return its code, 1006 where it gave none."""
        while (received := self.receive()) is not None:
            opcode, payload = received
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big") if payload else 1005
        return 1006


class Log(logging.Handler):
    """Keeps what the gateway, and asyncio on its behalf, say has gone wrong."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def failures(self) -> list[str]:
        """Return the faults of the gateway's own, not those of an app."""
        return [
            f"{record.getMessage()}: {record.exc_info[1] if record.exc_info else None!r}"
            for record in self.records
            if record.name == "asyncio"
            or "itself failed" in record.getMessage()
            or "handshake" in record.name
            or "websocket" in record.name
        ]


@contextmanager
def logged() -> Iterator[Log]:
    log = Log()
    loggers = [logging.getLogger(name) for name in ("localgateway", "asyncio")]
    for logger in loggers:
        logger.addHandler(log)
    try:
        yield log
    finally:
        for logger in loggers:
            logger.removeHandler(log)


def echo(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    return {"statusCode": 200, "body": event["body"]}


def serve_echo(serve: Serve, **options: Any) -> GatewayUnderTest:
    """Start a gateway with all three handlers whose messages are answered with themselves."""
    functions = {"connect": accept, "message": echo, "disconnect": accept}
    routes = {"$default": Route("message", two_way=True), **options.pop("routes", {})}
    return serve(routes=routes, **{**functions, **options})


def works(gateway: GatewayUnderTest) -> None:
    """Hold that a well-behaved client is served now."""
    client = gateway.connect()
    client.send("still here")
    assert client.recv() == "still here"
    client.close()


def nothing_left(gateway: GatewayUnderTest) -> None:
    """Hold that the gateway keeps nothing of clients that have left."""
    server, peers = gateway.server, gateway.gateway.peers
    # Asked in its own thread: while a connection ends it is in one of the three after the other.
    eventually(lambda: gateway.ask(lambda: not (server.transports or server._tasks or peers)))


def once_each(gateway: GatewayUnderTest) -> None:
    """Hold that every connection that was let in has had its ``$disconnect``, once."""
    ids = {
        name: sorted(e["requestContext"]["connectionId"] for e in gateway.events(name))
        for name in ("connect", "disconnect")
    }
    assert ids["connect"] == ids["disconnect"]


def write_buffers(gateway: GatewayUnderTest) -> int:
    """Return the bytes the gateway holds for clients that do not read them."""
    return sum(transport.get_write_buffer_size() for transport in list(gateway.server.transports))


def resident() -> int:
    """Return the most bytes of memory this process, the gateway in it, has ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
