"""What API Gateway itself answers where no function is asked, in the shape of all other errors.

Nothing on Lambda needs this: deployment and local gateway read it.
https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
"""

import json
from typing import Any

from chalicelib.http_answers import Answer, plain_answer

_CODES = {
    "UNAUTHORIZED": "unauthorized",
    "ACCESS_DENIED": "forbidden",
    # A path or method that is not there; with a bearer token, AWS takes that for a bad signature.
    "MISSING_AUTHENTICATION_TOKEN": "not_found",
    "INVALID_SIGNATURE": "not_found",
    "REQUEST_TOO_LARGE": "body_too_long",
    "UNSUPPORTED_MEDIA_TYPE": "unsupported_media_type",
    "THROTTLED": "too_many_requests",
    "QUOTA_EXCEEDED": "too_many_requests",
    "INTEGRATION_FAILURE": "service_unavailable",
    "INTEGRATION_TIMEOUT": "service_unavailable",
}
# The status of these is whatever it is.
_DEFAULTS = {"DEFAULT_4XX": "bad_request", "DEFAULT_5XX": "internal_error"}


def gateway_responses(allow_origin: str | None) -> dict[str, Any]:
    """Return them as the OpenAPI extension of API Gateway has them."""
    responses = {
        kind: _response(plain_answer(code), allow_origin)
        for kind, code in (_CODES | _DEFAULTS).items()
    }
    for kind, code in _CODES.items():
        responses[kind]["statusCode"] = str(plain_answer(code).status)
    return responses


def _response(answer: Answer, allow_origin: str | None) -> dict[str, Any]:
    headers = {**answer.headers, **_for_pages(answer, allow_origin)}
    return {
        "responseParameters": {
            f"gatewayresponse.header.{name}": f"'{value}'" for name, value in headers.items()
        },
        "responseTemplates": {"application/json": json.dumps(answer.body)},
    }


def _for_pages(answer: Answer, allow_origin: str | None) -> dict[str, str]:
    """Let pages of other origins read the answer, and when to ask again."""
    if allow_origin is None:
        return {}
    allowed = {"Access-Control-Allow-Origin": allow_origin}
    if "Retry-After" in answer.headers:
        allowed["Access-Control-Expose-Headers"] = "Retry-After"
    return allowed
