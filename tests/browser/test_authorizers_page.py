"""docs/authorizers.md: what it shows to browsers opens a connection in one."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.browser.conftest import OpenWindow
from tests.chalice_project import ROOT
from tests.gateway_process import GatewayProcess
from tests.tokens import AUDIENCE, ISSUER, SECRET, claims, sign

PAGE = (ROOT / "docs" / "authorizers.md").read_text("utf-8")
TICKET, PROTOCOL = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
WHO = """
  return await new Promise((told, failed) => {
    socket.onopen = () => socket.send('{"action":"whoami"}');
    socket.onmessage = ({ data }) =>
      told([JSON.parse(data).result.principalId, socket.protocol, socket.url]);
    socket.onclose = ({ code }) => failed(Error(`closed with ${code}`));
  });
"""


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    variables = {
        "CONSOLE": "on",
        "AUTHENTICATORS": "jwt,ticket",
        "CREDENTIAL_PLACES": "bearer,protocol",
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "JWT_ALGORITHMS": "HS256",
        "JWT_SECRET": SECRET,
    }
    options = [it for name, value in variables.items() for it in ("--env", f"{name}={value}")]
    with GatewayProcess("--stage", "local", *options) as running:
        yield running


def token() -> str:
    now = int(time.time())
    return sign(claims(iat=now, exp=now + 60), "HS256", {"kid": None}, SECRET.encode())


def of(gateway: GatewayProcess, snippet: str) -> str:
    """Return a snippet of the page that speaks to this gateway."""
    api = gateway.http_url
    return (
        snippet.replace("https://<HTTP API>/api", api)
        .replace("wss://<WebSocket API>/api", gateway.url)
        .replace("wss://…/api", gateway.url)
    )


def test_a_page_gets_in_with_a_ticket(gateway: GatewayProcess, open_window: OpenWindow) -> None:
    page = open_window(gateway.http_url).page
    script = f"async (token) => {{ {of(gateway, TICKET)} {WHO} }}"
    principal_id, protocol, url = page.evaluate(script, token())
    assert (principal_id, protocol) == ("alice", "")
    assert re.search(r"\?ticket=[\w-]{43}$", url)


def test_a_page_gets_in_with_its_token_as_a_protocol_and_is_not_given_it_back(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    page = open_window(gateway.http_url).page
    script = f"async (token) => {{ const socket = {of(gateway, PROTOCOL)} {WHO} }}"
    assert page.evaluate(script, token()) == ["alice", "portcullis", gateway.url]
