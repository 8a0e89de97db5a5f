"""Well-signed tokens with a claim that is nearly right, each by what is wrong with it."""

from __future__ import annotations

from typing import Any

from tests.factories import NOW
from tests.tokens import AUDIENCE, ISSUER, claims, json_bytes, sign


def _times() -> dict[str, str]:
    def raw(name: str, value: bytes) -> str:
        text = json_bytes({**claims(), name: "HERE"})
        return sign(text.replace(b'"HERE"', value))

    found = {
        f"{name} is {what}": raw(name, value)
        for name in ("exp", "nbf", "iat")
        for what, value in {
            "nothing": b"null",
            "so": b"true",
            "an object": b"{}",
            "a list": b"[1]",
            "minus one": b"-1",
            "minus infinity": b"-Infinity",
            "infinity": b"Infinity",
            "no number": b"NaN",
            "too large a number": b"1e400",
            "beyond exact numbers": b"1e16",
            "text": b'"1795000000"',
        }.items()
    }
    return {
        **found,
        "expired half a second ago": sign(claims(exp=NOW - 0.5)),
        "expires at nought": sign(claims(exp=0)),
        "expires at minus nought": sign(claims(exp=-0.0)),
        "valid in more than five seconds": sign(claims(nbf=NOW + 5.5)),
        "issued in more than five seconds": sign(claims(iat=NOW + 5.5)),
        "an end written in another case": sign(claims(exp=None, EXP=int(NOW) + 600)),
    }


def _names() -> dict[str, str]:
    issuers = {
        "in another case": ISSUER.upper(),
        "with a port": f"{ISSUER}:443",
        "with a blank": f"{ISSUER} ",
        "with a zero": f"{ISSUER}\0",
        "as a beginning": f"{ISSUER}.evil.example",
        "as a user": f"{ISSUER}@evil.example",
        "without TLS": ISSUER.replace("https", "http"),
        "without a scheme": ISSUER.removeprefix("https://"),
        "as an object": {"url": ISSUER},
        "as true": True,
    }
    audiences = {
        "in a list in a list": [[AUDIENCE]],
        "of nobody": [None],
        "of one and nobody": [AUDIENCE, None],
        "of one and a list": [AUDIENCE, []],
        "between commas": f"other,{AUDIENCE}",
        "between blanks": f"other {AUDIENCE}",
        "after a blank": f" {AUDIENCE}",
        "with a zero": f"{AUDIENCE}\0",
        "of all": "*",
        "that is empty": "",
        "that is true": True,
        "of single letters": list(AUDIENCE),
    }
    subjects = {
        "with a tab": "alice\t",
        "with a return": "alice\r",
        "with a mark of no width": "alice\u200b",
        "with a line separator": "alice\u2028",
        "with a soft hyphen": "al\u00adice",
        "with a mark of byte order": "\ufeffalice",
        "with a letter of nobody": "alice\ue000",
        "with no character": "alice\uffff",
        "with an escape of a terminal": "\x1b[31malice",
        "that is true": True,
        "that is a fraction": 1.5,
        "that is an object": {"id": "alice"},
    }
    ids: dict[str, Any] = {
        "that is empty": "",
        "of 129 letters": "a" * 129,
        "with a line end": "a\n",
        "that is a list": ["a"],
        "that is true": True,
    }
    return {
        **{f"an issuer {name}": sign(claims(iss=it)) for name, it in issuers.items()},
        **{f"an audience {name}": sign(claims(aud=it)) for name, it in audiences.items()},
        **{f"a subject {name}": sign(claims(sub=it)) for name, it in subjects.items()},
        **{f"an id {name}": sign(claims(jti=it)) for name, it in ids.items()},
        "an id that is null": sign({**claims(), "jti": None}),
        "a subject that is null": sign({**claims(), "sub": None}),
        "a subject in another case": sign(claims(sub=None, Sub="alice")),
        "bound to nothing": sign({**claims(), "cnf": None}),
    }


def _payloads() -> dict[str, str]:
    good = json_bytes(claims())
    return {
        "a claim twice, once escaped": sign(good[:-1] + b',"\\u0073ub":"admin"}'),
        "an end twice": sign(good[:-1] + b',"exp":9000000000}'),
        "a claim twice, below": sign(good[:-1] + b',"x":{"a":1,"a":1}}'),
        "claims and more": sign(good + b"{}"),
        "claims and a zero": sign(good + b"\0"),
        "claims with a comma too much": sign(good[:-1] + b",}"),
        "claims in single quotes": sign(good.replace(b'"', b"'")),
        "claims in UTF-16": sign(good.decode().encode("utf-16")),
        "claims with a line end in a text": sign(good.replace(b"alice", b"al\nice")),
        "claims in a list": sign(b"[" + good + b"]"),
        "claims in a text": sign(json_bytes(good.decode())),
        "no claims": sign(b"{}"),
        "claims that are null": sign(b"null"),
        "claims that are a number": sign(b"7"),
    }


def forged_claims() -> dict[str, str]:
    """Return tokens that must be refused, by what is wrong with them."""
    return _times() | _names() | _payloads()
