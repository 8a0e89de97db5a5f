"""Tokens of a wrong form, header or signature; who reads a little less strictly accepts some.

Most are signed by the issuer's own key, so that nothing but what is wrong with them refuses them.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from tests.tokens import (
    KEYS,
    b64,
    claims,
    ec_key,
    ed_key,
    json_bytes,
    rsa_key,
    sign,
    signature,
)

_LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
# https://www.rfc-editor.org/rfc/rfc8032#section-5.1 : the order of the base point
_ED_ORDER = 2**252 + 27742317777372353535851937790883648493
# https://www.secg.org/sec2-v2.pdf : the order of P-256
_EC_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _resigned(header: bytes | str, payload: bytes | str, algorithm: str = "RS256") -> str:
    """Sign segments as they are: bytes are encoded, a text is a segment already."""
    parts = [it if isinstance(it, str) else b64(it) for it in (header, payload)]
    data = ".".join(parts)
    return f"{data}.{b64(signature(algorithm, KEYS[algorithm][1](), data.encode()))}"


def _with_mark(algorithm: str, change: Any) -> str:
    """Return a good token whose signature, as bytes, was changed."""
    header, payload, _ = sign(algorithm=algorithm).split(".")
    data = f"{header}.{payload}"
    mark = signature(algorithm, KEYS[algorithm][1](), data.encode())
    return f"{data}.{b64(change(mark))}"


def _unread_bits(segment: str) -> str:
    """Change bits of a segment's last letter that decoding drops."""
    assert len(segment) % 4 in {2, 3}, "or there are none"
    return segment[:-1] + _LETTERS[_LETTERS.index(segment[-1]) | 1]


def _uneven(value: Mapping[str, Any]) -> str:
    """Encode an object so that its segment ends with bits nobody reads."""
    texts = (b64(json_bytes({**value, "pad": "x" * count})) for count in range(3))
    return next(text for text in texts if len(text) % 4)


def _secret_spellings() -> dict[str, bytes]:
    """Return what an RSA public key looks like to whoever takes it for a secret."""
    key = rsa_key().public_key()
    encoding, form = serialization.Encoding, serialization.PublicFormat
    pem = key.public_bytes(encoding.PEM, form.SubjectPublicKeyInfo)
    modulus = key.public_numbers().n
    return {
        "in PEM without its last line end": pem.rstrip(),
        "in PEM with other line ends": pem.replace(b"\n", b"\r\n"),
        "in PEM of PKCS 1": key.public_bytes(encoding.PEM, form.PKCS1),
        "in DER": key.public_bytes(encoding.DER, form.SubjectPublicKeyInfo),
        "as its modulus": modulus.to_bytes(256, "big"),
        "as its modulus in base64": b64(modulus.to_bytes(256, "big")).encode(),
        "as its id": b"rsa-1",
    }


def _other_digest(algorithm: hashes.HashAlgorithm) -> str:
    data = ".".join(sign().split(".")[:2])
    return f"{data}.{b64(rsa_key().sign(data.encode(), padding.PKCS1v15(), algorithm))}"


def _other_padding() -> str:
    data = ".".join(sign().split(".")[:2])
    return f"{data}.{b64(signature('PS256', rsa_key(), data.encode()))}"


def _plus_modulus(mark: bytes) -> bytes:
    """Return another number that is the same to whoever does not compare with the modulus."""
    number = int.from_bytes(mark, "big") + rsa_key().public_key().public_numbers().n
    return number.to_bytes(257, "big")


def _plus_order(mark: bytes) -> bytes:
    number = int.from_bytes(mark[32:], "little") + _ED_ORDER
    return mark[:32] + number.to_bytes(32, "little")


def _halves(first: int | None = None, second: int | None = None) -> str:
    def change(mark: bytes) -> bytes:
        r = mark[:32] if first is None else first.to_bytes(32, "big")
        s = mark[32:] if second is None else second.to_bytes(32, "big")
        return r + s

    return _with_mark("ES256", change)


def _forms() -> dict[str, str]:
    header, payload, mark = sign().split(".")
    head = {"alg": "RS256", "kid": "rsa-1"}
    return {
        "a line end after it": f"{header}.{payload}.{mark}\n",
        "a line end within": f"{header}.{payload}\n.{mark}",
        "a tab before it": f"\t{header}.{payload}.{mark}",
        "a dot before it": f".{header}.{payload}.{mark}",
        "a dot after it": f"{header}.{payload}.{mark}.",
        "a quote around it": f'"{header}.{payload}.{mark}"',
        "a full stop of another script": f"{header}\uff0e{payload}\uff0e{mark}",
        "a wide letter": f"\uff45{header[1:]}.{payload}.{mark}",
        "the other serialization": json_bytes(
            {"protected": header, "payload": payload, "signature": mark}
        ).decode(),
        "parts in another order": f"{payload}.{header}.{mark}",
        "the header signed as the payload": _resigned(header, header),
        "bits nobody reads in the header": _resigned(_unread_bits(_uneven(head)), payload),
        "bits nobody reads in the payload": _resigned(header, _unread_bits(_uneven(claims()))),
        "padding in the payload, signed": _resigned(header, f"{_uneven(claims())}="),
        "a token in a token": _resigned(header, f"{header}.{payload}.{mark}".encode()),
        "a megabyte of dots": "." * 1_000_000,
        "a megabyte that is signed": sign(claims(more="x" * 750_000)),
    }


def _headers() -> dict[str, str]:
    payload = sign().split(".")[1]
    head = b'"alg":"RS256","kid":"rsa-1"'
    texts: dict[str, bytes] = {
        "the algorithm twice, once escaped": b'{"\\u0061lg":"none",' + head + b"}",
        "a key twice, below": b"{" + head + b',"x":{"a":1,"a":2}}',
        "more after it": b"{" + head + b"}{}",
        "a letter after it": b"{" + head + b"}x",
        "a comma too much": b"{" + head + b",}",
        "a comment": b"{" + head + b"/**/}",
        "two bytes for each letter": ("{" + head.decode() + "}").encode("utf-16"),
        "a mark of byte order before it": b"\xef\xbb\xbf{" + head + b"}",
        "a number that is none": b"{" + head + b',"x":NaN}',
        "a line end in a name": b"{" + head + b',"a\nb":1}',
    }
    values: dict[str, dict[str, Any]] = {
        "an algorithm with a blank after it": {"alg": "RS256 "},
        "an algorithm with a zero after it": {"alg": "RS256\0"},
        "an algorithm in wide letters": {"alg": "\uff32\uff33256"},
        "an algorithm that is an object": {"alg": {"RS256": True}},
        "an algorithm that is true": {"alg": True},
        "no algorithm, with a key": {"alg": "none", "kid": "rsa-1"},
        "a longer digest's name": {"alg": "RS384"},
        "nothing it insists on": {"crit": []},
        "what it insists on is null": {"crit": None},
        "an encoded payload that says so": {"b64": True},
        "an unencoded payload, not insisted on": {"b64": False},
        "where to find a key, well signed": {"jku": "https://issuer.example/jwks.json"},
        "where to find a certificate, well signed": {"x5u": "https://issuer.example/x"},
        "a certificate of its own, well signed": {"x5c": ["MIIB"]},
        "a key of its own that is nothing": {"jwk": {}},
        "a key's id in another case": {"kid": "RSA-1"},
        "a key's id with a blank": {"kid": "rsa-1 "},
        "a key's id with a line end": {"kid": "rsa-1\n"},
        "a key's id by another way": {"kid": "./rsa-1"},
        "a key's id that is empty": {"kid": ""},
        "a key's id that is a URL": {"kid": "http://127.0.0.1:1/key"},
        "a key's id that is a file": {"kid": "file:///dev/null"},
        "a key's id that is a list": {"kid": ["rsa-1"]},
        "a key's id that is an object": {"kid": {"rsa-1": 1}},
        "the id of the other key": {"kid": "rsa-old"},
        "an empty typ": {"typ": ""},
        "a typ of encryption": {"typ": "JWE"},
        "a typ of another format": {"typ": "JOSE+JSON"},
        "a typ with a parameter": {"typ": "jwt;x=1"},
        "a typ with a blank": {"typ": " JWT"},
        "a typ in a list": {"typ": ["JWT"]},
        "a typ with its prefix twice": {"typ": "application/application/jwt"},
        "a typ of events": {"typ": "secevent+jwt"},
    }
    signed = {name: _resigned(json_bytes(_header(it)), payload) for name, it in values.items()}
    return {
        **{f"a header with {name}": _resigned(text, payload) for name, text in texts.items()},
        **signed,
        "a key's id that is null, among others": _resigned(
            b'{"alg":"RS256","kid":null,"typ":"JWT"}', payload
        ),
        **{
            f"a public key as a secret, {name}": sign(algorithm="HS256", key=secret)
            for name, secret in _secret_spellings().items()
        },
        "a key on a curve as the one of RSA": sign(header={"alg": "ES256"}),
        "a name for keys of Edwards": sign(algorithm="EdDSA", header={"alg": "Ed25519"}),
        "another curve of Edwards": sign(algorithm="EdDSA", header={"alg": "Ed448"}),
        "a curve of coins by its name": sign(algorithm="ES256", header={"alg": "ES256K"}),
        "a longer curve by its name": sign(algorithm="ES256", header={"alg": "ES384"}),
        "keys of Edwards for a curve": sign(
            algorithm="EdDSA", header={"alg": "ES256", "kid": "ec-1"}
        ),
        "a curve for keys of Edwards": sign(
            algorithm="ES256", header={"alg": "EdDSA", "kid": "ed-1"}
        ),
    }


def _header(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {"alg": "RS256", "kid": "rsa-1", "typ": "JWT", **changes}


def _marks() -> dict[str, str]:
    header, payload, _ = sign().split(".")
    of_coins = ec.generate_private_key(ec.SECP256K1())
    return {
        "a signature with a zero before it": _with_mark("RS256", lambda it: b"\0" + it),
        "a signature without its last byte": _with_mark("RS256", lambda it: it[:-1]),
        "a signature and the modulus": _with_mark("RS256", _plus_modulus),
        "a signature of one": _with_mark("RS256", lambda _: (1).to_bytes(256, "big")),
        "a signature of ones": _with_mark("RS256", lambda it: b"\xff" * len(it)),
        "a signature backwards": _with_mark("RS256", lambda it: it[::-1]),
        "a signature twice": _with_mark("RS256", lambda it: it + it),
        "a signature of a megabyte": _with_mark("RS256", lambda _: bytes(750_000)),
        "a signature of another digest": _other_digest(hashes.SHA512()),
        "a signature of a broken digest": _other_digest(hashes.SHA1()),
        "a signature of another padding": _other_padding(),
        "a signature of the payload alone": (
            f"{header}.{payload}.{b64(signature('RS256', rsa_key(), payload.encode()))}"
        ),
        "a signature of the other key, by its id": sign(key=rsa_key(2)),
        "a signature on the curve of coins": sign(algorithm="ES256", key=of_coins),
        "half of it zero, ES256": _halves(first=0),
        "the other half zero, ES256": _halves(second=0),
        "half of it the order, ES256": _halves(first=_EC_ORDER),
        "both halves the order, ES256": _halves(_EC_ORDER, _EC_ORDER),
        "both halves one, ES256": _halves(1, 1),
        "halves in the other order, ES256": _with_mark("ES256", lambda it: it[32:] + it[:32]),
        "a zero before it, ES256": _with_mark("ES256", lambda it: b"\0" + it),
        "longer halves, ES256": _with_mark(
            "ES256", lambda it: bytes(16) + it[:32] + bytes(16) + it[32:]
        ),
        "another spelling, EdDSA": _with_mark("EdDSA", _plus_order),
        "a point of small order, EdDSA": _with_mark("EdDSA", lambda _: b"\1" + bytes(63)),
        "zeros, EdDSA": _with_mark("EdDSA", lambda _: bytes(64)),
        "a byte more, EdDSA": _with_mark("EdDSA", lambda it: it + b"\0"),
        "a byte less, EdDSA": _with_mark("EdDSA", lambda it: it[:-1]),
        "signed with another curve of Edwards": sign(algorithm="EdDSA", key=ed_key(2)),
        "signed with another key on the curve": sign(algorithm="ES256", key=ec_key(2)),
    }


def forged_forms() -> dict[str, str]:
    """Return tokens that must be refused, by what is wrong with them."""
    return _forms() | _headers() | _marks()
