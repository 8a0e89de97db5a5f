"""API keys: long-lived secrets of machines, each kept as a digest, revocable, with its scopes."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from chalicelib.authorizers import AuthorizerRequest, Principal
from chalicelib.authorizers.places import find_credential
from chalicelib.credential_settings import BEARER, Place
from chalicelib.errors import Unauthorized
from chalicelib.scopes import Scopes

PREFIX = "pk_"
SECRET_BYTES = 32
_ID_BYTES = 8
_FORM = re.compile(r"pk_(?P<key_id>[0-9a-f]{16})_(?P<secret>[A-Za-z0-9_-]{43})")
_KEY_ID = re.compile(r"[0-9a-f]{16}")
# Compared with where there is no key, so that looking for ids tells nothing by its time.
_NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDescription:
    """What may be said of a key; times are in seconds since the epoch."""

    key_id: str
    principal_id: str
    scopes: Scopes
    created_at: int
    expires_at: int | None = None
    revoked: bool = False
    created_by: str | None = None
    """The principal who had it made over HTTP; None where AWS's own credentials were enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey(KeyDescription):
    """A key as it is verified."""

    digest: str = field(repr=False)
    """SHA-256 of its secret, which has 256 random bits: nothing slower is needed."""


class KeyStore(Protocol):
    """Where keys are found."""

    def get(self, key_id: str) -> ApiKey | None:
        """Return a key as it is now, expired or revoked ones too; raises ServiceUnavailable."""


def new_key(
    principal_id: str,
    scopes: Scopes,
    now: float,
    expires_at: int | None = None,
    created_by: str | None = None,
) -> tuple[str, ApiKey]:
    """Return a key to hand to its owner, which cannot be had again, and what to keep of it."""
    key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    kept = ApiKey(
        key_id=key_id,
        principal_id=principal_id,
        scopes=scopes,
        created_at=int(now),
        expires_at=expires_at,
        created_by=created_by,
        digest=_digest(secret),
    )
    return f"{PREFIX}{key_id}_{secret}", kept


@dataclass(frozen=True, slots=True)
class ApiKeyAuthenticator:
    """Lets in whoever shows a key; ``ttl`` is in seconds."""

    keys: KeyStore
    places: Sequence[Place]
    ttl: int

    def authenticate(self, request: AuthorizerRequest) -> Principal | None:
        """Return None without anything like a key, raise Unauthorized for a bad one."""
        text = find_credential(self.places, request, is_like_a_key)
        return None if text is None else self.verify(text, request.received_at)

    def verify(self, text: str, now: float) -> Principal:
        """Return whom a key speaks for at a time in seconds; raises as ``authenticate`` does."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise Unauthorized("bad_api_key")
        key = self.keys.get(match["key_id"])
        expected = _NO_DIGEST if key is None else key.digest
        is_right = hmac.compare_digest(_digest(match["secret"]), expected)
        if key is None or not is_right:
            raise Unauthorized("bad_api_key")
        # Only to whoever has the secret, and only in the log, is there a difference from here on.
        if key.revoked:
            raise Unauthorized("revoked_api_key")
        if key.expires_at is not None and now >= key.expires_at:
            raise Unauthorized("expired_api_key")
        ends = [int(now) + self.ttl, *([] if key.expires_at is None else [key.expires_at])]
        return Principal(key.principal_id, "api_key", min(ends), key.scopes, {"key": key.key_id})

    def as_bearer(self) -> "ApiKeyAuthenticator":
        """Return the same for the Authorization header alone."""
        return replace(self, places=(BEARER,))


def is_key_id(text: str) -> bool:
    """Tell whether a text can be the id of a key, which is no secret."""
    return _KEY_ID.fullmatch(text) is not None


def is_like_a_key(credential: str) -> bool:
    """Tell a key from other credentials, a broken one too."""
    return credential.startswith(PREFIX)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
