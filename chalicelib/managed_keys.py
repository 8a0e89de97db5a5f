"""API keys as those see them who manage them: made, listed page by page, revoked."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from chalicelib.authorizers.api_key import ApiKey, KeyDescription, KeyStore

MAX_DAYS = 3650
"""How long a key that has an end can be good."""
PAGE = 500

_DAY = 24 * 3600


class KeyPage(NamedTuple):
    """Some keys, and the id after which the next page begins; None at the end."""

    keys: tuple[KeyDescription, ...]
    last: str | None


class ManagedKeys(KeyStore, Protocol):
    """Implementations are held to tests/contract/test_credential_store.py.

    All raise ServiceUnavailable when the store does not answer.
    """

    def add(self, key: ApiKey) -> None:
        """Keep a key; one that works is never missing in the list."""

    def revoke(self, key_id: str) -> bool:
        """Let a key admit nobody from now on; False where there is no such key."""

    def page(self, after: str | None, limit: int) -> KeyPage:
        """Return up to ``limit`` keys in the order of their ids; revoked and expired ones too."""


def every_key(keys: ManagedKeys) -> Iterator[KeyDescription]:
    """Yield every key, page by page."""
    after = None
    while True:
        page = keys.page(after, PAGE)
        yield from page.keys
        if page.last is None:
            return
        after = page.last


def end_after(now: float, days: int | None) -> int | None:
    """Return when a key ends that is made now, in seconds; None is never."""
    return None if days is None else int(now) + days * _DAY


def is_revoked(keys: KeyStore, key_id: str) -> bool:
    """Tell whether a key that was good a moment ago is so no longer."""
    key = keys.get(key_id)
    return key is None or key.revoked
