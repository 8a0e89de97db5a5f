"""An issuer of JSON Web Tokens, who signs whatever a test wants.

Signs by cryptography's primitives, never by the library that what ships uses.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from tests.factories import NOW

MARKER = "C4NARY"
"""In every secret of these tests, so that it shows wherever one leaks."""
ISSUER = "https://issuer.example"
AUDIENCE = "portcullis"
SECRET = f"{MARKER}-shared-secret-of-an-issuer-0123456789"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | bytes


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def json_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def signature(algorithm: str, key: PrivateKey, data: bytes) -> bytes:
    """Sign as the algorithm says, https://www.rfc-editor.org/rfc/rfc7518#section-3 ."""
    if isinstance(key, bytes):
        name = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]
        return hmac.digest(key, data, name)
    if isinstance(key, rsa.RSAPrivateKey):
        digest = hashes.SHA512() if algorithm == "RS512" else hashes.SHA256()
        if algorithm == "PS256":
            return key.sign(data, padding.PSS(padding.MGF1(digest), 32), digest)
        return key.sign(data, padding.PKCS1v15(), digest)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def jwk(key: PrivateKey, key_id: str | None, algorithm: str) -> dict[str, Any]:
    """Return the public half as a JSON Web Key."""
    named = {} if key_id is None else {"kid": key_id}
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        n = b64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big"))
        e = b64(numbers.e.to_bytes(3, "big"))
        return {"kty": "RSA", "use": "sig", "alg": algorithm, "n": n, "e": e, **named}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        x, y = b64(point.x.to_bytes(32, "big")), b64(point.y.to_bytes(32, "big"))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": algorithm, **named}
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    x = b64(key.public_key().public_bytes_raw())
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "alg": algorithm, **named}


@cache
def _key(kind: str, number: int, bits: int = 0) -> Any:
    if kind == "RSA":
        return rsa.generate_private_key(65537, bits)
    if kind == "EC":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the same key for the same number; the issuer's own have number 0."""
    key: rsa.RSAPrivateKey = _key("RSA", number, bits)
    return key


def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    key: ec.EllipticCurvePrivateKey = _key("EC", number)
    return key


def ed_key(number: int = 0) -> ed25519.Ed25519PrivateKey:
    key: ed25519.Ed25519PrivateKey = _key("Ed25519", number)
    return key


KEYS: Mapping[str, tuple[str, Any]] = {
    "RS256": ("rsa-1", rsa_key),
    "ES256": ("ec-1", ec_key),
    "EdDSA": ("ed-1", ed_key),
}
"""By algorithm: the id of the issuer's key, and what makes it."""


def key_set(*algorithms: str) -> dict[str, Any]:
    """Return the JWK Set the issuer publishes."""
    named = [(name, *KEYS[name]) for name in algorithms or KEYS]
    keys = [jwk(make(), key_id, name) for name, key_id, make in named]
    if "RS256" in (algorithms or KEYS):  # so that a token must say which one it is signed with
        keys.append(jwk(rsa_key(2), "rsa-old", "RS256"))
    return {"keys": keys}


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good token; a change to None takes one away."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "iat": int(NOW) - 60,
        "exp": int(NOW) + 600,
        "marker": MARKER,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def sign(
    payload: object = None,
    algorithm: str = "RS256",
    header: Mapping[str, Any] | bytes | None = None,
    key: PrivateKey | None = None,
) -> str:
    """Return a token signed by the issuer, or by another key; ``header`` is added to its own."""
    key_id, make = KEYS.get(algorithm, ("rsa-1", rsa_key))
    own = {"alg": algorithm, "kid": key_id, "typ": "JWT"}
    if not isinstance(header, bytes):
        merged = {**own, **(header or {})}
        header = json_bytes({name: value for name, value in merged.items() if value is not None})
    body = json_bytes(claims() if payload is None else payload)
    data = f"{b64(header)}.{b64(body)}"
    return f"{data}.{b64(signature(algorithm, key or make(), data.encode()))}"
