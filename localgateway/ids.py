"""Identifiers of the form API Gateway hands out."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

_FORM = re.compile(r"[A-Za-z0-9_-]{14}[AEIMQUYcgkosw048]=")

Entropy = Callable[[int], bytes]
"""Returns that many random bytes, as ``os.urandom`` does."""


def new_id(entropy: Entropy) -> str:
    """Return a fresh connection, request or message id.

    Every id seen on AWS is the URL-safe base64 of eleven bytes, sixteen characters with one ``=``.
    """
    return base64.urlsafe_b64encode(entropy(11)).decode()


def is_well_formed(connection_id: str) -> bool:
    """Tell an id that could have existed (410 when gone) from one that could not (400)."""
    # The last character before the "=" holds four bits of the eleventh byte, and two zeros.
    return _FORM.fullmatch(connection_id) is not None


def new_trace_id(now: int, entropy: Entropy) -> str:
    """Return an ``X-Amzn-Trace-Id`` for a request that arrived at ``now`` (milliseconds)."""
    return f"Root=1-{now // 1000:08x}-{entropy(12).hex()}"
