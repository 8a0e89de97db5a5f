"""Tokens that must be accepted though they look odd, and tokens that must not."""

from __future__ import annotations

import string

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.factories import NOW
from tests.forged_claims import forged_claims
from tests.forged_forms import forged_forms
from tests.tokens import (
    AUDIENCE,
    ISSUER,
    b64,
    claims,
    ec_key,
    ed_key,
    json_bytes,
    jwk,
    rsa_key,
    sign,
)


def good_tokens() -> dict[str, str]:
    """Return tokens that must be accepted, borderline ones among them."""
    return {
        "RS256": sign(),
        "ES256": sign(algorithm="ES256"),
        "EdDSA": sign(algorithm="EdDSA"),
        "a typ of access tokens": sign(header={"typ": "at+jwt"}),
        "a typ with its whole media type": sign(header={"typ": "application/AT+JWT"}),
        "no typ": sign(header={"typ": None}),
        "the thumbprint of a certificate": sign(header={"x5t": "abc", "x5t#S256": "def"}),
        "no key id where one key fits": sign(algorithm="ES256", header={"kid": None}),
        "several audiences": sign(claims(aud=["other", AUDIENCE])),
        "expires in a second": sign(claims(exp=int(NOW) + 1)),
        "expires in half a second": sign(claims(exp=NOW + 0.5)),
        "valid from five seconds on": sign(claims(nbf=int(NOW) + 5)),
        "issued in five seconds": sign(claims(iat=int(NOW) + 5)),
        "a subject as long as can be": sign(claims(sub="a" * 128)),
        "a subject of an issuer": sign(claims(sub="auth0|5f7c8ec7c33c6c004bbafe82")),
        "letters of the world": sign(claims(sub="Zoë 日本")),
        "unknown claims": sign(claims(roles={"a": [1, None]}, email_verified=True)),
        "an id of its own": sign(claims(jti="6f1e3c9a")),
    }


def _changed(token: str, part: int, *, at: int = 0) -> str:
    parts = token.split(".")
    text = parts[part]
    swapped = "B" if text[at] == "A" else "A"
    parts[part] = text[:at] + swapped + text[at + 1 :]
    return ".".join(parts)


def _noncanonical(token: str) -> str:
    """Change bits of the last letter that decoding drops: another spelling of one signature."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    assert len(token.rpartition(".")[2]) % 4 == 2
    return token[:-1] + alphabet[alphabet.index(token[-1]) | 1]


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def forged_tokens() -> dict[str, str]:
    """Return tokens that must be refused, by what is wrong with them."""
    good, other = sign(), rsa_key(1)
    header, payload, mark = good.split(".")
    b_mark = sign(claims(sub="b")).rpartition(".")[2]
    own = jwk(other, "rsa-1", "RS256")
    none = b64(json_bytes({"alg": "none", "typ": "JWT"}))
    duplicated = b'{"iss":"%s","aud":"%s","iat":%d,"exp":%d,"sub":"alice","sub":"admin"}' % (
        ISSUER.encode(),
        AUDIENCE.encode(),
        NOW - 60,
        NOW + 600,
    )
    return {
        # The form
        "no signature": f"{header}.{payload}.",
        "two parts": f"{header}.{payload}",
        "four parts": f"{good}.{mark}",
        "five parts, encrypted": f"{header}.{mark}.{mark}.{payload}.{mark}",
        "no header": f".{payload}.{mark}",
        "no payload": f"{header}..{mark}",
        "only dots": "..",
        "one dot": ".",
        "padding": f"{good}==",
        "padding in the header": f"{header}=.{payload}.{mark}",
        "signs of the other base64": f"{header}.{payload}.{mark[:-4]}+/+/",
        "another spelling of the signature": _noncanonical(good),
        "a letter more": f"{good}A",
        "a letter less": good[:-1],
        "a blank within": f"{header}. {payload}.{mark}",
        "a comma after it": f"{good},",
        "a percent sign": f"{header}%2E{payload}.{mark}",
        "longer than 8 KB": sign(claims(more="x" * 7000)),
        "an impossible length of base64": f"{header}A.{payload}.{mark}",
        # The header
        "no algorithm": f"{none}.{payload}.",
        "no algorithm, with a signature": f"{none}.{payload}.{mark}",
        "no algorithm in another case": sign(header={"alg": "nOnE"}),
        "the algorithm left out": sign(header={"alg": None}),
        "an algorithm that is a number": sign(header={"alg": 256}),
        "an algorithm that is a list": sign(header={"alg": ["RS256"]}),
        "an algorithm in another case": sign(header={"alg": "rs256"}),
        "an algorithm not configured": sign(algorithm="RS512"),
        "another padding of RSA": sign(algorithm="PS256"),
        "a public key as a secret": sign(algorithm="HS256", key=_pem(rsa_key())),
        "a JWK as a secret": sign(algorithm="HS256", key=json_bytes(jwk(rsa_key(), "a", "RS256"))),
        "an empty secret": sign(algorithm="HS256", key=b"\0"),
        "the algorithm of another key": sign(algorithm="ES256", header={"kid": "rsa-1"}),
        "a key of another algorithm": sign(header={"kid": "ec-1"}),
        "a key of its own": sign(header={"jwk": own}, key=other),
        "a key of its own, well signed": sign(header={"jwk": own}),
        "where to find a key": sign(header={"jku": "http://127.0.0.1:1/jwks.json"}, key=other),
        "where to find a certificate": sign(header={"x5u": "http://127.0.0.1:1/"}, key=other),
        "a certificate of its own": sign(header={"x5c": ["MIIB"]}, key=other),
        "an extension it insists on": sign(header={"crit": ["exp"], "exp": 1}),
        "an unencoded payload": sign(header={"b64": False, "crit": ["b64"]}),
        "a compressed payload": sign(header={"zip": "DEF"}),
        "an encryption": sign(header={"enc": "A256GCM"}),
        "an unknown key": sign(header={"kid": "rsa-2"}, key=other),
        "a path as a key": sign(header={"kid": "../../../../dev/null"}, key=other),
        "a query as a key": sign(header={"kid": "1' OR '1'='1"}),
        "a command as a key": sign(header={"kid": "|id"}),
        "a key with a zero": sign(header={"kid": "rsa-1\0"}),
        "a key that is a number": sign(header={"kid": 1}),
        "a key that is null": sign(header=b'{"alg":"RS256","kid":null}'),
        "a key of 129 letters": sign(header={"kid": "k" * 129}),
        "no key id where two keys fit": sign(header={"kid": None}),
        "a token of another purpose": sign(header={"typ": "logout+jwt"}),
        "a proof of possession": sign(header={"typ": "dpop+jwt"}),
        "a typ that is a number": sign(header={"typ": 1}),
        "a header over 1 KB": sign(header={"x": "y" * 1100}),
        "a header twice": sign(header=b'{"alg":"none","alg":"RS256","kid":"rsa-1"}'),
        "a header that is a list": sign(header=b'["RS256"]'),
        "a header that is no JSON": sign(header=b"{alg:RS256}"),
        "a header that is no UTF-8": sign(header=b'{"alg":"RS256","kid":"\xff"}'),
        # The signature
        "another's signature": sign(key=other),
        "another's signature, ES256": sign(algorithm="ES256", key=ec_key(1)),
        "another's signature, EdDSA": sign(algorithm="EdDSA", key=ed_key(1)),
        "a changed signature": _changed(good, 2),
        "a changed payload": _changed(good, 1, at=12),
        "the signature of another token": f"{header}.{payload}.{b_mark}",
        "a signature of zeros": f"{header}.{payload}.{b64(bytes(256))}",
        "a signature of zeros, ES256": ".".join(
            [*sign(algorithm="ES256").split(".")[:2], b64(bytes(64))]
        ),
        "a signature in DER": ".".join(
            [
                *(parts := sign(algorithm="ES256").split("."))[:2],
                b64(ec_key().sign(".".join(parts[:2]).encode(), ec.ECDSA(hashes.SHA256()))),
            ]
        ),
        "half a signature": f"{header}.{payload}.{mark[:172]}",
        # The claims
        "expired": sign(claims(exp=int(NOW) - 1)),
        "expires now": sign(claims(exp=int(NOW))),
        "expires never": sign(claims(exp=None)),
        "an end that is text": sign(claims(exp=str(int(NOW) + 600))),
        "an end that is true": sign(claims(exp=True)),
        "an end that is null": sign({**claims(), "exp": None}),
        "an end without end": sign(
            json_bytes(claims()).replace(b'"exp": ', b'"exp": 1e999, "x": ')
        ),
        "an end that is no number": sign(
            json_bytes(claims()).replace(b'"exp": ', b'"exp": NaN, "x": ')
        ),
        "an end of 400 digits": sign(
            json_bytes(claims()).replace(b'"exp": ', b'"exp": ' + b"9" * 400 + b', "x": ')
        ),
        "a negative end": sign(claims(exp=-1)),
        "an end beyond exact numbers": sign(claims(exp=2**53)),
        "an end in a list": sign(claims(exp=[int(NOW) + 600])),
        "valid later": sign(claims(nbf=int(NOW) + 6)),
        "a beginning that is text": sign(claims(nbf="0")),
        "issued later": sign(claims(iat=int(NOW) + 6)),
        "issued at no time": sign(claims(iat=None)),
        "issued at a text": sign(claims(iat="now")),
        "another issuer": sign(claims(iss="https://evil.example")),
        "an issuer with a slash": sign(claims(iss=f"{ISSUER}/")),
        "an issuer that is a list": sign(claims(iss=[ISSUER])),
        "no issuer": sign(claims(iss=None)),
        "another audience": sign(claims(aud="other")),
        "an audience that begins like ours": sign(claims(aud=f"{AUDIENCE}.evil")),
        "an audience in another case": sign(claims(aud=AUDIENCE.upper())),
        "no audience": sign(claims(aud=None)),
        "an empty list of audiences": sign(claims(aud=[])),
        "an audience that is a number": sign(claims(aud=7)),
        "audiences of which one is a number": sign(claims(aud=[AUDIENCE, 7])),
        "an audience that is an object": sign(claims(aud={AUDIENCE: True})),
        "no subject": sign(claims(sub=None)),
        "an empty subject": sign(claims(sub="")),
        "a subject of 129 letters": sign(claims(sub="a" * 129)),
        "a subject with a new line": sign(claims(sub="alice\n")),
        "a subject with a zero": sign(claims(sub="alice\0")),
        "a subject that turns text around": sign(claims(sub="\u202eecila")),
        "a subject with half a character": sign(claims(sub="\ud800")),
        "a subject that is a number": sign(claims(sub=7)),
        "a subject that is a list": sign(claims(sub=["alice"])),
        "a claim twice": sign(duplicated),
        "claims that are a list": sign(b"[]"),
        "claims that are text": sign(b'"alice"'),
        "claims that are no JSON": sign(b"alice"),
        "claims that are no UTF-8": sign(b'{"sub":"\xff"}'),
        "claims nested deep": sign(b"[" * 2000 + b"]" * 2000),
        "claims after a mark of byte order": sign(b"\xef\xbb\xbf" + json_bytes(claims())),
        "an id that is a number": sign(claims(jti=7)),
        "bound to a key": sign(claims(cnf={"jkt": "abc"})),
        **forged_forms(),
        **forged_claims(),
    }
