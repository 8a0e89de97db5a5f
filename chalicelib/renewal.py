"""``authenticate``: a connection that shows a new credential of its principal lives on.

The credential is verified and dropped: it is in no item, no answer and no log.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chalicelib.authorizers import Authenticator, AuthorizerRequest, Principal, authenticate
from chalicelib.connections import Connection, ConnectionRepository
from chalicelib.endings import Closing, Ended
from chalicelib.errors import ClientError, Forbidden, Unauthorized
from chalicelib.revocation import RevocationStore, is_kept_out


@dataclass(frozen=True, slots=True)
class Renewal:
    """Renews connections; ``authenticators`` returns those that a bearer token can convince."""

    authenticators: Callable[[], Sequence[Authenticator]]
    connections: ConnectionRepository
    revocations: RevocationStore
    now: Callable[[], float]

    def renew(self, connection: Connection, credential: str) -> int:
        """Return when the connection now expires, in seconds.

        Raises ClientError for a credential that is bad, another principal's, revoked or without
        the scope ``connect``: the connection stays as it is. Raises Ended if it has expired.
        """
        principal = self._principal(credential)
        if principal.principal_id != connection.principal_id:
            raise ClientError("other_principal", "This credential is of another principal.")
        if not principal.scopes.allow("connect"):
            raise ClientError("missing_scope", "This credential does not allow to connect.")
        context = principal.context_texts()
        # A revocation from here on ends the connection itself.
        if is_kept_out(self.revocations.not_before(principal.principal_id), context):
            raise ClientError("bad_credential", "This credential is not accepted.")
        if not self.connections.renew(connection, principal.expires_at, context, self.now()):
            raise Ended(Closing.EXPIRED)
        return principal.expires_at

    def _principal(self, credential: str) -> Principal:
        request = AuthorizerRequest.from_token(f"Bearer {credential}", self.now())
        try:
            return authenticate(self.authenticators(), request)
        except (Unauthorized, Forbidden) as refusal:
            problem = "This credential is not accepted."
            raise ClientError("bad_credential", problem, reason=refusal.reason) from None
