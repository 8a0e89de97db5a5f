"""Principals who are kept out, and how the connections they have are ended without an escape.

Revoking writes first that nobody gets in any more, then reads who is in. Connecting writes first
that somebody is in, then reads who is kept out. Both read strongly consistent: in every order of
these four steps one of the two sees the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from chalicelib.authorizers import CLOCK_SKEW, issued_at
from chalicelib.connections import Audience, ConnectionRepository, members
from chalicelib.endings import Closing

if TYPE_CHECKING:
    from chalicelib.closing import Closer


class RevocationStore(Protocol):
    """Implementations are held to tests/contract/test_revocation_store.py.

    All raise ServiceUnavailable when the store does not answer.
    """

    def revoke(self, principal_id: str, not_before: int) -> None:
        """Keep out whoever shows a credential issued by then (seconds), or at no known time."""

    def allow(self, principal_id: str) -> None:
        """Let a principal in again; no fault where it was not kept out."""

    def not_before(self, principal_id: str) -> int | None:
        """Return what was revoked last, strongly consistent; None if nothing."""


def is_kept_out(not_before: int | None, context: Mapping[str, Any]) -> bool:
    """Tell whether the credential of an authorizer's context is one of those that were revoked.

    One that does not say when it was issued, a key or a shared token, stays out until its
    principal is allowed again.
    """
    if not_before is None:
        return False
    issued = issued_at(context)
    return issued is None or issued <= not_before


@dataclass(frozen=True, slots=True)
class Revoked:
    """What came of a revocation: who is kept out since when, and their connections."""

    principal_id: str
    not_before: int
    closed: int
    left: int
    """Silenced, but not closed yet: the sweep goes on with them."""

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "principal": self.principal_id,
            "notBefore": self.not_before,
            "closed": self.closed,
            "left": self.left,
        }


@dataclass(frozen=True, slots=True)
class Revoker:
    """Ends the connections of principals, and keeps them out."""

    revocations: RevocationStore
    connections: ConnectionRepository
    closer: Closer
    now: Callable[[], float]

    def revoke(self, principal_id: str, seconds: float) -> Revoked:
        """Keep a principal out, silence its connections, then close them for so long at most.

        Raises ServiceUnavailable where not everything was written: repeat it then.
        """
        # An issuer whose clock is ahead has dated tokens later than they were issued.
        not_before = int(self.now()) + CLOCK_SKEW
        self.revocations.revoke(principal_id, not_before)
        audience = Audience("principal", principal_id)
        found = list(members(self.connections, audience, -1))
        expire = self.connections.expire
        list(self.closer.executor.map(lambda it: expire(it.connection_id, principal_id), found))
        left = self.closer.close_all(found, Closing.REVOKED, seconds)
        return Revoked(principal_id, not_before, len(found) - len(left), len(left))
