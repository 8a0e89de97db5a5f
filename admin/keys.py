"""``keys``: create, list and revoke API keys in a stage's table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from chalicelib.authorizers.api_key import KeyDescription, is_key_id, new_key
from chalicelib.managed_keys import ManagedKeys, end_after, every_key
from chalicelib.principals import PRINCIPAL_RULE, is_principal_id
from chalicelib.scopes import MAX_CHARACTERS, Scopes


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one stage; ``now`` is in seconds since the epoch."""

    store: ManagedKeys
    default_scopes: Scopes
    now: Callable[[], float]

    def create(self, principal_id: str, scopes: str | None, days: int | None) -> str:
        """Return a new key, which nobody can show again; raises ClickException."""
        if not is_principal_id(principal_id):
            raise click.ClickException(f"a principal is {PRINCIPAL_RULE}")
        granted = self.default_scopes if scopes is None else _scopes(scopes)
        now = self.now()
        text, key = new_key(principal_id, granted, now, end_after(now, days))
        self.store.add(key)
        return text

    def lines(self) -> Iterator[str]:
        """Yield a line for each key, the oldest first; none tells a secret."""
        now = self.now()
        for key in sorted(every_key(self.store), key=lambda key: (key.created_at, key.key_id)):
            end = "never" if key.expires_at is None else _date(key.expires_at)
            dates = f"{_date(key.created_at)}\t{end}"
            yield f"{key.key_id}\t{_state(key, now)}\t{dates}\t{key.principal_id}\t{key.scopes}"

    def revoke(self, key_id: str) -> None:
        """Let a key admit nobody from now on; raises ClickException where there is none."""
        if not is_key_id(key_id):
            raise click.ClickException("the id of a key has 16 characters: those after pk_")
        if not self.store.revoke(key_id):
            raise click.ClickException(f"there is no key {key_id}")


def _scopes(text: str) -> Scopes:
    try:
        scopes = Scopes.parse(text)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if len(str(scopes)) > MAX_CHARACTERS:
        raise click.ClickException(f"the scopes are over {MAX_CHARACTERS} characters together")
    return scopes


def _state(key: KeyDescription, now: float) -> str:
    if key.revoked:
        return "revoked"
    ended = key.expires_at is not None and key.expires_at <= now
    return "expired" if ended else "active"


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%MZ")
