"""JSON Web Tokens of one issuer, as OAuth 2.0 and OpenID Connect give them out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from chalicelib.authorizers import AuthorizerRequest, Principal
from chalicelib.authorizers.jwks import FetchedKeys, fetch_key_set
from chalicelib.authorizers.jwt_claims import principal_of
from chalicelib.authorizers.jwt_form import UnverifiedToken, is_expected_type, parse_token
from chalicelib.authorizers.jwt_keys import Keys, PinnedKeys, SecretKeys
from chalicelib.authorizers.places import find_credential
from chalicelib.credential_settings import BEARER, JwtSettings, Place
from chalicelib.errors import ConfigurationError, Unauthorized
from chalicelib.scopes import Scopes
from chalicelib.secret_values import SecretSource
from chalicelib.settings import Settings


@dataclass(frozen=True, slots=True)
class JwtAuthenticator:
    """Lets in whoever shows a token; ``ttl`` is in seconds."""

    settings: JwtSettings
    keys: Keys
    places: Sequence[Place]
    default_scopes: Scopes
    ttl: int

    @classmethod
    def from_settings(
        cls, settings: Settings, secret: SecretSource, now: Callable[[], float]
    ) -> "JwtAuthenticator":
        """ConfigurationError where tokens are not configured: then nobody may be let in."""
        if settings.jwt is None:
            raise ConfigurationError("missing environment variables: JWT_ISSUER")
        return cls(
            settings=settings.jwt,
            keys=keys_of(settings.jwt, secret, now),
            places=settings.credential_places,
            default_scopes=settings.default_scopes,
            ttl=settings.connection_ttl,
        )

    def authenticate(self, request: AuthorizerRequest) -> Principal | None:
        """Return None without anything like a token, raise Unauthorized for a bad one.

        Raises ServiceUnavailable where the issuer's keys cannot be had.
        """
        token = find_credential(self.places, request, is_like_a_token)
        return None if token is None else self.verify(token, request.received_at)

    def verify(self, token: str, now: float) -> Principal:
        """Return whom a token speaks for at a time in seconds; raises as ``authenticate`` does."""
        unverified = parse_token(token)
        if unverified.algorithm not in self.settings.algorithms:
            raise Unauthorized("wrong_algorithm")
        if not is_expected_type(unverified.type, self.settings.type):
            raise Unauthorized("wrong_token_type")
        problem = self._problem(unverified)
        if problem is not None and self.keys.reread():
            problem = self._problem(unverified)
        if problem is not None:
            raise Unauthorized(problem)
        return principal_of(unverified.claims(), self.settings, self.default_scopes, now, self.ttl)

    def as_bearer(self) -> "JwtAuthenticator":
        """Return the same for the Authorization header alone, with the same keys."""
        return replace(self, places=(BEARER,))

    def _problem(self, token: UnverifiedToken) -> str | None:
        """Return the reason why nobody we trust has signed a token."""
        keys = self.keys.find(token.algorithm, token.key_id)
        if not keys:
            return "unknown_key"
        signed = any(key.verifies(token.signing_input, token.signature) for key in keys)
        return None if signed else "bad_signature"


def is_like_a_token(credential: str) -> bool:
    """Tell a token from an API key, and from most other secrets."""
    return "." in credential


def keys_of(settings: JwtSettings, secret: SecretSource, now: Callable[[], float]) -> Keys:
    """Return the keys of the issuer: a secret, fetched or pinned.

    Raises ConfigurationError where the settings name none of them.
    """
    if settings.algorithms == ("HS256",):
        return SecretKeys(secret("JWT_SECRET", settings.secret))
    if settings.jwks_url is not None:
        return FetchedKeys(partial(fetch_key_set, settings.jwks_url, settings.algorithms), now)
    return PinnedKeys(secret("JWT_KEYS", settings.keys), settings.algorithms)
