"""JSON Web Tokens of one issuer, as OAuth 2.0 and OpenID Connect give them out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from chalicelib.authorizers import AuthorizerRequest, Principal
from chalicelib.authorizers.jwks import FetchedKeys, fetch_key_set
from chalicelib.authorizers.jwt_claims import principal_of
from chalicelib.authorizers.jwt_form import is_expected_type, parse_token
from chalicelib.authorizers.jwt_keys import Keys, PinnedKeys, SecretKeys, Values
from chalicelib.authorizers.places import find_credential
from chalicelib.credential_settings import JwtSettings, Place
from chalicelib.errors import Unauthorized
from chalicelib.scopes import Scopes


@dataclass(frozen=True, slots=True)
class JwtAuthenticator:
    """Lets in whoever shows a token; ``ttl`` is in seconds."""

    settings: JwtSettings
    keys: Keys
    places: Sequence[Place]
    default_scopes: Scopes
    ttl: int

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
        keys = self.keys.find(unverified.algorithm, unverified.key_id)
        if not keys:
            raise Unauthorized("unknown_key")
        if not any(key.verifies(unverified.signing_input, unverified.signature) for key in keys):
            raise Unauthorized("bad_signature")
        return principal_of(unverified.claims(), self.settings, self.default_scopes, now, self.ttl)


def is_like_a_token(credential: str) -> bool:
    """Tell a token from an API key, and from most other secrets."""
    return "." in credential


def keys_of(settings: JwtSettings, secret: Values, keys: Values, now: Callable[[], float]) -> Keys:
    """Return the keys of the issuer: secrets, fetched or pinned."""
    if settings.algorithms == ("HS256",):
        return SecretKeys(secret)
    if settings.jwks_url is not None:
        return FetchedKeys(partial(fetch_key_set, settings.jwks_url, settings.algorithms), now)
    return PinnedKeys(keys, settings.algorithms)
