"""Where to connect, and what to show there. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode, urlsplit

from wsclient.errors import WrongInput

# RFC 9110, 5.6.2: what names of headers and subprotocols are made of.
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")
_UNSAFE_IN_URL = re.compile(r"[\x00-\x20\x7f]")
# A JSON Web Token as it is written down, or an API key of Portcullis.
_BEARER = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+|pk_[0-9a-f]{16}_[\w-]{43}", re.ASCII)
_PLACE = re.compile(r"bearer|protocol|(?P<kind>header|query):(?P<name>.+)")
# The handshake's own; another value breaks it.
_RESERVED = re.compile(r"host|upgrade|connection|content-length|transfer-encoding|sec-websocket-.*")


@dataclass(frozen=True, slots=True)
class Target:
    """One handshake; whatever may be a credential stays out of its repr."""

    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    subprotocols: tuple[str, ...] = field(default=(), repr=False)

    @property
    def shown(self) -> str:
        """Return the URL without its query, which may hold a credential."""
        return self.url.partition("?")[0]

    @property
    def handshake_url(self) -> str:
        """Return the whole URL; never to be printed."""
        if not self.query:
            return self.url
        return f"{self.url}{'&' if '?' in self.url else '?'}{urlencode(self.query)}"

    @property
    def in_the_clear(self) -> bool:
        """Return whether others on the way can read what is sent."""
        parts = urlsplit(self.url)
        return parts.scheme == "ws" and not is_loopback(parts.hostname or "")

    def with_query(self, name: str, value: str) -> Target:
        """Return the same with another query parameter."""
        return replace(self, query=(*self.query, (name, value)))

    def with_token(self, token: str, place: str) -> Target:
        """Return the same with a token in a place as ``check_place`` knows them."""
        kind, _, name = place.partition(":")
        if kind == "query":
            return self.with_query(name, token)
        if kind == "protocol":
            return replace(self, subprotocols=(*self.subprotocols, f"bearer.{token}"))
        header = ("Authorization", f"Bearer {token}") if kind == "bearer" else (name, token)
        return replace(self, headers=(*self.headers, header))


def check_url(text: str) -> str:
    """Return the URL of a WebSocket API; raises WrongInput, which does not repeat it."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"ws", "wss"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise WrongInput("a URL is written ws://host:port/stage or wss://host/stage")
    if "@" in parts.netloc:
        raise WrongInput("a URL cannot hold a user's name or password; use --token-file")
    if parts.fragment or _UNSAFE_IN_URL.search(text):
        raise WrongInput("a URL can hold no fragment and no blank")
    return text


def is_url(text: str) -> bool:
    """Return whether a first argument is meant as a URL, not as a message."""
    return text.startswith(("ws://", "wss://"))


def check_place(text: str) -> str:
    """Return where a token goes: ``header:NAME``, ``bearer``, ``query:NAME`` or ``protocol``."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise WrongInput("--token-in is header:NAME, bearer, query:NAME or protocol")
    if match["kind"] == "header":
        _check_header_name(match["name"])
    return text


def usual_place(token: str | None) -> str:
    """Return where a server looks for a credential of this form."""
    return "header:token" if token is None or not _BEARER.fullmatch(token) else "bearer"


def check_token(token: str, place: str) -> str:
    """Return a token that can be carried; raises WrongInput, which does not repeat it."""
    if not token:
        raise WrongInput("the token is empty")
    if _UNSAFE.search(token) or not token.isascii():
        raise WrongInput("the token has a line break, or a character that is not ASCII")
    if place == "protocol" and not _NAME.fullmatch(token):
        raise WrongInput("the token has a character that a subprotocol cannot have")
    return token


def parse_headers(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Read ``NAME:VALUE``; raises WrongInput, which does not repeat values."""
    headers = []
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon:
            raise WrongInput("--header is written NAME:VALUE")
        _check_header_name(name)
        value = value.strip(" \t")
        if _UNSAFE.search(value):
            raise WrongInput(f"--header {name}: a value can hold no line break")
        headers.append((name, value))
    return tuple(headers)


def parse_query(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Read ``NAME=VALUE``; raises WrongInput, which does not repeat values."""
    pairs = [text.partition("=") for text in texts]
    if any(not name or not equals for name, equals, _ in pairs):
        raise WrongInput("--query is written NAME=VALUE")
    return tuple((name, value) for name, _, value in pairs)


def check_subprotocols(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of subprotocols to offer."""
    if not all(_NAME.fullmatch(name) for name in names):
        raise WrongInput("--subprotocol is one name, such as portcullis")
    return tuple(names)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, as far as its name says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_header_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise WrongInput("a header's name is made of letters, digits and -")
    if _RESERVED.fullmatch(name.lower()):
        raise WrongInput(f"the header {name} is the handshake's own")
