"""What all clients post to: as cheap as asyncio can be, with TLS, a quota and pages of a table.

``python -m benchmarks.delivery.sink`` prints its port and serves until standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from functools import cache
from typing import Any, cast

import click

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_REFUSED = (
    b"HTTP/1.1 429 Too Many Requests\r\nx-amzn-ErrorType: LimitExceededException\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
_LENGTH = b"content-length:"
# What DynamoDB puts on a page, by the size of the items below.
_ITEMS_ON_A_PAGE = 4_000


class Quota:
    """A bucket of requests, as API Gateway has one for each account."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._left = self._burst = burst
        self._at = time.monotonic()

    def allows(self) -> bool:
        """Take one request out, if there is one."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Sink:
    """What the connections have in common."""

    def __init__(self, delay: float, quota: Quota | None, members: int) -> None:
        self.delay = delay
        self.quota = quota
        self.members = members
        self.answered = self.refused = 0
        self.first = self.last = 0.0

    def post(self) -> bytes:
        """Answer a post to a connection."""
        self.last = time.monotonic()
        self.first = self.first or self.last
        if self.quota is not None and not self.quota.allows():
            self.refused += 1
            return _REFUSED
        self.answered += 1
        return _OK

    def query(self, body: bytes) -> bytes:
        """Answer a Query with the next page of an audience, in DynamoDB's protocol."""
        asked = json.loads(body)
        start = asked.get("ExclusiveStartKey")
        number = int(start["sk"]["S"].partition("-")[2]) + 1 if start else 0
        return _response(_page(number, min(asked.get("Limit", _ITEMS_ON_A_PAGE), 4_000), self))

    def stats(self) -> bytes:
        """Answer what has come in since the last time."""
        seconds = self.last - self.first
        told = {"answered": self.answered, "refused": self.refused, "seconds": seconds}
        self.answered = self.refused = 0
        self.first = self.last = 0.0
        return _response(json.dumps(told).encode())


@cache
def _page(start: int, limit: int, sink: Sink) -> bytes:
    end = min(start + limit, sink.members)
    items = [_item(number) for number in range(start, end)]
    page: dict[str, Any] = {"Items": items, "Count": len(items), "ScannedCount": len(items)}
    if end < sink.members or len(items) == limit:
        page["LastEvaluatedKey"] = {name: items[-1][name] for name in ("pk", "sk")}
    return json.dumps(page, separators=(",", ":")).encode()


def _item(number: int) -> dict[str, Any]:
    return {
        "pk": {"S": "audience#everyone#0"},
        "sk": {"S": f"L0SM9cOFvHc-{number:06}"},
        "principalId": {"S": "client"},
        "connectedAt": {"N": "1795000000000"},
        "expiresAt": {"N": "4102444800"},
    }


def _response(body: bytes) -> bytes:
    kind = "Content-Type: application/x-amz-json-1.0"
    head = f"HTTP/1.1 200 OK\r\n{kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection(asyncio.Protocol):
    """Reads one request after the other; none is sent before the last is answered."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer once the request is whole."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end])
        lower = head.lower()
        place = lower.find(_LENGTH)
        length = int(lower[place + len(_LENGTH) :].split(b"\r", 1)[0]) if place >= 0 else 0
        if len(self._received) < end + 4 + length:
            if b"expect: 100-continue" in lower and len(self._received) == end + 4:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        body = bytes(self._received[end + 4 : end + 4 + length])
        self._received.clear()
        self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET /stats"):
            self._transport.write(self._sink.stats())
        elif b"DynamoDB_20120810.Query" in head:
            self._transport.write(self._sink.query(body))
        elif self._sink.delay:
            loop = asyncio.get_running_loop()
            loop.call_later(self._sink.delay, self._transport.write, self._sink.post())
        else:
            self._transport.write(self._sink.post())


@click.command()
@click.option("--certificate", help="A PEM file with a key: TLS.")
@click.option("--delay", type=float, default=0.0, help="Seconds before each answer.")
@click.option("--rate", type=float, default=0.0, help="Quota in requests per second.")
@click.option("--burst", type=float, default=0.0)
@click.option("--members", type=int, default=10_000, help="In the audience that can be read.")
def main(certificate: str | None, **options: float) -> None:
    """Serve on 127.0.0.1."""
    quota = Quota(options["rate"], options["burst"]) if options["rate"] else None
    sink = Sink(options["delay"], quota, int(options["members"]))
    asyncio.run(_serve(sink, certificate))


async def _serve(sink: Sink, certificate: str | None) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(sink), "127.0.0.1", 0, ssl=context, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    main()
