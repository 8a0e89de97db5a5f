"""The pictures in the documentation: drawn here, of what the product shows.

``PICTURES=1 pytest tests/browser -k pictures`` writes them into docs/images. Each carries a digest
of the page it is of, so that a page which was changed since is noticed: how text is drawn differs
from one machine to the next, so pixels cannot be compared.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from chalicelib.authorizers.api_key import new_key
from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.credential_store import DynamoDBKeys
from chalicelib.dynamodb import DynamoDB
from chalicelib.scopes import Scopes
from tests.browser import png
from tests.browser.conftest import OpenWindow
from tests.browser.window import Window
from tests.gateway_process import ROOT, GatewayProcess
from tests.gateway_under_test import eventually

IMAGES = ROOT / "docs" / "images"
PAGE = ROOT / "chalicelib" / "console" / "console.html"
DIGEST = f"console.html, SHA-256 {hashlib.sha256(PAGE.read_bytes()).hexdigest()}"
COMMITTED = ("console-light.png", "console-dark.png")


@pytest.fixture(scope="module")
def with_keys() -> Iterator[GatewayProcess]:
    with GatewayProcess("--stage", "local", "--env", "AUTHENTICATORS=api_key,ticket") as running:
        yield running


@pytest.fixture
def drawer(tmp_path: Path) -> Path:
    """Where pictures go: to the documentation where that is asked for, else nowhere."""
    return IMAGES if os.environ.get("PICTURES") else tmp_path


def key(gateway: GatewayProcess, principal_id: str) -> str:
    """Make an API key as an operator does."""
    credentials = Credentials("local", "local")
    signer = Signer("us-east-1", "dynamodb")
    client = SignedClient(gateway.database_url, signer, lambda: credentials, time.time)
    scopes = Scopes.parse("connect sendmessage sendmessage:channel:* join:channel:* publish admin")
    text, kept = new_key(principal_id, scopes, time.time())
    DynamoDBKeys(DynamoDB(client, Backoff()), "portcullis-local").add(kept)
    return text


def talk(gateway: GatewayProcess, open_window: OpenWindow, scheme: str) -> Window:
    """Have two people talk, and return the window of one of them."""
    options = {"color_scheme": scheme, "device_scale_factor": 1.5}
    eventually(gateway.is_empty)
    maya = open_window(gateway.http_url, **options).get_in(key(gateway, "maya"))
    ravi = open_window(gateway.http_url).get_in(key(gateway, "ravi"))
    maya.join("harbour")
    ravi.join("harbour")
    lines = [
        (ravi, "everyone", "Good morning. Is anybody at the gate?"),
        (maya, "everyone", "I am. The night shift has gone home, all quiet."),
        (ravi, "channel:harbour", "Two lorries are waiting at the harbour side."),
        (maya, "channel:harbour", "Raising it now. ↑"),
        (maya, "principal:ravi", "Will you take over at noon?"),
        (maya, "channel:harbour", "Both are through."),
        (ravi, "everyone", "Seen. Thank you!"),
    ]
    for window, to, text in lines:
        window.send(text, to)
        kind, words = ("error", "") if to == "principal:ravi" else ("message", text)
        expect(maya.entries(kind, words)).to_be_visible()  # who is refused has the text back
    expect(maya.page.locator(".entry.mine")).to_have_count(3)
    maya.page.locator("#audience").fill("channel:harbour")
    maya.page.get_by_role("textbox", name="Message").focus()
    return maya


def draw(window: Window, file: Path) -> None:
    picture = window.page.screenshot(animations="disabled", caret="hide")
    file.write_bytes(png.stamped(picture, DIGEST))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_of_a_conversation(
    with_keys: GatewayProcess, open_window: OpenWindow, drawer: Path, scheme: str
) -> None:
    window = talk(with_keys, open_window, scheme)
    name = f"console-{scheme}.png"
    draw(window, drawer / name)
    assert png.size((drawer / name).read_bytes()) == png.size((IMAGES / name).read_bytes())
    ground = window.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(number) for number in re.findall(r"\d+", ground)[:3])
    assert (brightness > 600) is (scheme == "light")


def test_the_readme_and_the_guide_show_the_committed_pictures() -> None:
    readme, guide = ((ROOT / name).read_text() for name in ("README.md", "docs/console.md"))
    for name in COMMITTED:
        assert png.stamp((IMAGES / name).read_bytes()) == DIGEST, f"{name} is of another page"
        assert f"docs/images/{name}" in readme
    assert f"images/{COMMITTED[0]}" in guide
