"""One secret for all clients, in one header."""

from dataclasses import dataclass

from chalicelib.authorizers import AuthorizerRequest, Principal, accepts
from chalicelib.errors import Unauthorized
from chalicelib.secret_values import Secret, SecretSource, literal
from chalicelib.settings import DEMONSTRATION_VALUES, Settings


@dataclass(frozen=True, slots=True)
class SharedToken:
    """Lets in whoever sends the expected token; ``ttl`` is in seconds."""

    header: str
    token: Secret
    principal_id: str
    ttl: int

    @classmethod
    def from_settings(cls, settings: Settings, secret: SecretSource = literal) -> "SharedToken":
        """ConfigurationError where the token is unknown: then nobody may be let in."""
        return cls(
            header=settings.shared_token_header,
            token=secret("SHARED_TOKEN", settings.shared_token),
            principal_id=settings.principal_id,
            ttl=settings.connection_ttl,
        )

    def authenticate(self, request: AuthorizerRequest) -> Principal | None:
        """Return None without the header, raise Unauthorized for another token."""
        given = request.header(self.header)
        if given is None:
            return None
        if not accepts([(self.token, given)]):
            raise Unauthorized("bad_token")
        return Principal(
            self.principal_id,
            {
                "token": "shared_token",
                "expiresAt": int(request.received_at) + self.ttl,
                "demonstration": given in DEMONSTRATION_VALUES,
            },
        )
