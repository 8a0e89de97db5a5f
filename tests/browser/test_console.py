"""The console, in a real browser, on what ``make run`` serves."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from playwright.sync_api import Route, expect

from chalicelib.console import console_page
from tests.browser.conftest import OpenWindow
from tests.factories import make_settings
from tests.gateway_process import GatewayProcess

TOKEN = "hello"


@contextmanager
def held(port: int) -> Iterator[None]:
    """Let nobody have a port who does not ask for it by its number."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        yield


def management_api(gateway: GatewayProcess) -> Any:
    """Return what an operator has: the management API, signed."""
    return boto3.client(
        "apigatewaymanagementapi", endpoint_url=f"{gateway.http_url}/api", region_name="us-east-1"
    )


def test_two_windows_chat(gateway: GatewayProcess, open_window: OpenWindow) -> None:
    first = open_window(gateway.http_url).get_in()
    second = open_window(gateway.http_url).get_in()
    first.send("hello from the first")
    expect(second.entries("message", "hello from the first")).to_have_count(1)
    second.send("hello from the second")
    expect(first.entries("message", "hello from the second")).to_have_count(1)
    expect(first.page.locator(".entry.mine")).to_have_count(1)
    expect(first.page.locator(".entry.mine")).to_contain_text("hello from the first")
    expect(first.entries("reply", re.compile(r"delivered to 2 of 2\s*\d+ ms"))).to_have_count(1)
    expect(first.state).to_have_text("Connected")
    expect(first.page.locator("#principal")).to_have_text("client")
    expect(first.page.locator("#round-trip")).to_have_text(re.compile(r"\d+ ms"))


def test_a_channel_reaches_those_who_have_joined_until_they_leave(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    first = open_window(gateway.http_url).get_in()
    second = open_window(gateway.http_url).get_in()
    second.join("news")
    first.send("for members", to="channel:news")
    expect(second.entries("message", "for members")).to_contain_text("client→ channel:news")
    expect(first.entries("reply", "delivered to 1 of 1")).to_have_count(1)
    second.page.get_by_role("button", name="Leave channel news").click()
    expect(second.entries("reply", "left channel:news")).to_have_count(1)
    first.send("for nobody", to="channel:news")
    expect(first.entries("reply", "delivered to 0 of 0")).to_have_count(1)
    expect(first.entries("message")).to_have_count(0)


def test_what_is_refused_says_why(gateway: GatewayProcess, open_window: OpenWindow) -> None:
    window = open_window(gateway.http_url).get_in()
    window.send("hello", to="principal:somebody-else")
    refused = window.entries("error", "sendmessage refused: forbidden_audience")
    expect(refused).to_contain_text("You may not send to this audience.")
    expect(window.page.get_by_role("textbox", name="Message")).to_have_value("hello")
    window.send("é" * 16_384)
    expect(window.entries("error", "frame_too_long")).to_contain_text("32 KiB")
    expect(window.state).to_have_text("Connected")


@pytest.mark.parametrize("token", ["not-the-token", "Hello", "a.b.c"])
def test_a_wrong_token_shows_why_and_can_be_tried_again(
    gateway: GatewayProcess, open_window: OpenWindow, token: str
) -> None:
    window = open_window(gateway.http_url)
    window.enter(token)
    alert = window.page.get_by_role("alert")
    expect(alert).to_have_text("The token is not accepted (401). It is wrong, or it has ended.")
    expect(window.page.get_by_label("Token")).to_be_focused()
    assert token not in window.kept()
    window.get_in()


def test_a_token_that_no_header_can_carry_is_refused_at_once(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url)
    window.enter("gëheim")
    expect(window.page.get_by_role("alert")).to_contain_text("signs of ASCII")


def test_the_token_and_the_ticket_are_nowhere_to_be_read(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url)
    page = window.page
    page.get_by_label("Token").fill(TOKEN)
    with page.expect_websocket() as opened:
        page.get_by_role("button", name="Connect").click()
    ticket = opened.value.url.partition("?ticket=")[2]
    assert len(ticket) == 43
    expect(page.locator("#principal")).to_have_text("client")
    window.send("between us")
    expect(window.entries("message", "between us")).to_have_count(1)
    assert re.search(rf"\b{TOKEN}\b", window.kept()) is None
    assert ticket not in window.kept()
    assert page.context.cookies() == []
    assert page.context.storage_state() == {"cookies": [], "origins": []}
    page.get_by_role("button", name="Leave and forget the token").click()
    expect(page.get_by_label("Token")).to_be_focused()
    expect(window.state).to_have_text("Not connected")
    assert "between us" not in window.kept()


def test_a_client_that_is_kicked_says_so_and_does_not_come_back_by_itself(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    before = window.connection_id
    management_api(gateway).delete_connection(ConnectionId=before)
    expect(window.state).to_have_text("Not connected")
    notice = window.page.locator("#notice")
    expect(notice).to_contain_text("The server ended this connection (1000).")
    window.page.wait_for_timeout(1500)  # longer than the first wait of the back-off
    expect(window.state).to_have_text("Not connected")
    window.page.get_by_role("button", name="Connect again").click()
    expect(window.state).to_have_text("Connected")
    expect(window.page.locator("#connection-id")).not_to_have_text(before)
    expect(notice).to_be_hidden()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (4403, "your access has been revoked (4403)"),
        (4429, "you have sent too much (4429)"),
        (4410, "an operator has ended it (4410)"),
        (4499, "because (4499)"),
    ],
)
def test_a_closing_frame_is_put_into_words(
    gateway: GatewayProcess, open_window: OpenWindow, code: int, words: str
) -> None:
    window = open_window(gateway.http_url).get_in()
    api, connection_id = management_api(gateway), window.connection_id
    frame = json.dumps({"type": "closing", "code": code, "reason": "because"})
    api.post_to_connection(ConnectionId=connection_id, Data=frame)
    api.delete_connection(ConnectionId=connection_id)
    expect(window.page.locator("#notice")).to_contain_text(words)
    expect(window.state).to_have_text("Not connected")


def test_an_expired_connection_comes_back_with_a_new_ticket_while_the_token_is_good(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    page, api, before = window.page, management_api(gateway), window.connection_id
    frame = json.dumps({"type": "closing", "code": 4401, "reason": "expired"})
    api.post_to_connection(ConnectionId=before, Data=frame)
    api.delete_connection(ConnectionId=before)
    expect(window.entries("event", "it has expired (4401)")).to_have_count(1)
    expect(page.locator("#connection-id")).not_to_have_text(before)
    expect(window.state).to_have_text("Connected")
    page.route("**/tickets", lambda route: route.fulfill(status=401, json={}))
    before = window.connection_id
    api.post_to_connection(ConnectionId=before, Data=frame)
    api.delete_connection(ConnectionId=before)
    expect(page.locator("#notice")).to_contain_text("The token is not accepted (401)")
    expect(window.state).to_have_text("Not connected")


def test_a_network_that_comes_back_does_not_open_what_was_closed_on_purpose(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    window.page.get_by_role("button", name="Disconnect", exact=True).click()
    expect(window.state).to_have_text("Not connected")
    window.page.evaluate("dispatchEvent(new Event('offline'))")
    expect(window.entries("event", "This machine is offline")).to_have_count(1)
    window.page.evaluate("dispatchEvent(new Event('online'))")
    window.page.wait_for_timeout(300)
    expect(window.state).to_have_text("Not connected")


def test_frames_the_protocol_does_not_know_do_no_harm(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    api, connection_id = management_api(gateway), window.connection_id
    markup = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    frames = [
        "not JSON",
        "null",
        "[]",
        '{"type":"weather"}',
        '{"type":"reply"}',
        '{"type":"error"}',
        '{"type":"message"}',
        '{"message":"Internal server error","connectionId":"a","requestId":"b"}',
        json.dumps({"type": "message", "from": markup, "to": "everyone", "message": markup}),
    ]
    for frame in frames:
        api.post_to_connection(ConnectionId=connection_id, Data=frame)
    expect(window.entries("event", "unknown type")).to_have_count(4)
    expect(window.entries("error", "API Gateway")).to_contain_text("Internal server error")
    expect(window.entries("message", markup)).to_have_count(1)
    assert window.page.locator("#log img").count() == 0


def test_after_a_restart_of_the_gateway_it_comes_back_to_the_same_channels(
    open_window: OpenWindow,
) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(GatewayProcess("--stage", "local"))
        port = first.http_url.rpartition(":")[2]
        window = open_window(first.http_url).get_in()
        window.join("news")
        before = window.connection_id
        first.stop()
        stack.enter_context(held(int(port)))
        expect(window.state).to_have_text("Reconnecting…")
        expect(window.page.locator("#countdown")).to_have_text(re.compile(r"next attempt in \d+ s"))
        window.page.get_by_role("button", name="Stop").click()
        expect(window.state).to_have_text("Not connected")
        window.page.get_by_role("button", name="Connect again").click()
        expect(window.state).not_to_have_text("Not connected")
        second = stack.enter_context(GatewayProcess("--stage", "local", "--port", port))
        expect(window.state).to_have_text("Connected", timeout=120_000)  # the longest wait and more
        expect(window.page.locator("#connection-id")).not_to_have_text(before)
        expect(window.entries("reply", "joined channel:news again")).to_have_count(1)
        other = open_window(second.http_url).get_in()
        other.send("you are back", to="channel:news")
        expect(window.entries("message", "you are back")).to_have_count(1)


def test_the_stream_can_be_filtered_looked_into_exported_and_cleared(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    page = window.page
    for word in ("apples", "pears"):
        window.send(word)
        expect(window.entries("message", word)).to_be_visible()
    expect(window.entries("reply", "delivered")).to_have_count(2)  # nothing comes after this
    page.get_by_label("Filter by text").fill("PEAR")
    expect(window.entries("message", "apples")).to_be_hidden()
    expect(window.entries("message", "pears")).to_be_visible()
    page.get_by_label("Filter by text").fill("")
    page.get_by_role("button", name="Messages", exact=True).click()
    expect(window.entries("message", "pears")).to_be_hidden()
    page.get_by_role("button", name="Messages", exact=True).click()
    page.get_by_role("button", name="JSON").click()
    expect(window.entries("message", "pears").locator("pre")).to_contain_text('"type":"message"')
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    lines = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    assert [it["data"]["message"] for it in lines if it["kind"] == "message"] == ["apples", "pears"]
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".entry")).to_have_count(0)
    expect(page.get_by_text("Nothing yet.")).to_be_visible()


def test_everything_can_be_done_with_the_keyboard_alone(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url)
    page, press = window.page, window.page.keyboard.press
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(TOKEN)
    press("Enter")
    expect(window.state).to_have_text("Connected")
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    page.keyboard.type("one line")
    press("Shift+Enter")
    page.keyboard.type("and m, c, / and ? are letters here")
    press("Enter")
    expect(window.entries("message", "and m, c, / and ? are letters")).to_be_visible()
    press("Escape")
    press("c")
    expect(page.get_by_label("Join a channel")).to_be_focused()
    page.keyboard.type("news")
    press("Enter")
    expect(page.get_by_role("button", name="Leave channel news")).to_be_visible()
    press("Escape")
    press("/")
    expect(page.get_by_label("Filter by text")).to_be_focused()
    press("Escape")
    press("a")
    expect(page.get_by_role("tab", name="Administration")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Administration")).to_be_visible()
    press("ArrowLeft")
    expect(page.get_by_role("tab", name="Stream")).to_be_focused()
    press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.get_by_label("Shortcuts of one letter are on").press("Space")
    press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_tab_goes_through_all_controls_shows_where_it_is_and_comes_out(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    window.join("news")
    seen = []
    window.page.locator(".skip").focus()
    for _ in range(60):
        window.page.keyboard.press("Tab")
        focused = window.page.evaluate(
            """() => {
                const focused = document.activeElement;
                if (focused === document.body) return null;
                const outline = getComputedStyle(focused).outlineStyle;
                return [focused.id || focused.ariaLabel || focused.innerText, outline];
            }"""
        )
        if focused is None:  # in the browser's own controls
            break
        seen.append(focused)
    names = [name for name, _ in seen]
    wanted = {"theme", "help", "measure", "disconnect", "leave", "channel", "stream-tab", "filter"}
    assert wanted | {"raw", "export", "clear", "log", "audience", "message", "send"} <= set(names)
    assert "Leave channel news" in names
    assert len(names) == len(set(names)) < 60
    assert [name for name, outline in seen if outline == "none"] == []


def test_administration_says_in_words_what_a_stage_or_a_token_cannot(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    page = window.page
    page.get_by_role("tab", name="Administration").click()
    answers = [
        (404, {"error": {"code": "not_found", "message": "No such route."}}, "Not here (404)"),
        (403, {"message": "Missing Authentication Token"}, "this stage has no such route"),
        (403, {"Message": "User is not authorized to access this resource"}, "a scope is missing"),
        (403, {"error": {"code": "forbidden", "message": "Not this."}}, "a scope is missing"),
        (401, {"message": "Unauthorized"}, "not accepted (401)"),
        (503, {"error": {"code": "unavailable", "message": "Later."}}, "cannot answer now (503)"),
    ]
    page.route(
        re.compile("/(connections|messages)"),
        lambda route: route.fulfill(status=answers[0][0], json=answers[0][1]),
    )
    while answers:
        with page.expect_response(re.compile("/connections")):  # two answers end in the same words
            page.get_by_role("button", name="List").click()
        expect(page.locator("#listing-status")).to_contain_text(answers[0][2])
        page.get_by_role("textbox", name="Message").fill("hello")
        page.get_by_role("button", name="Publish").click()
        expect(page.locator("#published")).to_contain_text(answers[0][2])
        answers.pop(0)
    expect(window.state).to_have_text("Connected")


@pytest.mark.parametrize("path", ["/api/", "/api"])
def test_the_page_finds_its_api_under_the_name_of_a_stage(
    open_window: OpenWindow, path: str
) -> None:
    settings = make_settings(stage="dev", console=True, websocket_url="wss://127.0.0.1:9/api")
    served = console_page(settings)
    assert served is not None
    asked: list[str] = []
    sockets: list[str] = []

    def answer(route: Route) -> None:
        if route.request.method == "POST":
            asked.append(route.request.url)
            url = "wss://127.0.0.1:9/api?ticket=T"
            route.fulfill(json={"ticket": "T", "expiresIn": 30, "url": url})
        else:
            route.fulfill(body=served.body, headers=dict(served.headers))

    window = open_window("about:blank")
    window.page.route("https://api.example.com/**", answer)
    window.page.on("websocket", lambda opened: sockets.append(opened.url))
    window.page.goto(f"https://api.example.com{path}")
    window.enter(TOKEN)
    expect(window.page.get_by_role("alert")).to_contain_text("could not be opened")
    assert asked == ["https://api.example.com/api/tickets"]
    assert sockets == ["wss://127.0.0.1:9/api?ticket=T"]


def test_the_page_may_speak_to_nobody_else_and_run_nothing_else(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url)
    window.page.evaluate(
        """async () => {
            await fetch('http://127.0.0.1:9/').catch(() => {});
            new WebSocket('ws://127.0.0.1:9/');
            const script = document.createElement('script');
            script.append('document.title = "injected"');
            try { document.body.append(script); } catch { /* not even that */ }
            const style = document.createElement('style');
            style.append('a {}');
            document.body.append(style);
            document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/'}));
        }"""
    )
    window.page.wait_for_function("violations.length >= 5")
    assert sorted({text.split()[0] for text in window.violations()}) == [
        "connect-src",
        "img-src",
        "require-trusted-types-for",
        "style-src-elem",
    ]
    assert window.page.title() == "Portcullis console"
    window.forgive()
