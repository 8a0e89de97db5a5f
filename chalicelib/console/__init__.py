"""The console: one page with which a person tries the API, and what a browser lets it do.

The page is console.html as it stands, but for two texts. It is served without a credential, so
nothing that is secret may ever be in it.
"""

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from chalicelib.management_api import management_endpoint
from chalicelib.settings import LOCAL_STAGE, Settings

_PAGE = Path(__file__).with_name("console.html")
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """A response's body and headers."""

    body: str
    headers: Mapping[str, str]


def console_page(settings: Settings) -> Page | None:
    """Return the page for a stage, None where it is switched off."""
    if not settings.console:
        return None
    address = websocket_address(settings)
    body = _filled(settings.stage, address)
    return Page(body, {**_HEADERS, "Content-Security-Policy": _policy(address)})


def websocket_address(settings: Settings) -> str:
    """Return where the WebSocket API is: a URL, a path on the page's own host, or nothing.

    The local gateway has both APIs on one port, whatever name it is reached by. On AWS they are
    two hosts, of which the deployment tells the other one.
    """
    if settings.websocket_url is not None:
        return settings.websocket_url
    if settings.stage == LOCAL_STAGE and settings.management_endpoint is not None:
        return urlsplit(settings.management_endpoint).path or "/"
    if settings.websocket_api_id and settings.websocket_stage and settings.region:
        api, stage, region = settings.websocket_api_id, settings.websocket_stage, settings.region
        return management_endpoint(api, stage, region).replace("https", "wss", 1)
    return ""


_HEADERS: Mapping[str, str] = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def _filled(stage: str, address: str) -> str:
    return (
        _source()
        .replace("{{stage}}", html.escape(stage))
        .replace("{{websocket_address}}", html.escape(address))
    )


def _policy(address: str) -> str:
    """Allow this one script, this one style, this origin and the WebSocket API's; no more.

    https://www.w3.org/TR/CSP3/ ; ``self`` has the WebSockets of the page's own host in it.
    """
    parts = urlsplit(address)
    elsewhere = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    script, style = (" ".join(_hashes(kind)) for kind in ("script", "style"))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src data:; "
        f"connect-src 'self'{elsewhere}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


@cache
def _hashes(kind: str) -> tuple[str, ...]:
    """Return what a policy names inline scripts or styles by."""
    texts = [match[2] for match in _INLINE.finditer(_source()) if match[1] == kind]
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return tuple(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


@cache
def _source() -> str:
    return _PAGE.read_text(encoding="utf-8")
