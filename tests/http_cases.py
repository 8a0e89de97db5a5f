"""What the HTTP API answers: one table, asked of every way to serve it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

BEARER = {"Authorization": "Bearer hello"}
JSON = {"Content-Type": "application/json"}


class Reply(NamedTuple):
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        """The error's code, empty where it is none."""
        error = self.body.get("error", {}) if isinstance(self.body, dict) else {}
        return str(error.get("code", ""))


class Host(Protocol):
    """Something that serves the HTTP API."""

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """Send a request."""


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and the status and code of its answer."""

    method: str
    path: str
    status: int
    code: str = ""
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=lambda: BEARER)

    def ask(self, host: Host) -> Reply:
        """Ask a host, with the body as JSON unless it is bytes."""
        body, headers = self.body, dict(self.headers)
        if body is not None:
            headers = {**JSON, **headers}
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return host.ask(self.method, self.path, body, headers)


def send(**fields: Any) -> dict[str, Any]:
    return {"to": "everyone", "message": "hello", **fields}


def key(**fields: Any) -> dict[str, Any]:
    return {"principal": "robot", "scopes": ["connect"], **fields}


def page(query: str, status: int = 400, code: str = "") -> Case:
    return Case("GET", f"/connections?{query}", status, code)


def keyed(key: str, body: Any, status: int, code: str = "") -> Case:
    return Case("POST", "/messages", status, code, body, {**BEARER, "Idempotency-Key": key})


DEEP = b"[" * 40 + b"]" * 40
NO_JOB = "01a1f87b-e5c6-78ab-b0c4-1a7746090eeb"
NOBODY = quote("L0SM9cOFvHcCIhw=", safe="")

CASES = {
    "health": Case("GET", "/health", 200, headers={}),
    "the document": Case("GET", "/openapi.json", 200, headers={}),
    "no tickets in this stage": Case("POST", "/tickets", 404, "not_found"),
    "a ticket of a query string": Case("POST", "/tickets?a=b", 400, "unknown_parameter"),
    "a message": Case("POST", "/messages", 200, body=send()),
    "a message with an id": Case("POST", "/messages", 200, body=send(id="a")),
    "to a channel": Case("POST", "/messages", 200, body=send(to="channel:news")),
    "to a principal": Case("POST", "/messages", 200, body=send(to="principal:zo\u00eb")),
    "to a connection": Case("POST", "/messages", 200, body=send(to="connection:abc")),
    "to nobody there can be": Case("POST", "/messages", 400, "invalid_audience", send(to="all")),
    "to a number": Case("POST", "/messages", 400, "invalid_field", send(to=1)),
    "to nobody": Case("POST", "/messages", 400, "missing_field", {"message": "hello"}),
    "no message": Case("POST", "/messages", 400, "missing_field", {"to": "everyone"}),
    "a message that is a list": Case("POST", "/messages", 400, "invalid_field", send(message=[])),
    "another field": Case("POST", "/messages", 400, "unknown_field", send(from_="alice")),
    "an action": Case("POST", "/messages", 400, "unknown_field", send(action="sendmessage")),
    "an id that is an object": Case("POST", "/messages", 400, "invalid_field", send(id={})),
    "no JSON": Case("POST", "/messages", 400, "malformed_json", b"{"),
    "nothing": Case("POST", "/messages", 400, "malformed_json"),
    "a list": Case("POST", "/messages", 400, "not_an_object", []),
    "a key twice": Case("POST", "/messages", 400, "duplicate_key", b'{"to":"a","to":"b"}'),
    "NaN": Case("POST", "/messages", 400, "invalid_number", b'{"to":NaN}'),
    "half a character": Case(
        "POST", "/messages", 400, "invalid_text", b'{"to":"everyone","message":"\\ud800"}'
    ),
    "too deep": Case("POST", "/messages", 400, "too_deep", b'{"to":' + DEEP + b"}"),
    "a body too long": Case(
        "POST", "/messages", 413, "body_too_long", send(message="a" * 262_144)
    ),
    "a message too long": Case(
        "POST", "/messages", 413, "message_too_long", send(message="a" * 131_072)
    ),
    "another type": Case(
        "POST", "/messages", 415, "unsupported_media_type", b"<to/>",
        {**BEARER, "Content-Type": "text/xml"},
    ),
    "a query string": Case("POST", "/messages?to=all", 400, "unknown_parameter", send()),
    "a key": keyed("case-1", send(), 200),
    "a quoted key": keyed('"case-2"', send(), 200),
    "a key that is none": keyed("a#b", send(), 400, "invalid_idempotency_key"),
    "a key too long": keyed("a" * 129, send(), 400, "invalid_idempotency_key"),
    "a batch": Case("POST", "/messages/batch", 200, body={"messages": [send()]}),
    "an empty batch": Case("POST", "/messages/batch", 400, "invalid_field", {"messages": []}),
    "no batch": Case("POST", "/messages/batch", 400, "missing_field", {}),
    "a batch too large": Case(
        "POST", "/messages/batch", 400, "invalid_field", {"messages": [send()] * 26}
    ),
    "a batch too long": Case("POST", "/messages/batch", 413, "body_too_long", b"a" * 1_048_577),
    "another field beside": Case(
        "POST", "/messages/batch", 400, "unknown_field", {"messages": [send()], "to": "everyone"}
    ),
    "a job that is none": Case("GET", f"/jobs/{NO_JOB}", 404, "not_found"),
    "a job of another kind": Case("GET", f"/jobs/{'a' * 100}", 404, "not_found"),
    "everyone": Case("GET", "/connections", 200),
    "a channel": page("audience=channel:news", 200),
    "a page": page("limit=1", 200),
    "no audience": page("audience=all", code="invalid_audience"),
    "an empty audience": page("audience=", code="invalid_audience"),
    "no page": page("limit=0", code="invalid_parameter"),
    "a page too large": page("limit=501", code="invalid_parameter"),
    "a limit that is no number": page("limit=many", code="invalid_parameter"),
    "a limit in other digits": page(f"limit={quote(chr(0x0663))}", code="invalid_parameter"),
    "two limits": page("limit=1&limit=2", code="invalid_parameter"),
    "a forged cursor": page("cursor=AAAA", code="invalid_cursor"),
    "another parameter": page("shard=1", code="unknown_parameter"),
    "a connection that is none": Case("GET", f"/connections/{NOBODY}", 404, "not_found"),
    "a connection there cannot be": Case("GET", "/connections/a%23b", 404, "not_found"),
    "a connection of two names": Case("GET", "/connections/a%2Fb", 404, "not_found"),
    "two names to close": Case("DELETE", "/connections/%2F", 404, "not_found"),
    "an id that is no UTF-8": Case("GET", "/connections/%ff", 404, "not_found"),
    "nobody to close": Case("DELETE", f"/connections/{NOBODY}", 404, "not_found"),
    "nobody of a principal": Case("DELETE", "/principals/nobody%20here/connections", 200),
    "nobody of a principal with a slash": Case("DELETE", "/principals/a%2Fb/connections", 200),
    "a job of two names": Case("GET", "/jobs/a%2Fb", 404, "not_found"),
    "a principal let in": Case("POST", "/principals/allow", 200, body={"principal": "mall/ory"}),
    "nobody to keep out": Case("POST", "/principals/revoke", 400, "missing_field", {}),
    "more than who": Case(
        "POST", "/principals/revoke", 400, "unknown_field", {"principal": "a", "why": "b"}
    ),
    "a principal that is none": Case(
        "POST", "/principals/revoke", 400, "invalid_field", {"principal": ["a"]}
    ),
    "a principal too long": Case(
        "POST", "/principals/allow", 413, "body_too_long", {"principal": "a" * 8192}
    ),
    "a principal in the query": Case(
        "POST", "/principals/revoke?principal=a", 400, "unknown_parameter", {"principal": "a"}
    ),
    "a key to be made": Case("POST", "/keys", 201, body=key()),
    "a key with an end": Case("POST", "/keys", 201, body=key(days=3650)),
    "a key of another alphabet": Case("POST", "/keys", 201, body=key(principal="zo\u00eb | 7")),
    "a key with more than one has": Case(
        "POST", "/keys", 403, "forbidden", key(scopes=["sendmessage:*"])
    ),
    "a key for nobody": Case("POST", "/keys", 400, "missing_field", {"scopes": ["connect"]}),
    "a key for too long a name": Case(
        "POST", "/keys", 400, "invalid_field", key(principal="a" * 129)
    ),
    "a key without scopes": Case("POST", "/keys", 400, "missing_field", {"principal": "robot"}),
    "a key with no scopes": Case("POST", "/keys", 400, "invalid_field", key(scopes=[])),
    "a key with what is no scope": Case(
        "POST", "/keys", 400, "invalid_field", key(scopes=["openid"])
    ),
    "a key that has ended": Case("POST", "/keys", 400, "invalid_field", key(days=0)),
    "a key of one's own": Case("POST", "/keys", 400, "unknown_field", key(key="pk_1")),
    "a key that may be repeated": Case(
        "POST", "/keys", 400, "invalid_idempotency_key", key(), {**BEARER, "Idempotency-Key": "a"}
    ),
    "all keys": Case("GET", "/keys", 200),
    "a page of keys": Case("GET", "/keys?limit=1", 200),
    "no page of keys": Case("GET", "/keys?limit=501", 400, "invalid_parameter"),
    "a cursor of no key": Case("GET", "/keys?cursor=AAAA", 400, "invalid_cursor"),
    "keys of somebody": Case("GET", "/keys?principal=robot", 400, "unknown_parameter"),
    "a key that is none, to revoke": Case("DELETE", f"/keys/{'0' * 16}", 404, "not_found"),
    "a key there cannot be": Case("DELETE", "/keys/pk_0", 404, "not_found"),
    "the wrong method": Case("PUT", "/messages", 405, "method_not_allowed"),
    "the wrong method of two": Case("POST", f"/connections/{NOBODY}", 405, "method_not_allowed"),
}  # fmt: skip
