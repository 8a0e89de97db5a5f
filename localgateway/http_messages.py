"""An HTTP request and an HTTP response, as values."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from localgateway.events import Pairs

_SCHEME_AND_AUTHORITY = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A whole request; ``target`` is path and query, and headers keep their casing."""

    method: str
    target: str
    headers: Pairs
    body: bytes = b""
    source_ip: str = "127.0.0.1"

    @property
    def path(self) -> str:
        """The target without its query string, not yet percent-decoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> Pairs:
        """The query string's pairs, decoded, blank values kept."""
        return tuple(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def header(self, name: str) -> str | None:
        """Return a header's first value, the name compared without regard to case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response; ``Content-Length`` is added when it is sent."""

    status: int
    headers: Pairs = ()
    body: bytes = b""

    def serialize(self, *, keep_alive: bool, with_body: bool = True) -> bytes:
        """Return the bytes to send; raises ``ValueError`` for a header with a line break in it."""
        lines = [f"HTTP/1.1 {self.status} {reason_phrase(self.status)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        has_body = self.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        if has_body:
            lines.append(f"Content-Length: {len(self.body)}")
        if not keep_alive:
            lines.append("Connection: close")
        if any(character in line for line in lines for character in "\r\n\0"):
            raise ValueError("a response header has a line break or a NUL in it")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        return head + self.body if with_body and has_body else head


def origin_form(target: str) -> str:
    """Return a request's target without scheme and authority, which a server must accept.

    https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
    """
    absolute = _SCHEME_AND_AUTHORITY.match(target)
    if absolute is None:
        return target
    rest = target[absolute.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def is_signed(request: HttpRequest) -> bool:
    """Tell whether a call of AWS's APIs has a signature; what it says is not checked."""
    return (request.header("Authorization") or "").startswith("AWS4-HMAC-SHA256 ")


def json_response(status: int, body: Any, *headers: tuple[str, str]) -> HttpResponse:
    """Return a response with a JSON body."""
    content_type = ("Content-Type", "application/json")
    return HttpResponse(status, (content_type, *headers), json.dumps(body).encode())


def reason_phrase(status: int) -> str:
    """Return the words that belong to a status; empty for one that has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
