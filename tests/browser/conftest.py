"""A real Chromium, and pages that fail a test by what they say in the browser's own console."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.window import Window
from tests.end_to_end.conftest import serve
from tests.gateway_process import GatewayProcess
from tests.gateway_under_test import eventually

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# What comes at once on a quiet machine is waited for so long; Playwright itself would wait 5 s.
_MILLISECONDS = 60_000
expect.set_options(timeout=_MILLISECONDS)

__all__ = ["serve"]

OpenWindow = Callable[..., Window]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start one for each file; fails, and never skips, where there is none.

    Playwright leaves an event loop running in this thread until it ends: tests of other
    directories, which want one of their own, must not come before that.
    """
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.fail(
            "no Chromium here: install it (Debian: apt-get install chromium), name it in the "
            "environment variable CHROMIUM, or leave these tests out with -m 'not browser'"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def served() -> Iterator[GatewayProcess]:
    """What ``make run`` serves."""
    with GatewayProcess("--stage", "local") as running:
        yield running


@pytest.fixture
def gateway(served: GatewayProcess) -> GatewayProcess:
    """The same once nobody is left in it of the test before: a moment after his window closes."""
    eventually(served.is_empty)
    return served


@pytest.fixture
def open_window(browser: Browser) -> Iterator[OpenWindow]:
    """Open the console in windows of their own; in the end none may have had a fault."""
    windows: list[Window] = []
    contexts: list[BrowserContext] = []

    def open_one(url: str, **options: Any) -> Window:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 760}, **options})
        context.set_default_timeout(_MILLISECONDS)
        contexts.append(context)
        windows.append(Window(_prepared(context), url))
        return windows[-1]

    yield open_one
    faults = [fault for window in windows for fault in window.faults()]
    for context in contexts:
        context.close()
    assert faults == []


def _prepared(context: BrowserContext) -> Page:
    page = context.new_page()
    page.add_init_script(
        "window.violations = [];"
        "addEventListener('securitypolicyviolation', ({violatedDirective, blockedURI}) =>"
        " violations.push(`${violatedDirective} ${blockedURI}`));"
    )
    return page
