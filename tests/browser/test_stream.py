"""What the console does with many entries, with keys of other meanings, and when it is left."""

from __future__ import annotations

from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import OpenWindow
from tests.browser.window import Window
from tests.gateway_process import GatewayProcess

MANY = """(count) => {
    for (let number = 1; number <= count; number++) {
        add("message", "bot", "", { to: "everyone", messageId: String(number) }, `no. ${number}`);
    }
}"""


def in_the_middle(page: Page) -> str:
    """Return the text that is read in the middle of the stream."""
    text: str = page.evaluate(
        """() => {
            const { left, top, height } = $("log").getBoundingClientRect();
            return document.elementFromPoint(left + 150, top + height / 2)
                .closest(".entry").querySelector(".text").textContent;
        }"""
    )
    return text


def test_the_last_thousand_entries_are_kept(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    window.page.evaluate(MANY, 1005)
    entries = window.page.locator(".entry")
    expect(entries).to_have_count(1000)
    expect(entries.first).to_contain_text("no. 6")
    expect(entries.last).to_be_in_viewport()


def test_who_reads_older_entries_is_not_moved_and_told_of_newer_ones(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    page = window.page
    page.evaluate(MANY, 200)
    newer = page.get_by_role("button", name="Newer entries")
    expect(newer).to_be_hidden()
    page.locator("#log").evaluate("it => { it.scrollTop = it.scrollHeight / 2; }")
    read = in_the_middle(page)
    window.send("something new")
    expect(window.entries("message", "something new")).to_have_count(1)
    assert in_the_middle(page) == read
    newer.click()
    expect(page.locator(".entry").last).to_be_in_viewport()
    expect(newer).to_be_hidden()


def test_my_message_is_mine_whichever_of_it_and_its_reply_comes_first(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    window.page.evaluate("markMine('1')")
    window.page.evaluate(MANY, 2)
    window.page.evaluate("markMine('2')")
    expect(window.page.locator(".entry.mine")).to_have_count(2)


def test_keys_that_mean_something_else_do_nothing_here(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    page = open_window(gateway.http_url).get_in().page
    message = page.get_by_role("textbox", name="Message")
    message.fill("\u304b\u306a")
    message.evaluate(
        "it => it.dispatchEvent(new KeyboardEvent('keydown',"
        " { key: 'Enter', isComposing: true, bubbles: true, cancelable: true }))"
    )
    expect(message).to_have_value("\u304b\u306a")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+c")
    page.keyboard.press("Alt+a")
    expect(page.get_by_label("Join a channel")).not_to_be_focused()
    expect(page.get_by_role("tab", name="Stream")).to_have_attribute("aria-selected", "true")


def test_nothing_can_be_sent_without_a_connection(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    page = window.page
    page.get_by_role("button", name="Disconnect", exact=True).click()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    message = page.get_by_role("textbox", name="Message")
    message.fill("kept")
    message.press("Enter")
    expect(message).to_have_value("kept")
    page.get_by_role("button", name="Connect again").click()
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_who_leaves_takes_the_channels_along(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    window.join("news")
    window.page.get_by_role("button", name="Leave and forget the token").click()
    window.get_in()
    window.send("hello")
    expect(window.entries("message", "hello")).to_have_count(1)
    expect(window.entries("reply", "joined")).to_have_count(0)
    expect(window.page.locator("#channels > li")).to_have_count(0)


def test_what_is_unanswered_when_somebody_leaves_is_not_left_for_the_next(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url)
    page = window.page

    def lose_messages(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        socket.on_message(lambda text: None if "between us" in str(text) else server.send(text))

    page.route_web_socket("**/api?ticket=*", lose_messages)
    window.get_in().send("between us")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("")
    page.get_by_role("button", name="Leave and forget the token").click()
    expect(page.get_by_label("Token")).to_be_focused()
    assert "between us" not in window.kept()
    window.enter("hello")
    expect(window.entries("event", "Connected")).to_have_count(1)
    expect(window.entries("error")).to_have_count(0)


def test_a_channel_that_may_not_be_joined_any_more_is_given_up(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    window.join("news")

    def refuse(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(text: str | bytes) -> None:
            if '"join"' in str(text):
                request_id = str(text).partition('"id":"')[2].partition('"')[0]
                error = '{"code":"forbidden_audience","message":"Not any more."}'
                socket.send(f'{{"type":"error","id":"{request_id}","error":{error}}}')
            else:
                server.send(text)

        socket.on_message(pass_on)

    window.page.route_web_socket("**/api?ticket=*", refuse)
    window.page.get_by_role("button", name="Disconnect", exact=True).click()
    window.page.get_by_role("button", name="Connect again").click()
    expect(window.entries("error", "join refused: forbidden_audience")).to_have_count(1)
    expect(window.page.locator("#channels > li")).to_have_count(0)


def test_requests_carry_the_token_alone_and_a_publication_its_key(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window: Window = open_window(gateway.http_url)
    page = window.page
    page.context.add_cookies([{"name": "a", "value": "cookie", "url": gateway.http_url}])
    with page.expect_request("**/tickets") as asked:
        window.get_in()
    assert "cookie" not in asked.value.all_headers()
    page.get_by_role("tab", name="Administration").click()
    page.get_by_role("textbox", name="Message").fill("hello")
    with page.expect_request("**/messages") as published:
        page.get_by_role("button", name="Publish").click()
    assert len(published.value.all_headers()["idempotency-key"]) == 36
    page.context.clear_cookies()
