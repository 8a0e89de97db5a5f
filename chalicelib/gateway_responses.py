"""What API Gateway itself answers where no function is asked, in the shape of all other errors.

Nothing on Lambda needs this: deployment and local gateway read it.
https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
"""

import json
from collections.abc import Mapping
from typing import Any

from chalicelib.http_answers import MESSAGES, STATUSES, error_body

_CODES: Mapping[str, str] = {
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
    headers = {} if allow_origin is None else {"Access-Control-Allow-Origin": allow_origin}
    parameters = {f"gatewayresponse.header.{name}": f"'{it}'" for name, it in headers.items()}
    fixed = {
        kind: {**_response(code, parameters), "statusCode": str(STATUSES[code])}
        for kind, code in _CODES.items()
    }
    return fixed | {kind: _response(code, parameters) for kind, code in _DEFAULTS.items()}


def _response(code: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    body = json.dumps(error_body(code, MESSAGES[code]))
    return {
        "responseParameters": dict(parameters),
        "responseTemplates": {"application/json": body},
    }
