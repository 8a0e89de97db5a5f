"""How a secret may look wherever it has leaked to: as it is, encoded, or a part of it."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable
from urllib.parse import quote

import pytest

from tests.tokens import MARKER

_SHORTEST = 10
"""A part of a token that is shorter tells nothing."""


def spellings(secret: str) -> set[str]:
    """Return how a secret looks in JSON, logs and URLs, and within any base64 and hexadecimal."""
    data = secret.encode()
    found = {secret, quote(secret, safe=""), data.hex(), data.hex().upper(), secret[::-1]}
    for before in range(3):  # bytes that may stand before it change how it is encoded
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(before) + data).decode().rstrip("=")
            # Its first letters hold bits of what stands before, its last of what comes after.
            found.add(whole[-(-before * 4 // 3) : len(whole) - 1])
    return found


def secrets_of(*credentials: str) -> set[str]:
    """Return what must not show of credentials: every part, in every spelling, and the marker."""
    parts = {part for it in credentials for part in (it, *it.split("."), *it.split("_"))}
    long = {part for part in parts if len(part) > _SHORTEST}
    return {text for part in (MARKER, *long) for text in spellings(part)}


def found_in(secrets: Iterable[str], *texts: str) -> set[str]:
    """Return those that show anywhere."""
    everything = "\n".join(texts)
    return {secret for secret in secrets if secret in everything}


def with_tracebacks(caplog: pytest.LogCaptureFixture) -> str:
    """Return the log as a formatter writes it, tracebacks and all, and as it was called."""
    formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
    lines = [f"{formatter.format(it)} {it.args!r}" for it in caplog.records]
    return "\n".join([caplog.text, *lines])
