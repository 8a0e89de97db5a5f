"""The emulator gets the port it was promised, and is reached there."""

import os
import sys

import pytest

from deployment.local_emulator import EmulatorFailed, LocalEmulator
from tests.fakes import refusing_port

SOMEBODY_ELSE = """
import os, socket
socket.socket().bind(("127.0.0.1", int(os.environ["GATEWAY_PORT"])))
"""

ANSWERING = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"TableNames": ["reached"]}')

http.server.HTTPServer(("127.0.0.1", int(os.environ["GATEWAY_PORT"])), Handler).serve_forever()
"""


@pytest.mark.parametrize(
    ("others", "all_of_them"),
    [
        (None, "127.0.0.1"),
        ("*", "*"),
        ("intranet.example.com,.example.org", "127.0.0.1,intranet.example.com,.example.org"),
    ],
)
def test_it_is_reached_without_the_proxy_that_packages_come_by(
    monkeypatch: pytest.MonkeyPatch, others: str | None, all_of_them: str
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if others is not None:
        monkeypatch.setenv("NO_PROXY", others)
    with refusing_port() as port, LocalEmulator(os.environ, program=("-c", ANSWERING)) as emulator:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        assert emulator.client("dynamodb").list_tables()["TableNames"] == ["reached"]
        environ = emulator.environ(os.environ)
    assert environ["https_proxy"] == f"http://127.0.0.1:{port}"
    assert (environ["no_proxy"], environ["NO_PROXY"]) == (all_of_them, all_of_them)


if sys.platform == "linux":

    def test_nobody_else_gets_its_port_while_it_starts() -> None:
        with pytest.raises(EmulatorFailed, match="Address already in use"):
            LocalEmulator(os.environ, program=("-c", SOMEBODY_ELSE))
