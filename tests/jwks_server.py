"""An issuer's keys on a real HTTP server, which can be made to fail."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.tokens import key_set


class JwksServer:
    """Serves ``keys`` on 127.0.0.1 and counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: Any = key_set()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None
        """Sent instead of the keys."""
        self.fetches: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.fetches.append(self.path)
                body = json.dumps(server.keys).encode() if server.body is None else server.body
                self.send_response(server.status)
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json?v=1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self._held = socket.socket()

    def __enter__(self) -> JwksServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._held.close()

    def stop(self) -> None:
        """Refuse connections, and keep the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(60)
            self._server.server_close()
            self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._held.bind(self._server.server_address)
