"""Who may come in at ``$connect``, after the authorizer: nobody revoked, and not too many."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from chalicelib.connections import Audience, Connection, ConnectionRepository, members
from chalicelib.errors import PortcullisError
from chalicelib.revocation import RevocationStore, is_kept_out

REVOKED = "revoked"
TOO_MANY = "too_many_connections"
STATUS = {REVOKED: 403, TOO_MANY: 429}
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Remembers a connection first, then looks whether it may stay: see chalicelib.revocation.

    ``most`` connections of one principal are open at once; 0 for any number.
    """

    connections: ConnectionRepository
    revocations: RevocationStore
    most: int
    now: Callable[[], float]
    sleep: Callable[[float], None]

    def admit(self, connection: Connection) -> str | None:
        """Remember a connection, or return why it is refused; then nothing is remembered."""
        self.connections.add(connection)
        try:
            refusal = self._refusal(connection)
        except PortcullisError:
            self._forget(connection)
            raise
        if refusal is not None:
            self._forget(connection)
        return refusal

    def _refusal(self, connection: Connection) -> str | None:
        not_before = self.revocations.not_before(connection.principal_id)
        if is_kept_out(not_before, connection.context):
            return REVOKED
        return None if self._has_room(connection) else TOO_MANY

    def _has_room(self, connection: Connection) -> bool:
        """Count with what was just written: of those who stay, the last to write saw them all.

        Of many at once who are too many, the later ones leave and the others look again.
        """
        if not self.most:
            return True
        for attempt in range(_ATTEMPTS):
            if attempt:
                self.sleep(_PAUSE_SECONDS)
            audience = Audience("principal", connection.principal_id)
            present = list(members(self.connections, audience, self.now()))
            if len(present) <= self.most:
                return True
            own = (connection.connected_at, connection.connection_id)
            earlier = sum((it.connected_at, it.connection_id) < own for it in present)
            if earlier >= self.most:
                return False
        return False

    def _forget(self, connection: Connection) -> None:
        # Whatever stays behind was never open: a post to it finds it gone, and it expires.
        with suppress(PortcullisError):
            self.connections.remove(connection.connection_id, connection.principal_id)
