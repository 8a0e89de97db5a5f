"""Calls of the HTTP API, for those who operate it."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlencode

from wsclient.connection import failure
from wsclient.errors import CannotConnect, NoAnswer, Refused, RequestFailed
from wsclient.http_url import opener
from wsclient.words import printable

_LONGEST = 8 * 1024 * 1024
_NOT_OURS = "what answers is not the HTTP API."


@dataclass(frozen=True, slots=True)
class HttpApi:
    """The HTTP API at a URL, with the token of an operator."""

    url: str
    token: str | None = field(repr=False)
    timeout: float
    context: ssl.SSLContext | None = None

    def connections(self, audience: str, page: int) -> Iterator[Mapping[str, Any]]:
        """Yield who is in an audience, however many pages that takes."""
        query = {"audience": audience, "limit": str(page)}
        return self._pages("/connections", "connections", query)

    def connection(self, connection_id: str) -> Mapping[str, Any]:
        """Return what is known of a connection."""
        return self.call("GET", f"/connections/{quote(connection_id, safe='')}")

    def disconnect(self, connection_id: str) -> Mapping[str, Any]:
        """Close a connection."""
        return self.call("DELETE", f"/connections/{quote(connection_id, safe='')}")

    def disconnect_all(self, principal_id: str) -> Mapping[str, Any]:
        """Close the connections of a principal; what comes back says whether there are more."""
        return self.call("DELETE", f"/principals/{quote(principal_id, safe='')}/connections")

    def revoke(self, principal_id: str) -> Mapping[str, Any]:
        """Keep a principal out, and close the connections it has."""
        return self.call("POST", "/principals/revoke", {"principal": principal_id})

    def allow(self, principal_id: str) -> Mapping[str, Any]:
        """Let a principal in again."""
        return self.call("POST", "/principals/allow", {"principal": principal_id})

    def publish(self, to: str, message: str, key: str | None) -> Mapping[str, Any]:
        """Send a message; under a key it is sent once, however often it is asked for."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.call("POST", "/messages", {"to": to, "message": message}, headers)

    def job(self, job_id: str) -> Mapping[str, Any]:
        """Return what has come of a job so far."""
        return self.call("GET", f"/jobs/{quote(job_id, safe='')}")

    def create_key(
        self, principal_id: str, scopes: Sequence[str], days: int | None
    ) -> Mapping[str, Any]:
        """Make an API key; the answer alone has it."""
        end = {} if days is None else {"days": days}
        return self.call("POST", "/keys", {"principal": principal_id, "scopes": scopes, **end})

    def keys(self, page: int) -> Iterator[Mapping[str, Any]]:
        """Yield all API keys, without their secrets."""
        return self._pages("/keys", "keys", {"limit": str(page)})

    def revoke_key(self, key_id: str) -> Mapping[str, Any]:
        """Let an API key admit nobody any more."""
        return self.call("DELETE", f"/keys/{quote(key_id, safe='')}")

    def _pages(self, path: str, name: str, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        cursor: Mapping[str, str] = {}
        while True:
            answer = self.call("GET", f"{path}?{urlencode({**query, **cursor})}")
            yield from part(answer, name)
            if "cursor" not in answer:
                return
            cursor = {"cursor": answer["cursor"]}

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Return the answer.

        Raises RequestFailed for an error, Refused for 401 and 403, CannotConnect for what may pass,
        NoAnswer where the server may have done what was asked.
        """
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", **(headers or {}), **self._authorization()},
            method=method,
        )
        try:
            with opener(self.url, self.context).open(request, timeout=self.timeout) as response:
                return _object(response.read(_LONGEST))
        except urllib.error.HTTPError as error:
            with error:
                refusal = _refusal(error.code, error.read(_LONGEST))
            if error.code == 401 and self.token is None:
                raise Refused(f"{refusal} See --token-file and --ask-token.") from None
            raise refusal from None
        except urllib.error.URLError as error:
            text = failure(error.reason, "http")
            raise CannotConnect(f"cannot connect to {self.url}: {text}") from None
        except (OSError, HTTPException):
            raise NoAnswer(f"{self.url} did not answer. It may have done what was asked.") from None

    def _authorization(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


def part(answer: Mapping[str, Any], name: str) -> Any:
    """Return a part of an answer; raises CannotConnect where it is none of the HTTP API's."""
    if name not in answer:
        raise CannotConnect(_NOT_OURS)
    return answer[name]


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        answer: Any = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise CannotConnect(_NOT_OURS)
    return answer


def _refusal(status: int, body: bytes) -> Refused | RequestFailed | CannotConnect:
    code, message = _error(body)
    said = f"{code}: {message}" if code else message or "no more is said"
    if status in {401, 403}:
        return Refused(f"refused with {status}: {said}")
    if status == 429 or status >= 500 or 300 <= status < 400:
        return CannotConnect(f"answered with {status}: {said}")
    return RequestFailed(f"answered with {status}", code, message)


def _error(body: bytes) -> tuple[str, str]:
    """Return code and message of an error, in the API's shape or API Gateway's own."""
    try:
        answer: Any = json.loads(body)
    except ValueError:
        return "", ""
    error = answer.get("error", answer) if isinstance(answer, dict) else {}
    if not isinstance(error, dict):
        return "", ""
    return tuple(printable(str(error.get(name) or "")) for name in ("code", "message"))  # type: ignore[return-value]
