"""Keys that signatures are verified with, each for the one algorithm its type is pinned to.

Imports PyJWT: to be imported only where tokens are configured.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import PyJWTError

from chalicelib.errors import ConfigurationError
from chalicelib.secret_values import Secret, StoredSecret

MIN_SECRET_BYTES = 32
"""https://www.rfc-editor.org/rfc/rfc7518#section-3.2"""
_RSA_BITS = range(2048, 8193)
_TYPES: Mapping[str, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
}
_PRIVATE = frozenset({"d", "p", "q", "k"})


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key and what it may be used for."""

    algorithm: str
    _implementation: Algorithm = field(repr=False)
    _key: Any = field(repr=False)

    def verifies(self, signing_input: bytes, signature: bytes) -> bool:
        """Tell whether the owner of the key has signed this."""
        return self._implementation.verify(signing_input, self._key, signature)


class Keys(Protocol):
    """Where keys are found."""

    def find(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """Return the keys a token may be signed with, none for an unknown id.

        Raises ServiceUnavailable where nobody can tell.
        """

    def reread(self) -> bool:
        """Fetch them again, for a token that none has signed; tell whether that may help."""


class _NamedKey(NamedTuple):
    key_id: str | None
    key: VerificationKey


@dataclass(frozen=True, slots=True)
class KeySet:
    """Public keys that do not change."""

    keys: tuple[_NamedKey, ...]

    @classmethod
    def parse(cls, text: str | bytes, algorithms: Iterable[str]) -> "KeySet":
        """Read a JWK Set; ValueError where no key of it can be used with these algorithms.

        https://www.rfc-editor.org/rfc/rfc7517#section-5
        """
        try:
            content = json.loads(text)
        except RecursionError:
            raise ValueError("nested too deep") from None
        members = content.get("keys") if isinstance(content, dict) else None
        if not isinstance(members, list):
            raise ValueError("not a JWK Set")
        implementations = get_default_algorithms()
        wanted = [(name, implementations[name]) for name in algorithms]
        read = [_read(member, *one) for member in members for one in wanted]
        keys = tuple(key for key in read if key is not None)
        if not keys:
            raise ValueError("no key that can be used")
        return cls(keys)

    def find(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """Return the key of this id; without one, the only key there is."""
        fitting = [named for named in self.keys if named.key.algorithm == algorithm]
        if key_id is None:
            return [named.key for named in fitting] if len(fitting) == 1 else []
        return [named.key for named in fitting if named.key_id == key_id]


class PinnedKeys:
    """Public keys from the settings or a store, where they may change."""

    def __init__(self, secret: Secret, algorithms: Sequence[str]) -> None:
        """``secret`` holds the JWK Sets accepted now; it is asked again for each token."""
        self._secret = secret
        self._algorithms = algorithms
        self._parsed: tuple[tuple[str, ...], Sequence[KeySet]] = ((), ())

    def find(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """Look into every set; raises ConfigurationError where one is none."""
        texts, sets = self._parsed
        if texts != (accepted := self._secret.values()):
            sets = [self._parse(text) for text in accepted]
            self._parsed = (accepted, sets)
        return [key for keys in sets for key in keys.find(algorithm, key_id)]

    def reread(self) -> bool:
        """Fetch them again where they are in a store."""
        return isinstance(self._secret, StoredSecret) and self._secret.reread()

    def _parse(self, text: str) -> KeySet:
        try:
            return KeySet.parse(text, self._algorithms)
        except ValueError:
            raise ConfigurationError("JWT_KEYS is no JWK Set with a key to use") from None


class SecretKeys:
    """Secrets for HS256, of which two are accepted while one takes the other's place."""

    def __init__(self, secret: Secret) -> None:
        """``secret`` is asked again for each token."""
        self._secret = secret
        self._implementation = get_default_algorithms()["HS256"]

    def find(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """Return all of them, whatever their issuer calls them.

        Raises ConfigurationError where one is too short or a key of another kind.
        """
        if algorithm != "HS256":
            return []
        return [self._key(value) for value in self._secret.values()]

    def reread(self) -> bool:
        """Fetch them again where they are in a store."""
        return isinstance(self._secret, StoredSecret) and self._secret.reread()

    def _key(self, secret: str) -> VerificationKey:
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise ConfigurationError(f"JWT_SECRET is under {MIN_SECRET_BYTES} bytes")
        try:
            key = self._implementation.prepare_key(secret)
        except PyJWTError:
            raise ConfigurationError("JWT_SECRET is a public key") from None
        return VerificationKey("HS256", self._implementation, key)


def _read(member: object, algorithm: str, implementation: Algorithm) -> _NamedKey | None:
    """Read a member of a set; None for one of another algorithm, purpose or form."""
    if not isinstance(member, dict) or not _is_meant_for(algorithm, member):
        return None
    key_id = member.get("kid")
    if key_id is not None and not isinstance(key_id, str):
        return None
    try:
        key = implementation.from_jwk(member)
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size not in _RSA_BITS:
        return None
    return _NamedKey(key_id, VerificationKey(algorithm, implementation, key))


def _is_meant_for(algorithm: str, member: Mapping[str, Any]) -> bool:
    key_type, curve = _TYPES[algorithm]
    return (
        member.get("kty") == key_type
        and (curve is None or member.get("crv") == curve)
        and member.get("use", "sig") == "sig"
        and member.get("alg", algorithm) == algorithm
        and member.get("key_ops", ["verify"]) == ["verify"]
        and _PRIVATE.isdisjoint(member)
    )
