"""URLs of HTTP APIs, which a token is sent to."""

from __future__ import annotations

import ssl
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from wsclient.errors import WrongInput
from wsclient.target import is_loopback


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none: the answer is an error with the redirect's status."""


def opener(url: str, context: ssl.SSLContext | None) -> urllib.request.OpenerDirector:
    """Return what asks a URL: it follows no redirect, and shows no proxy what stays here."""
    handlers: list[urllib.request.BaseHandler] = [
        NoRedirect(),
        urllib.request.HTTPSHandler(context=context or ssl.create_default_context()),
    ]
    if is_loopback(urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def check_http_url(text: str, name: str = "the HTTP API's URL") -> str:
    """Return the URL of an HTTP API; raises WrongInput, which does not repeat it."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.scheme not in {"http", "https"} or parts.query or parts.fragment:
        raise WrongInput(f"{name} is written https://host/stage")
    if "@" in parts.netloc:
        raise WrongInput(f"{name} cannot hold a user's name or password; use --token-file")
    if parts.scheme == "http" and not is_loopback(host):
        raise WrongInput(f"{name} must be https: the token would be sent in the clear")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
