"""A second opinion on tokens: another reading of the RFCs, on cryptography's primitives."""

from __future__ import annotations

import base64
import hashlib
import json
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from tests.factories import NOW
from tests.tokens import AUDIENCE, ISSUER, KEYS, b64


@dataclass(frozen=True)
class SecondOpinion:
    """Decides on tokens by itself: another reading of the RFCs, on other primitives."""

    public_keys: Mapping[tuple[str, str | None], PublicKeyTypes]
    now: float = NOW
    issuer: str = ISSUER
    audience: str = AUDIENCE
    skew: float = 5
    header_names: frozenset[str] = field(
        default=frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"})
    )

    def accepts(self, token: str) -> bool:
        try:
            header, body, mark = (self._decoded(part) for part in token.split("."))
            head, content = self._object(header), self._object(body)
            key = self.public_keys[head["alg"], head.get("kid")]
            self._verify(key, ".".join(token.split(".")[:2]).encode(), mark)
            problems = [*self._head_problems(head, header), *self._problems(content)]
        except (
            AttributeError,
            InvalidSignature,
            KeyError,
            RecursionError,
            TypeError,
            ValueError,
        ):
            return False
        return len(token) <= 8192 and not problems

    def _decoded(self, part: str) -> bytes:
        if not part or set(part) - set(string.ascii_letters + string.digits + "-_"):
            raise ValueError
        data = base64.b64decode(part.translate(str.maketrans("-_", "+/")) + "===", validate=False)
        if b64(data) != part:
            raise ValueError
        return data

    def _object(self, data: bytes) -> dict[str, Any]:
        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            if len({name for name, _ in pairs}) < len(pairs):
                raise ValueError
            return dict(pairs)

        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique)
        if not isinstance(value, dict):
            raise TypeError
        json.dumps(value, allow_nan=False)
        return value

    def _verify(self, key: PublicKeyTypes, data: bytes, mark: bytes) -> None:
        if isinstance(key, rsa.RSAPublicKey):
            digest = utils.Prehashed(hashes.SHA256())
            key.verify(mark, hashlib.sha256(data).digest(), padding.PKCS1v15(), digest)
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(mark, data)
        elif isinstance(key, ec.EllipticCurvePublicKey) and len(mark) == 64:
            r, s = int.from_bytes(mark[:32], "big"), int.from_bytes(mark[32:], "big")
            key.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
        else:
            raise InvalidSignature

    def _head_problems(self, head: Mapping[str, Any], raw: bytes) -> list[str]:
        media_type = head.get("typ", "JWT").lower().removeprefix("application/")
        return [
            name
            for name, is_problem in {
                "too long": len(raw) > 1024,
                "special": bool(self.header_names & head.keys()),
                "typ": media_type not in {"jwt", "at+jwt"},
                "null": None in (head.get("kid", ""), head.get("typ", "")),
            }.items()
            if is_problem
        ]

    def _problems(self, content: Mapping[str, Any]) -> list[str]:
        times = {name: content[name] for name in ("exp", "iat", "nbf") if name in content}
        if any(type(value) not in {int, float} for value in times.values()):
            return ["times"]
        audiences = content["aud"] if isinstance(content["aud"], list) else [content["aud"]]
        subject, token_id = content["sub"], content.get("jti", "x")
        checks = {
            "times": all(0 <= value < 2**53 for value in times.values()),
            "exp": times["exp"] > self.now,
            "nbf": times.get("nbf", 0) <= self.now + self.skew,
            "iat": times["iat"] <= self.now + self.skew,
            "iss": content["iss"] == self.issuer,
            "aud": self.audience in audiences and all(type(it) is str for it in audiences),
            "sub": type(subject) is str and 1 <= len(subject) <= 128 and subject.isprintable(),
            "jti": type(token_id) is str and 1 <= len(token_id) <= 128 and token_id.isprintable(),
            "cnf": "cnf" not in content,
        }
        return [name for name, holds in checks.items() if not holds]


def second_opinion(**changes: Any) -> SecondOpinion:
    """Return one that knows the issuer's keys."""
    keys: dict[tuple[str, str | None], PublicKeyTypes] = {}
    for name, (key_id, make) in KEYS.items():
        keys[name, key_id] = make().public_key()
        if name != "RS256":  # which has another key, so that a token must name its own
            keys[name, None] = keys[name, key_id]
    return SecondOpinion(keys, **changes)
