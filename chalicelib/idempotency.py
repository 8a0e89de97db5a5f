"""Requests that may be repeated: the first is carried out, the others get its answer.

A request holds its key while it runs. If it never ends, because its function died, whoever repeats
it after the lease carries it out again: at least once, as with everything here.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

from chalicelib.errors import ClientError, ServiceUnavailable
from chalicelib.http_answers import Answer

HEADER = "idempotency-key"
KEPT_SECONDS = 86_400
# Longer than API Gateway waits for any function behind it.
LEASE_SECONDS = 60
# No ``#``: it separates what the item's key is made of.
_KEY = re.compile(r"[A-Za-z0-9_.:=+/-]{1,128}")

_logger = logging.getLogger(__name__)


class Attempt(NamedTuple):
    """One request under a key; ``owner`` tells it from all others."""

    principal_id: str
    key: str
    fingerprint: str
    """Of what is asked."""
    owner: str


class Kept(NamedTuple):
    """What is kept of an earlier request under the same key."""

    fingerprint: str
    answer: str | None
    """None: it has not ended."""


class IdempotencyStore(Protocol):
    """Implementations are held to tests/contract/test_idempotency.py.

    All raise ServiceUnavailable when the store does not answer.
    """

    def begin(self, attempt: Attempt, now: float) -> Kept | None:
        """Take the key; return what is kept under it if another request has it."""

    def finish(self, attempt: Attempt, answer: str) -> None:
        """Keep the answer, if the key is still this request's."""

    def release(self, attempt: Attempt) -> None:
        """Give the key back, if it is still this request's: nothing has been done under it."""


def parse_key(text: str) -> str:
    """Read the header's value, with or without the quotes of a structured field."""
    key = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if not _KEY.fullmatch(key):
        problem = "Idempotency-Key must be 1 to 128 characters of A-Z a-z 0-9 _ . : = + / -"
        raise ClientError("invalid_idempotency_key", problem)
    return key


def fingerprint(route: str, body: bytes) -> str:
    """Return what tells one request from another."""
    return hashlib.sha256(route.encode() + b"\n" + body).hexdigest()


def once(
    store: IdempotencyStore, attempt: Attempt, now: float, operation: Callable[[], Answer]
) -> Answer:
    """Carry out an operation, or return the answer it had.

    Raises ClientError while it runs elsewhere, and for a key that was used for something else.
    """
    kept = store.begin(attempt, now)
    if kept is not None:
        return _replayed(kept, attempt)
    try:
        answer = operation()
    except BaseException:
        with suppress(ServiceUnavailable):  # then it is given back when the lease ends
            store.release(attempt)
        raise
    try:
        store.finish(attempt, json.dumps([answer.status, dict(answer.body)]))
    except ServiceUnavailable as problem:  # it has been done: say so, though nobody will know
        _logger.error("an answer was not kept: %s", problem)
    return answer


def _replayed(kept: Kept, attempt: Attempt) -> Answer:
    if kept.fingerprint != attempt.fingerprint:
        problem = "This Idempotency-Key was used for another request."
        raise ClientError("idempotency_key_reused", problem)
    if kept.answer is None:
        raise ClientError("request_in_flight", "The same request has not ended yet.")
    status, body = json.loads(kept.answer)
    return Answer(status, body, {"Idempotency-Replayed": "true"}, "replayed")
