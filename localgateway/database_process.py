"""The embedded engine's process: MiniStack's DynamoDB and SQS behind a front of ours.

MiniStack's own front, an ASGI server and a router for a hundred services, is two thirds of what a
call costs. This one speaks the same HTTP, knows two services, and starts twice as fast. What it
calls of MiniStack is named in ``_service`` and in ``queue_service``: the version is pinned, the
contract tests run on it. Queues are loaded at the first call to them.

It ends with whoever started it: the parent holds the other end of standard input, and when the
parent goes, even by SIGKILL, reading ends and so does this process.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import shutil
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from localgateway.http_messages import HttpRequest, HttpResponse, json_response
from localgateway.http_protocol import HttpProtocol
from localgateway.limits import Limits
from localgateway.queue_service import TARGET_PREFIX, QueueService

_Answer = tuple[int, dict[str, str], bytes]
_Service = Callable[[HttpRequest, str], Awaitable[_Answer]]

_REGION = re.compile(r"Credential=[^/]+/\d+/(?P<region>[a-z0-9-]+)/")
_LIMITS = Limits(url_length=65_536, header_size=65_536, request_body_size=32 * 1024 * 1024)


class Engine:
    """Hands requests of DynamoDB's and SQS's JSON protocols to the services."""

    limits = _LIMITS

    def __init__(self, service: _Service) -> None:
        self.transports: set[asyncio.Transport] = set()
        self.http_protocols: set[HttpProtocol] = set()
        self._service = service
        self._queues: QueueService | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` beside everything else."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def respond_at_once(self, _request: HttpRequest) -> HttpResponse | None:
        """Answer nothing at once: the service is a coroutine."""
        return None

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer one call of DynamoDB or SQS."""
        target = request.header("X-Amz-Target") or ""
        scope = _REGION.search(request.header("Authorization") or "")
        region = scope["region"] if scope is not None else "us-east-1"
        if target.startswith("DynamoDB_"):
            status, headers, body = await self._service(request, region)
        elif target.startswith(TARGET_PREFIX):
            self._queues = self._queues or QueueService()
            status, headers, body = await self._queues.respond(request, region)
        else:
            return json_response(400, {"__type": "UnknownOperationException"})
        return HttpResponse(status, tuple(headers.items()), body)

    def too_large(self) -> HttpResponse:
        """Refuse a request whose body is too long to be read."""
        return json_response(413, {"__type": "RequestEntityTooLargeException"})

    async def upgrade(
        self, _request: HttpRequest, transport: asyncio.Transport, _rest: bytes
    ) -> None:
        """Refuse: nothing here is a WebSocket."""
        transport.abort()


def share_names() -> None:
    """Have all JSON read in this process share its members' names.

    Every item brings copies of its attributes' names: a seventh of what a table takes.
    """
    # What json.loads uses; MiniStack reads requests with nothing else.
    json._default_decoder = json.JSONDecoder(  # type: ignore[attr-defined]
        object_pairs_hook=lambda pairs: {sys.intern(name): value for name, value in pairs}
    )


def _service() -> _Service:
    """Return DynamoDB as MiniStack implements it; the region is that of the credential."""
    from ministack.core.responses import set_request_region
    from ministack.services import dynamodb

    async def service(request: HttpRequest, region: str) -> _Answer:
        set_request_region(region)
        headers = {name.lower(): value for name, value in request.headers}
        answer: _Answer = await dynamodb.handle_request(
            request.method, "/", headers, request.body, {}
        )
        return answer

    return service


async def _serve(listener: socket.socket) -> None:
    engine = Engine(_service())
    # Off while the port was reserved; what the last engine there has left would keep us from it.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HttpProtocol(engine), sock=listener, backlog=1024)
    gc.freeze()
    await server.serve_forever()


def _end_with_parent(directory: str) -> None:
    sys.stdin.buffer.read()
    # By its own name. TMPDIR has it too, but what ``tempfile`` makes of that, where it has gone or
    # its disk is full, is /tmp itself.
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


def main(descriptor: int, directory: str) -> None:
    """Serve until the parent has gone, on the socket the parent has bound; remove ``directory``.

    Were it bound here, another process could have got its port meanwhile.
    """
    threading.Thread(target=_end_with_parent, args=(directory,), daemon=True).start()
    share_names()
    asyncio.run(_serve(socket.socket(fileno=descriptor)))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[3])  # between them the port, for whoever lists processes
