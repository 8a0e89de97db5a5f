"""REQUEST authorizers of HTTP routes, which Chalice's own local gateway does not know.

An authorizer is one if it has ``identity_sources``. Its answers are kept as API Gateway keeps them:
for its ``ttl_seconds``, for the values of all identity sources, for every route that names it.
https://docs.aws.amazon.com/apigateway/latest/developerguide/configure-api-gateway-lambda-authorization.html
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chalice.app import Chalice
from chalice.local import (
    ForbiddenError,
    InvalidAuthorizerError,
    LocalGatewayAuthorizer,
    NotAuthorizedError,
)

from localgateway.authorization import evaluate
from localgateway.errors import HandshakeRefused, StartError
from localgateway.events import Event
from localgateway.http_events import authorizer_event
from localgateway.kept_answers import KeptAnswers, key_of

# Of REST APIs; those of WebSocket APIs begin with "route".
_GRAMMAR = re.compile(
    r"(?P<kind>method\.request\.header|method\.request\.querystring|stageVariables|context)"
    r"\.(?P<name>[a-zA-Z0-9._$-]+)"
)
_DEFAULT_SECONDS = 300
"""How long API Gateway keeps an answer where nothing is said."""


class RequestAuthorizers(LocalGatewayAuthorizer):
    """Asks authorizers of either kind; a class of Chalice's, whose other methods stay."""

    def __init__(self, app: Chalice, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(app)
        self._kept = KeptAnswers(clock)

    def authorize(self, raw_path: str, lambda_event: Any, lambda_context: Any) -> Any:
        """Return the event with what the authorizer said; raises as Chalice's does."""
        entry: Any = self._route_for_event(lambda_event)
        authorizer = getattr(entry, "authorizer", None)
        if getattr(authorizer, "identity_sources", None) is None:
            return super().authorize(raw_path, lambda_event, lambda_context)
        arn = self._arn_builder.build_arn(lambda_event["requestContext"]["httpMethod"], raw_path)
        event = authorizer_event(lambda_event, arn, lambda_context.aws_request_id)
        said = self._ask(authorizer, event, lambda_context)
        lambda_event["requestContext"]["authorizer"] = said
        return lambda_event, lambda_context

    def _ask(self, authorizer: Any, event: Event, lambda_context: Any) -> Mapping[str, str | None]:
        """Return the context of a kept answer or a new one, if its policy allows this request."""
        sources = authorizer.identity_sources
        seconds = _kept_seconds(authorizer, sources)
        shown = [_values(source, event) for source in sources] if seconds else []
        if not all(values and values[-1] for values in shown):
            raise NotAuthorizedError(_error("UnauthorizedException"), b'{"message":"Unauthorized"}')
        key = key_of(authorizer.name, shown)
        kept = self._kept.get(key) if seconds else None
        answer = authorizer(event, lambda_context) if kept is None else kept
        said = _evaluated(answer, event)
        if seconds and kept is None:
            self._kept.keep(key, answer, seconds)
        if said is None:
            denied = b'{"Message": "User is not authorized to access this resource"}'
            raise ForbiddenError(_error("AccessDeniedException"), denied)
        return said


def check_identity_sources(sources: Any) -> None:
    """Raise ``StartError`` for what API Gateway would refuse."""
    for source in sources:
        if _GRAMMAR.fullmatch(source) is None:
            raise StartError(
                f"identity source {source!r} is none; write method.request.header.NAME, "
                "method.request.querystring.NAME, stageVariables.NAME or context.NAME"
            )


def _kept_seconds(authorizer: Any, sources: Sequence[str]) -> int:
    """Return how long answers are kept, 0 for not at all: so it is where nothing names them."""
    seconds: int | None = authorizer.config.ttl_seconds
    return (_DEFAULT_SECONDS if seconds is None else seconds) if sources else 0


def _evaluated(answer: Any, event: Event) -> Mapping[str, str | None] | None:
    """Return the context as views get it, None where the policy does not allow the request.

    An answer that API Gateway could not read is raised as Chalice's error for it (500).
    """
    source_ip = str(event["requestContext"].get("identity", {}).get("sourceIp", "127.0.0.1"))
    try:
        return evaluate(answer, event["methodArn"], source_ip)
    except HandshakeRefused as refusal:
        if refusal.status == 403:
            return None
        kind = _error("AuthorizerConfigurationException")
        raise InvalidAuthorizerError(kind, b'{"message":null}') from refusal


def _values(source: str, event: Event) -> list[str]:
    """Return all values of an identity source; AWS does not say which of several it takes."""
    match = _GRAMMAR.fullmatch(source)
    if match is None:
        return []
    name = match["name"]
    if match["kind"] == "method.request.header":
        headers = event["multiValueHeaders"].items()
        return [value for key, values in headers if key.lower() == name.lower() for value in values]
    if match["kind"] == "method.request.querystring":
        values: list[str] = event["multiValueQueryStringParameters"].get(name, [])
        return values
    found: Any = event["stageVariables" if match["kind"] == "stageVariables" else "requestContext"]
    for part in [name] if match["kind"] == "stageVariables" else name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return [] if found is None else [str(found)]


def _error(name: str) -> dict[str, str]:
    return {"x-amzn-ErrorType": name}
