"""Who may open a connection: identity sources, and what an authorizer's answer means. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from localgateway.errors import HandshakeRefused, StartError
from localgateway.events import Event, Handshake
from localgateway.iam import MalformedPolicy, is_allowed

# The service's own error text spells this grammar out; `$request.header.x` (HTTP APIs) and
# `method.request.header.x` (REST APIs) are refused.
_GRAMMAR = re.compile(
    r"(?P<kind>route\.request\.header|route\.request\.querystring|stageVariables|context)"
    r"\.(?P<name>[a-zA-Z0-9._-]+)"
)
_RESULT_LIMIT = 8 * 1024
"""Bytes of an authorizer's answer as JSON (quota table of WebSocket APIs)."""

AuthorizerContext = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class IdentitySource:
    """One parameter of the handshake that must be there before the authorizer is called."""

    kind: str
    name: str

    @classmethod
    def parse(cls, expression: str) -> IdentitySource:
        """Parse ``route.request.header.X`` and its kin; raises ``StartError``."""
        match = _GRAMMAR.fullmatch(expression)
        if match is None:
            raise StartError(
                f"identity source {expression!r} is none; write route.request.header.NAME, "
                "route.request.querystring.NAME, stageVariables.NAME or context.NAME"
            )
        return cls(match["kind"], match["name"])


def missing_identity_source(
    sources: Iterable[IdentitySource], handshake: Handshake, event: Event
) -> IdentitySource | None:
    """Return the first source that is absent or empty; all of them are required.

    ``event`` is the authorizer's event. AWS does not say whether a header's name is compared with
    regard to case; HTTP says it is not.
    """
    return next((s for s in sources if not _value(s, handshake, event)), None)


def _value(source: IdentitySource, handshake: Handshake, event: Event) -> str | None:
    if source.kind == "route.request.header":
        return handshake.header(source.name)
    if source.kind == "route.request.querystring":
        value: str | None = event["queryStringParameters"].get(source.name)
        return value
    if source.kind == "stageVariables":
        variable: str | None = event["stageVariables"].get(source.name)
        return variable
    return _context_value(event["requestContext"], source.name)


def _context_value(context: Any, path: str) -> str | None:
    for name in path.split("."):
        if not isinstance(context, Mapping):
            return None
        context = context.get(name)
    return None if context is None else str(context)


def evaluate(answer: Any, method_arn: str, source_ip: str) -> AuthorizerContext:
    """Return what later events say of the authorizer, or raise ``HandshakeRefused``.

    403: the policy denies the ARN, or no statement allows it. 500: the answer is no policy, names
    no principal, is over 8 KB, or has a list or an object in its context.
    """
    try:
        context = _context(answer)
        allowed = is_allowed(answer.get("policyDocument"), method_arn, source_ip)
    except (MalformedPolicy, MalformedAnswer) as error:
        raise HandshakeRefused(500, "Internal server error") from error
    if not allowed:
        raise HandshakeRefused(403, "Forbidden")
    return context


class MalformedAnswer(ValueError):
    """The authorizer's answer is not what API Gateway takes; the text says why, for the log."""


def _context(answer: Any) -> AuthorizerContext:
    if not isinstance(answer, Mapping):
        raise MalformedAnswer(f"the authorizer answered {type(answer).__name__}, not an object")
    if len(json.dumps(answer)) > _RESULT_LIMIT:
        raise MalformedAnswer("the authorizer's answer is over 8 KB")
    principal_id = answer.get("principalId")
    if not isinstance(principal_id, str) or not principal_id:
        raise MalformedAnswer("the authorizer's answer has no principalId")
    context = answer.get("context") or {}
    if not isinstance(context, Mapping):
        raise MalformedAnswer("the authorizer's context is not an object")
    return {key: _text(key, value) for key, value in context.items()} | {
        "principalId": principal_id
    }


def _text(key: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise MalformedAnswer(f"context.{key} is a list or an object; only strings, numbers, booleans")
