"""What API Gateway answers where no view is asked: its own words, or those the app defines.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-gatewayResponse-definition.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from localgateway.http_messages import HttpResponse
from localgateway.log import logger

_HEADER = "gatewayresponse.header."
_STATIC = "'"


class GatewayResponses:
    """By type of response, as the OpenAPI extension ``x-amazon-apigateway-gateway-responses``."""

    def __init__(self, defined: Mapping[str, Any] | None = None) -> None:
        self._defined = defined or {}

    def respond(self, kind: str, status: int, message: str | None) -> HttpResponse:
        """Answer what this type is defined to be, else what AWS says by itself."""
        default = "DEFAULT_4XX" if status < 500 else "DEFAULT_5XX"
        defined = self._defined.get(kind) or self._defined.get(default) or {}
        template = defined.get("responseTemplates", {}).get("application/json")
        body = json.dumps({"message": message}) if template is None else template
        body = body.replace("$context.error.messageString", json.dumps(message))
        body = body.replace("$context.error.responseType", kind)
        headers = {"Content-Type": "application/json", **_headers(defined)}
        return HttpResponse(
            int(defined.get("statusCode", status)), tuple(headers.items()), body.encode()
        )


def _headers(defined: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in defined.get("responseParameters", {}).items():
        if value[:1] == value[-1:] == _STATIC:
            found[name.removeprefix(_HEADER)] = value[1:-1]
        else:
            logger.warning("gateway responses: %s is not served here", value)
    return found
