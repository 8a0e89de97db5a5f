"""The console's page and headers, by stage and settings."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest

from chalicelib.console import Page, console_page, websocket_address
from tests.factories import make_settings

LOCAL = "http://127.0.0.1:8000/api"


def page(**settings: Any) -> Page:
    found = console_page(make_settings(console=True, **settings))
    assert found is not None
    return found


def directives(served: Page) -> dict[str, list[str]]:
    parts = (part.split() for part in served.headers["Content-Security-Policy"].split(";"))
    return {name: values for name, *values in parts}


def test_there_is_none_unless_it_is_switched_on() -> None:
    assert console_page(make_settings()) is None


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"websocket_url": "wss://ws.example.com/api"}, "wss://ws.example.com/api"),
        ({"stage": "local", "management_endpoint": LOCAL}, "/api"),
        ({"stage": "local", "management_endpoint": "http://127.0.0.1:8000"}, "/"),
        (
            {"stage": "local", "management_endpoint": LOCAL, "websocket_url": "ws://a.test/b"},
            "ws://a.test/b",
        ),
        ({"stage": "dev", "management_endpoint": LOCAL}, ""),
        (
            {"websocket_api_id": "a1b2", "websocket_stage": "api", "region": "eu-west-1"},
            "wss://a1b2.execute-api.eu-west-1.amazonaws.com/api",
        ),
        ({}, ""),
    ],
)
def test_the_websocket_api_is_where_the_setting_or_the_local_gateway_has_it(
    settings: dict[str, Any], address: str
) -> None:
    assert websocket_address(make_settings(**settings)) == address
    assert f'name="websocket-address" content="{address}"' in page(**settings).body


def test_the_policy_allows_the_scripts_and_styles_of_the_page_and_nothing_else() -> None:
    served = page()
    for kind, directive in (("script", "script-src"), ("style", "style-src")):
        texts = re.findall(rf"<{kind}[^>]*>(.*?)</{kind}>", served.body, re.DOTALL)
        digests = [hashlib.sha256(text.encode()).digest() for text in texts]
        hashes = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
        assert directives(served)[directive] == hashes
        assert len(texts) == 1
    assert directives(served)["default-src"] == ["'none'"]
    for nothing in ("base-uri", "form-action", "frame-ancestors", "trusted-types"):
        assert directives(served)[nothing] == ["'none'"]
    assert directives(served)["require-trusted-types-for"] == ["'script'"]
    assert directives(served)["connect-src"] == ["'self'"]
    assert "unsafe" not in served.headers["Content-Security-Policy"]


def test_the_policy_allows_the_websocket_api_on_another_host_without_its_path() -> None:
    served = page(websocket_url="wss://ws.example.com/api")
    assert directives(served)["connect-src"] == ["'self'", "wss://ws.example.com"]


def test_what_settings_say_cannot_become_markup() -> None:
    served = page(websocket_url='wss://a.test/"><script>alert(1)</script>')
    assert "<script>alert" not in served.body
    assert "&quot;&gt;&lt;script&gt;" in served.body
    assert page().body.count("{{") == 0


def test_the_page_is_one_file_that_names_no_other_host() -> None:
    served = page()
    assert re.findall(r"\b(?:src|href|action)=\"(?!data:|#)[^\"]*\"", served.body) == []
    hosts = set(re.findall(r"(?:https?|wss?)://[^\s'\"?…]+", served.body))
    assert hosts == {"http://www.w3.org/2000/svg"}
    assert re.search(r"\son\w+=|@import|url\(|innerHTML|\beval\(", served.body) is None
    assert re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie", served.body) is None


def test_the_headers_are_those_of_a_page_that_is_given_a_credential() -> None:
    headers = page().headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
