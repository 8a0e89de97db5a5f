"""What HTTP routes answer: JSON, and one shape for every error; docs/http-api.md has the codes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from chalicelib import __version__
from chalicelib.errors import (
    ClientError,
    Forbidden,
    LimitExceeded,
    PortcullisError,
    ServiceUnavailable,
    Unauthorized,
)

STATUSES: Mapping[str, int] = MappingProxyType(
    {
        "bad_request": 400,
        "malformed_json": 400,
        "not_an_object": 400,
        "duplicate_key": 400,
        "invalid_number": 400,
        "invalid_text": 400,
        "too_deep": 400,
        "missing_field": 400,
        "unknown_field": 400,
        "invalid_field": 400,
        "invalid_audience": 400,
        "invalid_parameter": 400,
        "unknown_parameter": 400,
        "invalid_cursor": 400,
        "invalid_idempotency_key": 400,
        "unauthorized": 401,
        "forbidden": 403,
        "not_found": 404,
        "method_not_allowed": 405,
        "idempotency_key_reused": 409,
        "request_in_flight": 409,
        "connection_opening": 409,
        "body_too_long": 413,
        "message_too_long": 413,
        "unsupported_media_type": 415,
        "too_many_requests": 429,
        "internal_error": 500,
        "service_unavailable": 503,
        "out_of_time": 503,
    }
)
"""Every code an error can have, and its status."""

RETRY_SECONDS: Mapping[str, int] = MappingProxyType(
    {
        "request_in_flight": 2,
        "connection_opening": 5,
        "too_many_requests": 1,
        "service_unavailable": 2,
        "out_of_time": 1,
    }
)
"""After which it makes sense to ask once more."""

CHALLENGE = "Bearer"
"""What RFC 9110 (11.6.1) wants beside a 401.

API Gateway renames the header of a function's answer, not that of its own:
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
"""

MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        "bad_request": "The request is not valid.",
        "unauthorized": "There is no credential that is good.",
        "forbidden": "This may not be done.",
        "not_found": "There is nothing here.",
        "method_not_allowed": "This path does not know the method.",
        "body_too_long": "The body is too long.",
        "unsupported_media_type": "The body must be application/json.",
        "too_many_requests": "That was too much at once.",
        "internal_error": "Something went wrong on our side.",
        "service_unavailable": "AWS did not answer in time.",
    }
)
"""What is said of errors that have nothing else to say."""

# Chalice's own errors, by status; its words may repeat what the client sent.
_CHALICES: Mapping[int, str] = {STATUSES[code]: code for code in MESSAGES}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, what goes back as JSON, and headers."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    outcome: str = "ok"
    """``ok`` or the error's code, for the log."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What the log says besides: whom it was about, never a secret."""


def error_body(code: str, message: str) -> dict[str, Any]:
    """Return what every error looks like."""
    return {"error": {"code": code, "message": message}}


def error_answer(code: str, message: str) -> Answer:
    """Return an error; a code that is not in the list is a fault of ours."""
    headers = {"Cache-Control": "no-store"}
    if code in RETRY_SECONDS:
        headers["Retry-After"] = str(RETRY_SECONDS[code])
    if code == "unauthorized":
        headers["WWW-Authenticate"] = CHALLENGE
    return Answer(STATUSES[code], error_body(code, message), headers, code)


def plain_answer(code: str) -> Answer:
    """Return an error of which there is no more to say than its code."""
    return error_answer(code, MESSAGES[code])


def answer_to(problem: PortcullisError) -> Answer:
    """Return what a caller is told of a problem; raises what is nobody's business but ours."""
    match problem:
        case ClientError(code=code, message=message) if code in STATUSES:
            return error_answer(code, message)
        case Unauthorized(reason=reason):
            return replace(plain_answer("unauthorized"), outcome=reason)
        case Forbidden(reason=reason):
            return replace(plain_answer("forbidden"), outcome=reason)
        case LimitExceeded():
            return plain_answer("too_many_requests")
        case ServiceUnavailable():
            return plain_answer("service_unavailable")
    raise problem


def answer_with_status(status: int) -> Answer:
    """Return an error that Chalice has found, or API Gateway, in our shape."""
    code = _CHALICES.get(status, "bad_request" if status < 500 else "internal_error")
    return replace(plain_answer(code), status=status)


def health_answer(stage: str, *, table_answers: bool) -> Answer:
    """Return what anybody may know: 503 where connections cannot be opened now."""
    body = {
        "status": "ok" if table_answers else "degraded",
        "stage": stage,
        "version": __version__,
        "table": "ok" if table_answers else "unreachable",
    }
    return Answer(200 if table_answers else 503, body, {"Cache-Control": "no-store"})
