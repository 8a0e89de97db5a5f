"""What the command line client talks to in tests: a scripted connection, and scripted servers."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.fakes import Clock
from wsclient.errors import Closed
from wsclient.protocol import Frame

CERTIFICATE = Path(__file__).parent / "certificates" / "localhost.pem"


def reply(frame: Frame) -> Frame | None:
    """Answer as a server that does whatever it is asked."""
    return {"type": "reply", "id": frame["id"], "result": {}}


class ScriptedConnection:
    """A connection on which frames come at their times, and the end at last."""

    def __init__(
        self,
        clock: Clock,
        script: Mapping[float, Frame | Closed],
        answer: Callable[[Frame], Frame | None] = reply,
    ) -> None:
        self._clock = clock
        self._coming: list[tuple[float, Frame | Closed]] = sorted(
            script.items(), key=lambda item: item[0]
        )
        self._answer = answer
        self.sent: list[Frame] = []
        self.is_closed = False
        self.longest_wait = 0.0

    def send(self, text: str) -> None:
        """Take a frame; its answer is the next thing to come."""
        self._check()
        self.sent.append(json.loads(text))
        answer = self._answer(self.sent[-1])
        if answer is not None:
            self._coming.insert(0, (self._clock.now, answer))

    def receive(self, seconds: float | None, wake: int | None = None) -> str | None:
        """Return what comes in time; the clock moves on to it."""
        assert seconds is not None
        self.longest_wait = max(self.longest_wait, seconds)
        self._check()
        if not self._coming or self._coming[0][0] > self._clock.now + seconds:
            self._clock.now += seconds
            return None
        time, item = self._coming.pop(0)
        self._clock.now = max(self._clock.now, time)
        if isinstance(item, Closed):
            self.is_closed = True
            raise item
        return json.dumps(item)

    def close(self) -> None:
        """Nothing comes any more."""
        self.is_closed = True

    def _check(self) -> None:
        if self.is_closed:
            raise Closed("closed", 1006)


class ScriptedWebSocketServer:
    """Serves WebSockets on 127.0.0.1 as a function says, on a thread for each connection."""

    def __init__(
        self, handler: Callable[[ServerConnection], None], *, tls: bool = False, **options: Any
    ) -> None:
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)

        def handle(connection: ServerConnection) -> None:
            with suppress(ConnectionClosed, OSError):
                handler(connection)

        self._server = serve(handle, "127.0.0.1", 0, ssl=context, **options)
        port = self._server.socket.getsockname()[1]
        self.url = f"wss://localhost:{port}/api" if tls else f"ws://127.0.0.1:{port}/api"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def __enter__(self) -> ScriptedWebSocketServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join(10)


class TicketServer:
    """Answers requests on 127.0.0.1, the n-th with ``ticket-n``; remembers them.

    Or all with ``body``, or one after the other with ``bodies``.
    """

    def __init__(
        self,
        status: int = 200,
        body: bytes | None = None,
        location: str = "",
        bodies: Sequence[bytes] = (),
    ) -> None:
        self.requests: list[tuple[str, str | None]] = []
        requests = self.requests
        scripted = list(bodies)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"] or 0))
                requests.append((self.path, self.headers["Authorization"]))
                answer = json.dumps({"ticket": f"ticket-{len(requests)}", "expiresIn": 30}).encode()
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                if scripted:
                    answer = scripted.pop(0)
                self.wfile.write(answer if body is None else body)

            do_GET = do_DELETE = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/api"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def __enter__(self) -> TicketServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
