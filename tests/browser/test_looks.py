"""Whoever looks, listens or has a small screen gets the same console."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenWindow
from tests.browser.window import Window
from tests.gateway_process import GatewayProcess

CONTROLS = {"button", "textbox", "searchbox", "combobox", "checkbox", "tab", "dialog", "log"}
# Ratios of WCAG 2.2, 1.4.3; no text here is large. Colours are read off a canvas, for a browser
# computes them in several notations.
CONTRASTS = """
() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const pixel = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (colour) => pixel(colour).slice(0, 3).map((part) => {
        const value = part / 255;
        return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    }).reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
    const ground = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const colour = getComputedStyle(each).backgroundColor;
            if (pixel(colour)[3] === 255) return colour;
        }
        return 'white';
    };
    const found = [];
    for (const element of document.querySelectorAll('body *')) {
        const hasText = [...element.childNodes].some(
            (node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
        if (!hasText || !element.checkVisibility() || element.disabled) continue;
        if (element.closest('script, style, .skip, datalist')) continue;
        const both = [getComputedStyle(element).color, ground(element)].map(luminance);
        const [dark, light] = both.sort((one, other) => one - other);
        found.push([element.textContent.trim().slice(0, 40), (light + 0.05) / (dark + 0.05)]);
    }
    return found;
}
"""

CLIPPED = """
[...document.querySelectorAll('body *')]
    .filter((it) => it.checkVisibility() && it.getBoundingClientRect().right > 360)
    .map((it) => it.id || it.className)
"""


HEADER_HEIGHT = "document.querySelector('header').offsetHeight"


def in_the_room(gateway: GatewayProcess, open_window: OpenWindow, **options: Any) -> Window:
    """Get in, and have one of everything in the stream."""
    window = open_window(gateway.http_url, **options).get_in()
    for card in ("connection-card", "channels-card"):
        window.page.evaluate("(id) => { document.getElementById(id).open = true; }", card)
    window.join("a-channel-with-a-name-that-is-as-long-as-names-of-channels-are-at-times")
    window.send("a word of five hundred letters: " + "m" * 500)
    expect(window.page.locator(".entry.mine")).to_have_count(1)
    window.send("refused", to="principal:somebody-else")
    expect(window.entries("error")).to_have_count(1)
    return window


def nameless(window: Window) -> list[str]:
    """Return the controls that a screen reader has no name for."""
    session = window.page.context.new_cdp_session(window.page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    controls = [node for node in shown if node["role"]["value"] in CONTROLS]
    assert controls
    return [node["role"]["value"] for node in controls if not node.get("name", {}).get("value", "")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_control_has_a_name_and_every_text_contrast(
    gateway: GatewayProcess, open_window: OpenWindow, scheme: str
) -> None:
    door = open_window(gateway.http_url, color_scheme=scheme)
    door.enter("not-the-token")
    expect(door.page.get_by_role("alert")).not_to_be_empty()
    room = in_the_room(gateway, open_window, color_scheme=scheme)
    room.page.get_by_role("button", name="JSON").click()
    for window in (door, room):
        assert nameless(window) == []
        contrasts = window.page.evaluate(CONTRASTS)
        assert len(contrasts) > 8
        assert [it for it in contrasts if it[1] < 4.5] == []
    room.page.get_by_role("tab", name="Administration").click()
    assert nameless(room) == []
    room.page.get_by_role("button", name="Shortcuts").click()
    assert nameless(room) == []


def test_what_happens_is_announced(gateway: GatewayProcess, open_window: OpenWindow) -> None:
    page = open_window(gateway.http_url).get_in().page
    expect(page.get_by_role("log", name="Stream")).to_contain_text("Connected")
    expect(page.get_by_role("status").first).to_have_text("Connected")
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1


def test_nothing_is_wider_than_a_small_phone(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    phone = {"width": 360, "height": 740}
    widths = "[document.documentElement.scrollWidth, innerWidth]"
    door = open_window(gateway.http_url, viewport=phone, has_touch=True)
    assert door.page.evaluate(widths) == [360, 360]
    assert door.page.evaluate(HEADER_HEIGHT) < 60, "all of it stands in one row"
    window = in_the_room(gateway, open_window, viewport=phone, has_touch=True)
    assert window.page.evaluate(widths) == [360, 360]
    window.page.get_by_role("button", name="JSON").click()
    window.page.get_by_role("button", name="Disconnect").click()
    expect(window.page.locator("#notice")).to_be_visible()
    window.page.locator("#state").evaluate("it => { it.textContent = 'Reconnecting…'; }")
    assert window.page.evaluate(widths) == [360, 360]
    assert window.page.evaluate(CLIPPED) == []
    assert window.page.evaluate(HEADER_HEIGHT) < 60
    window.page.get_by_role("tab", name="Administration").click()
    assert window.page.evaluate(widths) == [360, 360]
    assert window.page.evaluate(CLIPPED) == []


def test_colours_follow_the_system_until_they_are_chosen(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    page = open_window(gateway.http_url, color_scheme="dark").page
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    assert light != dark
    page.get_by_role("button", name="Change to dark colours").click()
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name="Change to light colours").click()
    assert page.evaluate(ground) == light


def test_nothing_moves_for_those_who_want_it_so(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    moving = "getComputedStyle(document.querySelector('#state'), '::before').animationName"
    for motion, name in (("no-preference", "pulse"), ("reduce", "none")):
        page = open_window(gateway.http_url, reduced_motion=motion).page
        page.locator("#state").evaluate("it => { it.dataset.state = 'waiting'; }")
        assert page.evaluate(moving) == name


def test_the_direction_of_a_text_is_its_own(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    window = open_window(gateway.http_url).get_in()
    window.send("\u05e9\u05dc\u05d5\u05dd, and English", to="everyone")
    expect(window.entries("message")).to_have_count(1)
    left_of_first, left_of_last = window.page.locator(".entry.message .text").evaluate(
        """(it) => [0, it.textContent.length - 1].map((at) => {
            const range = document.createRange();
            range.setStart(it.firstChild, at);
            range.setEnd(it.firstChild, at + 1);
            return range.getBoundingClientRect().left;
        })"""
    )
    assert left_of_first > left_of_last, "it is read from the right"


def test_fields_and_buttons_are_large_enough_for_fingers(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    phone = {"width": 360, "height": 740}
    window = in_the_room(gateway, open_window, viewport=phone, has_touch=True, is_mobile=True)
    sizes = window.page.evaluate(
        """[...document.querySelectorAll('input:not([type=checkbox]), textarea')]
            .filter((it) => it.checkVisibility())
            .map((it) => parseFloat(getComputedStyle(it).fontSize))"""
    )
    assert min(sizes) >= 16, "iOS zooms into smaller ones"
    heights = window.page.evaluate(
        """[...document.querySelectorAll('button')].filter((it) => it.checkVisibility())
            .map((it) => [it.offsetHeight, it.id || it.innerText])"""
    )
    assert [it for it in heights if it[0] < 30] == []


def test_the_first_stop_of_the_keyboard_leads_to_the_content(
    gateway: GatewayProcess, open_window: OpenWindow
) -> None:
    page = open_window(gateway.http_url).page
    skip = page.get_by_role("link", name="Skip to the content")
    assert page.locator("a, button, input").first.evaluate("it => it.className") == "skip"
    skip.focus()
    expect(skip).to_be_in_viewport()
    skip.press("Enter")
    expect(page).to_have_url(re.compile("#"))
    page.keyboard.press("Tab")
    expect(page.get_by_label("Token")).to_be_focused()
