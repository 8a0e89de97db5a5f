"""Takes a JSON Web Token apart, strictly: what two readers could read differently is refused. Pure.

Runs before any library looks at the token, since libraries take long, padded, ambiguous ones.
https://www.rfc-editor.org/rfc/rfc8725
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from chalicelib.errors import ClientError, Unauthorized
from chalicelib.frames import parse_object

MAX_TOKEN_CHARACTERS = 8 * 1024
MAX_HEADER_BYTES = 1024

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
# Base64 with its signs, hexadecimal, UUIDs, names: only ever looked up in a dict.
_KEY_ID = re.compile(r"[A-Za-z0-9_.=+/:@-]{1,128}")
# A key or where to find one is not for a token to say; the rest changes what is signed or read.
# (x5t and x5t#S256 only name a key, as kid does, and are passed over.)
_REFUSED = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"})
# Tokens of another purpose say so: https://www.rfc-editor.org/rfc/rfc8725#section-3.11
_TYPES = frozenset({"jwt", "at+jwt"})


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token of the right form, whose payload nobody has read yet."""

    algorithm: str
    key_id: str | None
    type: str | None
    """Lower case, without ``application/``."""
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    payload: bytes = field(repr=False)

    def claims(self) -> dict[str, Any]:
        """Read the payload; for tokens whose signature was found good. Raises Unauthorized."""
        return _json_object(self.payload)


def parse_token(token: str) -> UnverifiedToken:
    """Take a token apart; Unauthorized where it is not of the one form it can have."""
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise Unauthorized("token_too_long")
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise Unauthorized("malformed_token")
    header_bytes, payload, signature = map(_decode, match.groups())
    if len(header_bytes) > MAX_HEADER_BYTES:
        raise Unauthorized("malformed_token")
    header = _json_object(header_bytes)
    if not _REFUSED.isdisjoint(header):
        raise Unauthorized("refused_token_header")
    return UnverifiedToken(
        algorithm=_text(header, "alg") or "",
        key_id=_key_id(header),
        type=_type(header),
        signing_input=token.rpartition(".")[0].encode(),
        signature=signature,
        payload=payload,
    )


def is_expected_type(given: str | None, expected: str | None) -> bool:
    """Tell whether a token is of the expected type, or else of none that is special."""
    if expected is not None:
        return given == _short(expected)
    return given is None or given in _TYPES


def _decode(segment: str) -> bytes:
    try:
        decoded = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise Unauthorized("malformed_token") from None
    # Bits nobody reads could be anything: one token would have many spellings.
    if urlsafe_b64encode(decoded).rstrip(b"=") != segment.encode():
        raise Unauthorized("malformed_token")
    return decoded


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        return parse_object(data.decode())
    except (ClientError, UnicodeDecodeError):
        raise Unauthorized("malformed_token") from None


def _text(header: dict[str, Any], name: str) -> str | None:
    value = header.get(name)
    if name in header and not isinstance(value, str):
        raise Unauthorized("malformed_token")
    return value


def _key_id(header: dict[str, Any]) -> str | None:
    key_id = _text(header, "kid")
    if key_id is not None and not _KEY_ID.fullmatch(key_id):
        raise Unauthorized("malformed_token")
    return key_id


def _type(header: dict[str, Any]) -> str | None:
    text = _text(header, "typ")
    return None if text is None else _short(text)


def _short(media_type: str) -> str:
    return media_type.lower().removeprefix("application/")
