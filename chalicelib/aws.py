"""One SigV4 signer and one small signed call, for what boto3 is too heavy for.

boto3 takes 140 ms to import and a millisecond of CPU for each call, and these calls are paid
per message. Knows no service's errors; retries a call only on a connection the other side closed
while it was idle, and of many posts at once those that may pass.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar
from urllib.parse import quote, urlsplit

from chalicelib.exchanges import DEFAULT_LIMITS, Exchanges, Limits, Result
from chalicelib.http1 import Response, header_lines, request_head
from chalicelib.origin import Origin

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What requests are signed with; only the key's id may be shown."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


class Caller(Protocol):
    """Whatever makes signed calls to one endpoint; paths are percent-encoded, without a query."""

    def call(
        self, method: str, path: str, payload: bytes = b"", headers: Mapping[str, str] = _NO_HEADERS
    ) -> Response:
        """Return the answer of any status; raises ServiceUnavailable where there is none."""


class BulkCaller(Caller, Protocol):
    """A Caller that also posts one payload to many paths at once."""

    def post_each(
        self,
        items: Iterable[T | None],
        path: Callable[[T], str],
        payload: bytes,
        budget: float,
        rate: float | None = None,
    ) -> Iterator[tuple[T, Result]]:
        """Yield every item with what came of it, in the order they end.

        ``budget`` is in seconds, ``rate`` in posts per second. Items are taken as they can be
        sent, None is none yet; the rest of those that are there when the budget is spent.
        """


class Signer:
    """Signs requests to one service in one region with Signature Version 4.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """

    def __init__(self, region: str, service: str) -> None:
        self._scope = f"{region}/{service}/aws4_request"
        self._region = region
        self._service = service
        self._key: tuple[tuple[str, str], bytes] = (("", ""), b"")

    def sign(
        self,
        credentials: Credentials,
        now: float,
        *,
        method: str,
        path: str,
        headers: Mapping[str, str],
        payload: bytes,
    ) -> dict[str, str]:
        """Return ``headers`` and what authenticates them; ``now`` in seconds since the epoch.

        ``path`` is as it goes over the wire, percent-encoded, without a query or dot segments;
        ``headers`` have lower-case names and hold ``host``.
        """
        prepared = self.prepare(credentials, now, method=method, headers=headers, payload=payload)
        return {**prepared.headers, "authorization": prepared.authorization(path)}

    def prepare(
        self,
        credentials: Credentials,
        now: float,
        *,
        method: str,
        headers: Mapping[str, str],
        payload: bytes,
    ) -> "PreparedSignature":
        """Do all of ``sign`` that does not depend on the path."""
        timestamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        signed = {**headers, "x-amz-date": timestamp}
        if credentials.session_token is not None:
            signed["x-amz-security-token"] = credentials.session_token
        in_order = sorted(signed)
        names = ";".join(in_order)
        lines = "".join([f"{name}:{' '.join(signed[name].split())}\n" for name in in_order])
        digest = hashlib.sha256(payload).hexdigest() if payload else _EMPTY_SHA256
        scope = f"{timestamp[:8]}/{self._scope}"
        return PreparedSignature(
            headers=signed,
            before_path=f"{method}\n",
            after_path=f"\n\n{lines}\n{names}\n{digest}",
            before_digest=f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n",
            before_signature=(
                f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope}, "
                f"SignedHeaders={names}, Signature="
            ),
            key=self._signing_key(credentials.secret_access_key, timestamp[:8]),
        )

    def _signing_key(self, secret: str, day: str) -> bytes:
        # One tuple, replaced in one step: threads may compute it twice but never mix two keys.
        known, key = self._key
        if known != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = _hmac(key, part)
            self._key = ((secret, day), key)
        return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


class PreparedSignature(NamedTuple):
    """What requests that differ only in their paths have in common."""

    headers: Mapping[str, str]
    before_path: str
    after_path: str
    before_digest: str
    before_signature: str
    key: bytes

    def authorization(self, path: str) -> str:
        """Return the header that authenticates the request to this path."""
        # Encoded once more than on the wire: every service but S3 wants it so.
        request = f"{self.before_path}{quote(path, safe='/~')}{self.after_path}".encode()
        text = f"{self.before_digest}{hashlib.sha256(request).hexdigest()}"
        return f"{self.before_signature}{_hmac(self.key, text).hex()}"


class SignedClient:
    """The BulkCaller that ships: HTTP/1.1 over connections that are kept."""

    def __init__(
        self,
        endpoint: str,
        signer: Signer,
        credentials: Callable[[], Credentials],
        now: Callable[[], float],
        *,
        connect_timeout: float = 2.0,
        read_timeout: float = 5.0,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """``endpoint`` may hold a path, which all calls are below; timeouts are in seconds."""
        parts = urlsplit(endpoint)
        self._base_path = parts.path.rstrip("/")
        self._origin = Origin(
            f"{parts.scheme}://{parts.netloc}",
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )
        self._signer = signer
        self._credentials = credentials
        self._now = now
        self._limits = limits

    def call(
        self, method: str, path: str, payload: bytes = b"", headers: Mapping[str, str] = _NO_HEADERS
    ) -> Response:
        """Sign and send a request."""
        full_path = self._base_path + path
        signed = self._signer.sign(
            self._credentials(),
            self._now(),
            method=method,
            path=full_path,
            headers={"host": self._origin.host, **headers},
            payload=payload,
        )
        if payload or method == "POST":
            signed["content-length"] = str(len(payload))
        return self._origin.exchange(
            request_head(method, full_path, header_lines(signed)) + payload
        )

    def post_each(
        self,
        items: Iterable[T | None],
        path: Callable[[T], str],
        payload: bytes,
        budget: float,
        rate: float | None = None,
    ) -> Iterator[tuple[T, Result]]:
        """Sign and send a POST of the same payload for each item, many at once."""
        second = -1
        lines = ""
        prepared: PreparedSignature

        def request(item: T) -> bytes:
            nonlocal second, lines, prepared
            now = int(self._now())
            if now != second:  # credentials that were renewed meanwhile are taken up, too
                prepared = self._signer.prepare(
                    self._credentials(),
                    now,
                    method="POST",
                    headers={"host": self._origin.host},
                    payload=payload,
                )
                second = now
                lines = header_lines({**prepared.headers, "content-length": str(len(payload))})
            full_path = self._base_path + path(item)
            authorization = f"authorization: {prepared.authorization(full_path)}\r\n"
            return request_head("POST", full_path, lines + authorization) + payload

        yield from Exchanges(self._origin, request, budget, self._limits, rate).run(items)

    def close(self) -> None:
        """Close what is idle."""
        self._origin.close()
