"""The console's administration, on the HTTP API itself."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import OpenWindow
from tests.gateway_process import GatewayProcess


def test_an_operator_publishes_lists_and_disconnects(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    operator = open_window(gateway.http_url).get_in()
    other = open_window(gateway.http_url).get_in()
    other.join("administered")
    page = operator.page
    page.get_by_role("tab", name="Administration").click()
    page.locator("#publish-to").fill("channel:administered")
    page.get_by_role("textbox", name="Message").fill("from an operator")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#published")).to_have_text("delivered to 1 of 1")
    expect(other.entries("message", "from an operator")).to_have_count(1)
    page.get_by_label("Audience", exact=True).fill("channel:administered")
    page.get_by_role("button", name="List").click()
    expect(page.locator("#listing-status")).to_have_text("1 shown")
    gone = other.connection_id
    page.get_by_role("button", name=f"Disconnect client, connection {gone}").click()
    expect(other.page.locator("#notice")).to_contain_text("an operator has ended it")
    expect(other.state).to_have_text("Not connected")
    expect(page.locator("#listing-status")).to_have_text(f"Disconnected {gone}")
    page.get_by_role("button", name="List").click()
    expect(page.locator("#listing-status")).to_have_text("0 shown")
    expect(operator.state).to_have_text("Connected")


def test_who_has_left_by_himself_leaves_the_list_and_the_keyboard_keeps_its_place(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    operator = open_window(gateway.http_url).get_in()
    others = [open_window(gateway.http_url).get_in() for _ in range(2)]
    for each in others:
        each.join("passing")
    page = operator.page
    page.get_by_role("tab", name="Administration").click()
    page.get_by_label("Audience", exact=True).fill("channel:passing")
    page.get_by_role("button", name="List").click()
    expect(page.locator("#connections > li")).to_have_count(2)
    page.route(
        "**/connections/*",
        lambda route: route.fulfill(
            status=404,
            json={"error": {"code": "not_found", "message": "There is no such connection."}},
        ),
        times=1,
    )
    buttons = page.locator("#connections button")
    buttons.first.press("Enter")
    expect(page.locator("#connections > li")).to_have_count(1)
    expect(page.locator("#listing-status")).to_have_class("problem")
    expect(buttons.first).to_be_focused()
    buttons.first.press("Enter")
    expect(page.locator("#connections > li")).to_have_count(0)
    expect(page.locator("#listing-status")).to_have_class("dim")
    expect(page.get_by_label("Audience", exact=True)).to_be_focused()


def test_long_lists_come_in_pages(gateway: GatewayProcess, open_window: OpenWindow) -> None:
    operator = open_window(gateway.http_url).get_in()
    clients = [gateway.connect(header={"token": "hello"}) for _ in range(60)]
    page = operator.page
    page.get_by_role("tab", name="Administration").click()
    page.get_by_role("button", name="List").click()
    expect(page.locator("#connections > li")).to_have_count(50)
    page.get_by_role("button", name="Show more").click()
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    assert page.locator("#connections > li").count() > 60
    for client in clients:
        client.close()
