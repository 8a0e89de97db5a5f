"""One secret for all clients."""

from dataclasses import dataclass, replace

from chalicelib.authorizers import AuthorizerRequest, Principal, accepts
from chalicelib.authorizers.places import find_credentials
from chalicelib.credential_settings import BEARER, Place
from chalicelib.errors import Unauthorized
from chalicelib.scopes import Scopes
from chalicelib.secret_values import Secret, SecretSource, literal
from chalicelib.settings import DEMONSTRATION_VALUES, Settings


@dataclass(frozen=True, slots=True)
class SharedToken:
    """Lets in whoever sends the expected token; ``ttl`` is in seconds."""

    place: Place
    token: Secret
    principal_id: str
    scopes: Scopes
    ttl: int

    @classmethod
    def from_settings(cls, settings: Settings, secret: SecretSource = literal) -> "SharedToken":
        """ConfigurationError where the token is unknown: then nobody may be let in."""
        return cls(
            place=Place("header", settings.shared_token_header),
            token=secret("SHARED_TOKEN", settings.shared_token),
            principal_id=settings.principal_id,
            scopes=settings.default_scopes,
            ttl=settings.connection_ttl,
        )

    def authenticate(self, request: AuthorizerRequest) -> Principal | None:
        """Return None without the token, raise Unauthorized for another one in its own header.

        As a bearer token another one may be a credential of another kind.
        """
        given = find_credentials([self.place], request)
        if not given:
            return None
        if not accepts([(self.token, given[0])]):
            if self.place == BEARER:
                return None
            raise Unauthorized("bad_token")
        return Principal(
            self.principal_id,
            "shared_token",
            int(request.received_at) + self.ttl,
            self.scopes,
            demonstration=given[0] in DEMONSTRATION_VALUES,
        )

    def as_bearer(self) -> "SharedToken":
        """Return the same for the Authorization header alone."""
        return replace(self, place=BEARER)
