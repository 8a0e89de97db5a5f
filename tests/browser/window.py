"""The console in one browser window, by the names a person has for what is on it."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page, expect

# What Chromium writes by itself of a refused or broken request; it is no fault of the page.
_OF_THE_NETWORK = re.compile(r"Failed to load resource|WebSocket connection to")


class Window:
    """Opens the console and keeps everything the browser complains of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._complaints: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._complaints.append(f"uncaught: {error}"))
        self.answer = page.goto(url)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not _OF_THE_NETWORK.match(message.text):
            self._complaints.append(f"{message.type}: {message.text}")

    def faults(self) -> list[str]:
        """Return errors, warnings and violations of the page's own policy."""
        violations = self.violations()  # what the browser has said before comes before
        return [*self._complaints, *violations]

    def violations(self) -> list[str]:
        """Return what the page's policy has forbidden: the directive and what it was about."""
        found: list[str] = self.page.evaluate("violations")
        return found

    def forgive(self) -> None:
        """Forget the faults so far, which a test has asked for."""
        self.page.evaluate("violations.length = 0")  # what the browser has said before comes before
        self._complaints.clear()

    def get_in(self, token: str = "hello") -> Window:
        """Connect with a token, and wait until the page knows who it is."""
        self.enter(token)
        expect(self.page.locator("#principal")).not_to_have_text("-")
        return self

    def enter(self, token: str) -> None:
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Connect").click()

    def send(self, message: str, to: str = "everyone") -> None:
        self.page.locator("#audience").fill(to)
        self.page.get_by_role("textbox", name="Message").fill(message)
        self.page.get_by_role("button", name="Send").click()

    def join(self, channel: str) -> None:
        self.page.get_by_label("Join a channel").fill(channel)
        self.page.get_by_role("button", name="Join", exact=True).click()
        expect(self.page.get_by_role("button", name=f"Leave channel {channel}")).to_be_visible()

    def entries(self, kind: str, text: str | re.Pattern[str] = "") -> Locator:
        return self.page.locator(f".entry.{kind}").filter(has_text=text)

    @property
    def state(self) -> Locator:
        return self.page.locator("#state")

    @property
    def connection_id(self) -> str:
        return self.page.locator("#connection-id").inner_text()

    def kept(self) -> str:
        """Return everything about the page that outlives a look at it, or can be read off it."""
        found: dict[str, Any] = self.page.evaluate(
            """() => {
                const html = document.documentElement.cloneNode(true);
                for (const code of html.querySelectorAll('script, style')) code.remove();
                return {
                address: location.href,
                history: history.length + JSON.stringify(history.state),
                local: JSON.stringify(localStorage),
                session: JSON.stringify(sessionStorage),
                cookies: document.cookie,
                globals: Object.keys(window).filter((name) => typeof window[name] === 'string')
                    .map((name) => window[name]).join(),
                values: [...document.querySelectorAll('input, textarea')]
                    .map(({ value }) => value).join(),
                html: html.outerHTML,
            }}"""
        )
        return "\n".join(str(value) for value in found.values())
