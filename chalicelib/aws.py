"""One SigV4 signer and one small signed call, for what boto3 is too heavy for.

boto3 takes 140 ms to import and a millisecond of CPU for each call, and these calls are paid
per message. Knows neither service-specific errors nor retries, except of a connection the other
side closed while it was idle.
"""

import hashlib
import hmac
import http.client
import random
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Protocol
from urllib.parse import quote, urlsplit

from chalicelib.errors import ServiceUnavailable

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_CLOSED_BY_PEER = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What requests are signed with; only the key's id may be shown."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of any status."""

    status: int
    body: bytes = field(default=b"", repr=False)


class Caller(Protocol):
    """Whatever makes signed calls to one endpoint."""

    def call(
        self, method: str, path: str, payload: bytes = b"", headers: Mapping[str, str] = _NO_HEADERS
    ) -> Response:
        """Return the answer of any status; raises ServiceUnavailable where there is none."""


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
        timestamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        signed = {**headers, "x-amz-date": timestamp}
        if credentials.session_token is not None:
            signed["x-amz-security-token"] = credentials.session_token
        names = ";".join(sorted(signed))
        request = _canonical_request(method, path, signed, names, payload)
        scope = f"{timestamp[:8]}/{self._scope}"
        text = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{hashlib.sha256(request).hexdigest()}"
        key = self._signing_key(credentials.secret_access_key, timestamp[:8])
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope}, "
            f"SignedHeaders={names}, Signature={_hmac(key, text).hex()}"
        )
        return signed

    def _signing_key(self, secret: str, day: str) -> bytes:
        # One tuple, replaced in one step: threads may compute it twice but never mix two keys.
        known, key = self._key
        if known != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = _hmac(key, part)
            self._key = ((secret, day), key)
        return key


def _canonical_request(
    method: str, path: str, headers: Mapping[str, str], names: str, payload: bytes
) -> bytes:
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers))
    digest = hashlib.sha256(payload).hexdigest() if payload else _EMPTY_SHA256
    # Encoded once more than on the wire: every service but S3 wants it so.
    return f"{method}\n{quote(path, safe='/~')}\n\n{lines}\n{names}\n{digest}".encode()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


class HTTPPool:
    """Keep-alive connections to one origin, for any number of threads."""

    def __init__(self, origin: str, *, connect_timeout: float, read_timeout: float) -> None:
        """Timeouts are in seconds; ``origin`` is ``http(s)://host[:port]``."""
        self._idle: deque[http.client.HTTPConnection] = deque()
        scheme, _, self.host = origin.partition("://")
        self._timeouts = connect_timeout, read_timeout
        # One context for all: making one reads every root certificate of the system.
        self._tls = ssl.create_default_context() if scheme == "https" else None

    def request(
        self, method: str, path: str, headers: Mapping[str, str], payload: bytes
    ) -> Response:
        """Send a request and read all of the answer, whatever its status; follows no redirect.

        Raises ServiceUnavailable where there is no answer, or not in time.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._exchange(self._connect(), method, path, headers, payload)
        try:
            return self._exchange(connection, method, path, headers, payload)
        except _Unanswered:
            # Closed while it was idle, which shows only now; its neighbours are no younger.
            self.close()
            return self._exchange(self._connect(), method, path, headers, payload)

    def close(self) -> None:
        """Close what is idle."""
        with suppress(IndexError):  # at the end, whichever thread took the last one
            while True:
                self._idle.pop().close()

    def __del__(self) -> None:
        self.close()

    def _connect(self) -> http.client.HTTPConnection:
        connect_timeout, read_timeout = self._timeouts
        if self._tls is None:
            connection = http.client.HTTPConnection(self.host, timeout=connect_timeout)
        else:
            connection = http.client.HTTPSConnection(
                self.host, timeout=connect_timeout, context=self._tls
            )
        try:
            connection.connect()
        except OSError as error:
            raise ServiceUnavailable(f"cannot connect to {self.host}: {error}") from error
        connection.sock.settimeout(read_timeout)
        connection.auto_open = 0  # it would connect again in silence, with the wrong timeout
        return connection

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        payload: bytes,
    ) -> Response:
        answer = None
        try:
            connection.request(method, path, payload or None, headers)
            answer = connection.getresponse()
            response = Response(answer.status, answer.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            unanswered = answer is None and isinstance(error, _CLOSED_BY_PEER)
            kind = _Unanswered if unanswered else ServiceUnavailable
            raise kind(f"no answer from {self.host}: {error!r}") from error
        if not answer.will_close:
            self._idle.append(connection)
        return response


class _Unanswered(ServiceUnavailable):
    """The peer closed the connection before it answered."""


class SignedClient:
    """The Caller that ships: HTTP/1.1 over connections that are kept."""

    def __init__(
        self,
        endpoint: str,
        signer: Signer,
        credentials: Callable[[], Credentials],
        now: Callable[[], float],
        *,
        connect_timeout: float = 2.0,
        read_timeout: float = 5.0,
    ) -> None:
        """``endpoint`` may hold a path, which all calls are below; timeouts are in seconds."""
        parts = urlsplit(endpoint)
        self._base_path = parts.path.rstrip("/")
        self._pool = HTTPPool(
            f"{parts.scheme}://{parts.netloc}",
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )
        self._signer = signer
        self._credentials = credentials
        self._now = now

    def call(
        self, method: str, path: str, payload: bytes = b"", headers: Mapping[str, str] = _NO_HEADERS
    ) -> Response:
        """Sign and send a request; ``path`` is percent-encoded and has no query."""
        full_path = self._base_path + path
        signed = self._signer.sign(
            self._credentials(),
            self._now(),
            method=method,
            path=full_path,
            headers={"host": self._pool.host, **headers},
            payload=payload,
        )
        return self._pool.request(method, full_path, signed, payload)

    def close(self) -> None:
        """Close what is idle."""
        self._pool.close()


@dataclass(frozen=True, slots=True)
class Backoff:
    """When to try again: after pauses that grow, jittered over their whole length.

    All values are in seconds; ``random`` returns numbers in [0, 1).
    """

    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    first: float = 0.05
    longest: float = 1.0
    deadline: float = 5.0

    def attempts(self) -> Iterator[int]:
        """Yield 0 at once, then 1, 2... after pauses, until a pause would pass the deadline."""
        end = self.clock() + self.deadline
        attempt = 0
        while True:
            yield attempt
            pause = self.random() * min(self.longest, self.first * 2**attempt)
            if self.clock() + pause > end:
                return
            self.sleep(pause)
            attempt += 1
