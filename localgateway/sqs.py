"""A small client of SQS's JSON protocol, for the event loop: boto3's would need a thread a poll."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httptools

from localgateway.errors import QueueCallFailed, StartError

_CALL_SECONDS = 10.0
_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Sqs:
    """Calls one engine on this machine, over connections that are kept.

    Nothing is signed: local engines read the region from the credential and check no signature.
    """

    def __init__(self, endpoint_url: str, region: str) -> None:
        """Raise ``StartError`` for anything but ``http://HOST:PORT``."""
        parts = urlsplit(endpoint_url)
        if parts.scheme != "http" or parts.hostname is None:
            raise StartError(f"the queues at {endpoint_url}: write http://HOST:PORT")
        self.endpoint_url = endpoint_url
        self._address = (parts.hostname, parts.port or 80)
        scope = f"local/20260101/{region}/sqs/aws4_request"
        self._head = (
            f"POST / HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: AWS4-HMAC-SHA256 Credential={scope}, "
            "SignedHeaders=host, Signature=0\r\n"
            "Content-Type: application/x-amz-json-1.0\r\n"
        )
        self._idle: list[_Connection] = []

    async def call(
        self, operation: str, payload: Mapping[str, Any], seconds: float = _CALL_SECONDS
    ) -> dict[str, Any]:
        """Return what the engine answers within ``seconds``; raises ``QueueCallFailed``."""
        body = json.dumps(payload).encode()
        head = f"{self._head}X-Amz-Target: AmazonSQS.{operation}\r\nContent-Length: {len(body)}\r\n"
        request = f"{head}\r\n".encode() + body
        try:
            async with asyncio.timeout(seconds):
                status, answered = await self._exchange(request)
            answer: Any = json.loads(answered)
            if not isinstance(answer, dict):
                raise ValueError("its answer is no JSON object")
        except (OSError, EOFError, ValueError, httptools.HttpParserError) as error:
            reason = str(error) or type(error).__name__
            raise QueueCallFailed("", f"{operation}: no answer: {reason}") from error
        if status != 200:
            code = str(answer.get("__type", "")).rpartition("#")[2]
            reason = answer.get("message") or answer.get("Message") or f"status {status}"
            raise QueueCallFailed(code, f"{operation}: {reason}")
        return answer

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            _, writer = self._idle.pop()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        while self._idle:
            try:
                return await self._send(self._idle.pop(), request)
            except (OSError, EOFError):
                continue  # it was closed while it was idle
        return await self._send(await asyncio.open_connection(*self._address), request)

    async def _send(self, connection: _Connection, request: bytes) -> tuple[int, bytes]:
        reader, writer = connection
        answer = _Answer()
        try:
            writer.write(request)
            while not answer.is_complete:
                data = await reader.read(65_536)
                if not data:
                    raise EOFError("closed before the answer was whole")
                answer.parser.feed_data(data)
        except BaseException:  # also when cancelled: the answer to come is nobody's
            writer.close()
            raise
        if answer.keep_alive:
            self._idle.append(connection)
        else:
            writer.close()
        return answer.parser.get_status_code(), bytes(answer.body)


class _Answer:
    """What httptools calls while it reads one response."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.body = bytearray()
        self.is_complete = self.keep_alive = False

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        self.body += data

    def on_message_complete(self) -> None:
        """Remember that this was all; the parser can tell of the connection here alone."""
        self.is_complete = True
        self.keep_alive = self.parser.should_keep_alive()
