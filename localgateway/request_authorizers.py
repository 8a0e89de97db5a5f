"""REQUEST authorizers of HTTP routes, which Chalice's own local gateway does not know.

An authorizer is one if it has ``identity_sources``. What API Gateway keeps for a while is not kept
here: the authorizer is asked for each request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chalice.local import ForbiddenError, LocalGatewayAuthorizer, NotAuthorizedError

from localgateway.errors import StartError
from localgateway.iam import is_allowed

# Of REST APIs; those of WebSocket APIs begin with "route".
_GRAMMAR = re.compile(
    r"(?P<kind>method\.request\.header|method\.request\.querystring|stageVariables|context)"
    r"\.(?P<name>[a-zA-Z0-9._$-]+)"
)
_DEFAULT_SECONDS = 300
"""How long API Gateway keeps an answer where nothing is said."""


class RequestAuthorizers(LocalGatewayAuthorizer):
    """Asks authorizers of either kind; a class of Chalice's, whose other methods stay."""

    def authorize(self, raw_path: str, lambda_event: Any, lambda_context: Any) -> Any:
        """Return the event with what the authorizer said; raises as Chalice's does."""
        entry: Any = self._route_for_event(lambda_event)
        sources = getattr(getattr(entry, "authorizer", None), "identity_sources", None)
        if sources is None:
            return super().authorize(raw_path, lambda_event, lambda_context)
        seconds = entry.authorizer.config.ttl_seconds
        keeps = (_DEFAULT_SECONDS if seconds is None else seconds) > 0 and sources
        if keeps and not all(_value(source, lambda_event) for source in sources):
            raise NotAuthorizedError(_error("UnauthorizedException"), b'{"message":"Unauthorized"}')
        method = lambda_event["requestContext"]["httpMethod"]
        arn = self._arn_builder.build_arn(method, raw_path)
        event = {**lambda_event, "type": "REQUEST", "methodArn": arn}
        answer = entry.authorizer(event, lambda_context)
        if not is_allowed(answer["policyDocument"], arn, _source_ip(lambda_event)):
            denied = b'{"Message": "User is not authorized to access this resource"}'
            raise ForbiddenError(_error("AccessDeniedException"), denied)
        return self._update_lambda_event(lambda_event, answer), lambda_context


def check_identity_sources(sources: Any) -> None:
    """Raise ``StartError`` for what API Gateway would refuse."""
    for source in sources:
        if _GRAMMAR.fullmatch(source) is None:
            raise StartError(
                f"identity source {source!r} is none; write method.request.header.NAME, "
                "method.request.querystring.NAME, stageVariables.NAME or context.NAME"
            )


def _value(source: str, event: Mapping[str, Any]) -> object:
    match = _GRAMMAR.fullmatch(source)
    if match is None:
        return None
    name = match["name"]
    if match["kind"] == "method.request.header":
        return (event.get("headers") or {}).get(name.lower())
    if match["kind"] == "method.request.querystring":
        values = (event.get("multiValueQueryStringParameters") or {}).get(name) or [""]
        return values[0]
    if match["kind"] == "stageVariables":
        return (event.get("stageVariables") or {}).get(name)
    found: Any = event["requestContext"]
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _source_ip(event: Mapping[str, Any]) -> str:
    return str(event["requestContext"].get("identity", {}).get("sourceIp", "127.0.0.1"))


def _error(name: str) -> dict[str, str]:
    return {"x-amzn-ErrorType": name}
