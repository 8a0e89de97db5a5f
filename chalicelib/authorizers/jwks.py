"""An issuer's keys at a URL, kept for minutes, and for a day while they cannot be fetched."""

import logging
import threading
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from chalicelib.authorizers.jwt_keys import KeySet, VerificationKey
from chalicelib.decisions import decision_line
from chalicelib.errors import ServiceUnavailable
from chalicelib.http1 import header_lines, request_head
from chalicelib.origin import Origin

FRESH_SECONDS = 600
STALE_SECONDS = 24 * 3600
RETRY_SECONDS = 30
"""However many unknown key ids clients name, and however often an issuer fails."""
FIRST_RETRY_SECONDS = 5
"""While there are no keys at all, and so nobody can be let in."""
MAX_BYTES = 64 * 1024

_log = logging.getLogger("portcullis.jwks")


class FetchedKeys:
    """The keys of one issuer, for any number of threads."""

    def __init__(self, fetch: Callable[[], KeySet], now: Callable[[], float]) -> None:
        """``fetch`` raises ServiceUnavailable or ValueError; ``now`` is in seconds."""
        self._fetch = fetch
        self._now = now
        self._keys: KeySet | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = threading.Lock()

    def find(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """Return the key of this id, fetched again where it is not among those that are kept.

        Raises ServiceUnavailable where no keys could be fetched for a day.
        """
        if self._age() >= FRESH_SECONDS:
            self._refresh()
        found = self._kept().find(algorithm, key_id)
        if not found:
            self._refresh()
            found = self._kept().find(algorithm, key_id)
        return found

    def reread(self) -> bool:
        """Do nothing: for an unknown key ``find`` has done it, and a known one does not change."""
        return False

    def _age(self) -> float:
        return self._now() - self._fetched_at

    def _kept(self) -> KeySet:
        if self._keys is None or self._age() >= STALE_SECONDS:
            raise ServiceUnavailable("the issuer's keys cannot be fetched")
        return self._keys

    def _refresh(self) -> None:
        # Whoever comes while another thread fetches takes what there is, or waits if that is none.
        if not self._lock.acquire(blocking=self._keys is None):
            return
        try:
            if self._now() - self._tried_at >= self._patience():
                self._tried_at = self._now()
                self._keys = self._fetch()
                self._fetched_at = self._tried_at
        except (ServiceUnavailable, ValueError) as error:
            _log.warning(decision_line("jwks", "fetch_failed", problem=str(error)))
        finally:
            self._lock.release()

    def _patience(self) -> float:
        return FIRST_RETRY_SECONDS if self._keys is None else RETRY_SECONDS


def fetch_key_set(url: str, algorithms: Sequence[str]) -> KeySet:
    """Fetch a JWK Set; raises ServiceUnavailable or ValueError, and follows no redirect."""
    parts = urlsplit(url)
    origin = Origin(
        f"{parts.scheme}://{parts.netloc}",
        connect_timeout=1.5,
        read_timeout=2.0,
        max_body=MAX_BYTES,
    )
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = {"host": origin.host, "accept": "application/json", "connection": "close"}
    response = origin.exchange(request_head("GET", target, header_lines(headers)))
    if response.status != 200:
        raise ServiceUnavailable(f"the issuer's keys: {response.status}")
    return KeySet.parse(response.body, algorithms)
