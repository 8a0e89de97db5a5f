"""Credentials that are compared with: literal, or known by name and fetched when they are used.

Knows no store and no network; secret_stores.py does.
"""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from chalicelib.errors import ConfigurationError, PortcullisError, ServiceUnavailable

MAX_STALE_SECONDS = 3600.0
"""For how long, once it should be fetched again, a value serves while its store is silent."""
EARLY_SECONDS = 30.0
"""How far apart fetches are, whatever clients send and however often a store fails."""
_FIRST_RETRY_SECONDS = 1.0

_logger = logging.getLogger(__name__)


class Secret(Protocol):
    """A credential that may be rotated while it is in use."""

    def values(self) -> tuple[str, ...]:
        """Return the values accepted now, the current one first.

        Raises ServiceUnavailable or ConfigurationError where they cannot be had.
        """


SecretSource = Callable[[str, str | None], Secret]
"""Returns the secret of a variable, by its name and its literal value, if it has one."""


@dataclass(frozen=True, slots=True)
class FixedSecret:
    """A secret that stays as it is."""

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.value:
            raise ConfigurationError("a secret is empty")  # it would match an empty header

    def values(self) -> tuple[str, ...]:
        """Return the one value."""
        return (self.value,)


def literal(variable: str, value: str | None) -> Secret:
    """The SecretSource where nothing is stored; ConfigurationError where there is no value."""
    if value is None:
        others = f"{variable}_PARAMETER, {variable}_SECRET"
        raise ConfigurationError(f"missing environment variables: {variable} (or {others})")
    return FixedSecret(value)


@dataclass(frozen=True, slots=True)
class Versions:
    """What a store holds; the previous value is accepted until a time, in epoch seconds."""

    current: str = field(repr=False)
    previous: str | None = field(default=None, repr=False)
    previous_until: float = 0.0


class StoredSecret:
    """A secret that is fetched at first use and again after ``cache_seconds``.

    A store that does not answer leaves the last values in use for a while; one that answers
    that there is no such secret, or not for us, ends them at once.
    """

    def __init__(
        self,
        name: str,
        fetch: Callable[[], Versions],
        now: Callable[[], float],
        *,
        cache_seconds: float,
        refused: frozenset[str] = frozenset(),
    ) -> None:
        """``name`` is for people; ``refused`` values are never accepted.

        ``now`` is in epoch seconds, for a monotonic clock may stand still while Lambda keeps an
        environment frozen; ``cache_seconds`` are no fewer than ``EARLY_SECONDS``.
        """
        self._name = name
        self._fetch = fetch
        self._now = now
        self._cache_seconds = cache_seconds
        self._refused = refused
        self._lock = threading.Lock()
        self._versions: Versions | None = None
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._problem: PortcullisError = ServiceUnavailable(f"secret {name}: not fetched")

    def values(self) -> tuple[str, ...]:
        """Return the current value, and for a while after a rotation the previous one."""
        with self._lock:
            now = self._now()
            if not self._is_fresh(now):
                self._refresh(now)
            return self._accepted(now)

    def reread(self) -> bool:
        """Fetch early, for a credential that did not match may be newer than what is cached.

        Tells whether there is anything new to compare with; fetches are ``EARLY_SECONDS`` apart.
        Raises as ``values`` does where the store does not answer and what is cached is too old
        to call the credential wrong.
        """
        with self._lock:
            now = self._now()
            is_new = self._refresh(now)
            if not self._is_fresh(now):
                raise self._problem.with_traceback(None)
            return is_new

    def _is_fresh(self, now: float) -> bool:
        return 0 <= now - self._fetched_at < self._cache_seconds

    def _refresh(self, now: float) -> bool:
        pause = EARLY_SECONDS if self._versions else _FIRST_RETRY_SECONDS
        if 0 <= now - self._tried_at < pause:
            return False
        self._tried_at = now
        try:
            self._versions = self._checked(self._fetch())
        except (ConfigurationError, ServiceUnavailable) as error:
            self._fail(error, now)
            return False
        self._fetched_at = now
        return True

    def _checked(self, versions: Versions) -> Versions:
        if not versions.current:
            raise ConfigurationError("it is empty")
        if versions.current in self._refused:
            raise ConfigurationError("a demonstration value, for the local stage only")
        # One that was mended must not come back for the time of a rotation.
        if not versions.previous or versions.previous in self._refused:
            return replace(versions, previous=None)
        return versions

    def _fail(self, error: PortcullisError, now: float) -> None:
        if isinstance(error, ServiceUnavailable):
            self._problem = ServiceUnavailable(f"secret {self._name}: {error}")
            if self._versions:
                line = {"secret": self._name, "age": int(now - self._fetched_at)}
                _logger.warning("not refreshed: %s", json.dumps(line | {"problem": str(error)}))
        else:
            self._problem = ConfigurationError(f"secret {self._name}: {error}")
            self._versions = None
            self._fetched_at = float("-inf")

    def _accepted(self, now: float) -> tuple[str, ...]:
        versions = self._versions
        too_old = now - self._fetched_at >= self._cache_seconds + MAX_STALE_SECONDS
        if versions is None or too_old:
            raise self._problem.with_traceback(None)
        if versions.previous is None or now >= versions.previous_until:
            return (versions.current,)
        return versions.current, versions.previous
