"""What statuses and close codes mean, in words that say what to do. Pure.

Where they come from: docs/parity.md, and
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
"""

from __future__ import annotations

import unicodedata

_REFUSALS = {
    400: "the server takes no such handshake",
    401: "no credential, or one that is not accepted. See --token-file, --ask-token and --token-in",
    403: "the credential is known but may not connect, or the URL names no stage of the API",
    404: "nothing is served at this path",
    426: "the server wants another protocol at this path",
    429: "too many connections or requests for the moment. Try again later",
    500: "the authorizer failed, which is a fault of the server's. Its log says why",
    502: "the connect handler failed, which is a fault of the server's. Its log says why",
    503: "the server takes no connections for the moment. Try again later",
    504: "the connect handler took too long. Try again later",
}

_CLOSINGS = {
    1000: "closed by the server",
    1001: "going away: idle for 10 minutes, open for 2 hours, or the server stops",
    1002: "the server saw a breach of the protocol",
    1003: "the server takes no binary frames",
    1005: "closed by the server, which gave no code",
    1006: "the connection was lost without a close frame",
    1007: "the server saw text that is not UTF-8",
    1008: "against a rule of the server's: too many messages, mostly",
    1009: "too long: API Gateway takes messages of 128 KiB, in frames of 32 KiB",
    1011: "the server failed",
    1012: "the server restarts",
    1013: "the server is too busy. Try again later",
}

# Marks that reorder text, and could make one line pass for another.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def refusal(status: int) -> str:
    """Say why a handshake was answered with this status instead of 101."""
    if 300 <= status < 400:
        meaning = "a redirect, which is not followed: it would carry the credential elsewhere"
    else:
        meaning = _REFUSALS.get(status, "the server does not say more")
    return f"refused with {status}: {meaning}."


def closing(code: int, reason: str) -> str:
    """Say why a connection was closed; the reason is the server's own text."""
    meaning = _CLOSINGS.get(code, "closed by the server")
    if not reason:
        return f"closed with {code}: {meaning}."
    if code in _CLOSINGS and code != 1000:
        return f"closed with {code} ({printable(reason)}): {meaning}."
    return f"closed with {code}: {printable(reason)}."


def printable(text: str) -> str:
    """Return text that is one line and cannot command a terminal or reorder what is read."""
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if unicodedata.category(character) in _UNPRINTABLE or character in _REORDERING:
        return character.encode("unicode_escape").decode()
    return character
