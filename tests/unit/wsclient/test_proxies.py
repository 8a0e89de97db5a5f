"""What is on this machine is asked without a proxy, which would see tokens in the clear."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from websockets.sync.server import ServerConnection

from tests.fakes import refusing_port
from tests.wsclient_fakes import ScriptedWebSocketServer, TicketServer
from wsclient.connection import Connection
from wsclient.errors import CannotConnect
from wsclient.http_api import HttpApi
from wsclient.target import Target
from wsclient.tickets import fetch_ticket


def connect(url: str) -> None:
    Connection.open(Target(f"{url.replace('http', 'ws', 1)}/api"), timeout=30).close()


def ticket(url: str) -> None:
    fetch_ticket(f"{url}/tickets", "secret", timeout=30, context=None)


def ask(url: str) -> None:
    HttpApi(url, "secret", 30, None).connection("a")


@pytest.fixture(params=["http_proxy", "HTTP_PROXY"])
def proxied(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A proxy for everything, that is not there."""
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with refusing_port() as port:
        monkeypatch.setenv(request.param, f"http://127.0.0.1:{port}")
        yield


@pytest.mark.usefixtures("proxied")
def test_a_gateway_on_this_machine_is_connected_to_directly() -> None:
    def say_nothing(connection: ServerConnection) -> None:
        connection.recv()

    with ScriptedWebSocketServer(say_nothing) as server:
        connect(server.url.replace("ws", "http", 1).removesuffix("/api"))


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize("use", [ticket, ask])
def test_an_http_api_on_this_machine_is_asked_directly(use: Callable[[str], None]) -> None:
    with TicketServer(200, b'{"ticket": "t"}') as server:
        use(server.url.removesuffix("/tickets"))
        assert len(server.requests) == 1


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize("use", [connect, ticket, ask])
def test_another_machine_is_asked_by_the_proxy(use: Callable[[str], None]) -> None:
    with pytest.raises(CannotConnect, match=r"proxy|nothing listens there"):
        use("http://192.0.2.1")
