"""What is measured: an address, the headers that let a client in, and a process to look at."""

from __future__ import annotations

import base64
import secrets
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit


class BenchmarkError(Exception):
    """A figure cannot be had; the text says why."""


def say(text: str) -> None:
    """Write a line of progress, away from the figures."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Target:
    """A WebSocket server on this machine; without ``pid`` only its clients' side is measured."""

    host: str
    port: int
    path: str
    headers: tuple[str, ...] = ()
    """Each ``Name: value``."""
    pid: int | None = None

    @classmethod
    def parse(cls, url: str, headers: Iterable[str], pid: int | None = None) -> Target:
        """Read a ``ws://`` URL and headers as ``name:value``; raises ``BenchmarkError``."""
        parts = urlsplit(url)
        if parts.scheme != "ws" or parts.hostname not in {"127.0.0.1", "localhost"}:
            raise BenchmarkError(f"{url} is not ws:// on 127.0.0.1: only this machine is measured")
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        pairs = [header.partition(":") for header in headers]
        lines = tuple(f"{name.strip()}: {value.strip()}" for name, _, value in pairs)
        return cls("127.0.0.1", parts.port or 80, path, lines, pid)

    def handshake(self, *, deflate: bool = False) -> bytes:
        """Return the upgrade request; ``deflate`` offers permessage-deflate as browsers do."""
        lines = [
            f"GET {self.path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            # Its own for each connection: serverless-offline takes it for the connection's id.
            f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}",
            *self.headers,
        ]
        if deflate:
            lines.append("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
        return "\r\n".join([*lines, "", ""]).encode()
