"""What an authorizer answers to API Gateway: pure, and never more than was checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from chalicelib.errors import UnexpectedEvent

Effect = Literal["Allow", "Deny"]
ContextValue = str | int | float | bool

# https://docs.aws.amazon.com/apigateway/latest/developerguide/arn-format-reference.html
_METHOD_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):execute-api:(?P<region>[a-z0-9-]+):(?P<account_id>[0-9]+)"
    r":(?P<api_id>[A-Za-z0-9_-]+)/(?P<stage>[A-Za-z0-9_$-]+)/(?P<route_key>[^\s*?]+)"
)


# A path may hold what the ARN of a WebSocket route cannot: here only what stands before it counts.
_REST_STAGE = re.compile(
    r"(?P<stage_arn>arn:aws[a-z-]*:execute-api:[a-z0-9-]+:[0-9]+:[A-Za-z0-9_-]+/[A-Za-z0-9_-]+)"
    r"/[A-Z]+/.*",
    re.DOTALL,
)


class Statement(TypedDict):
    """One statement of an IAM policy, as API Gateway reads it."""

    Action: str
    Effect: Effect
    Resource: str | list[str]


class PolicyDocument(TypedDict):
    """An IAM policy of the only version API Gateway reads."""

    Version: str
    Statement: list[Statement]


class AuthorizerResponse(TypedDict):
    """What a Lambda authorizer returns; API Gateway hands the context on as strings."""

    principalId: str
    policyDocument: PolicyDocument
    context: dict[str, ContextValue]


@dataclass(frozen=True, slots=True)
class MethodArn:
    """The one route of one stage an authorizer is asked about."""

    partition: str
    region: str
    account_id: str
    api_id: str
    stage: str
    route_key: str

    @classmethod
    def parse(cls, text: object) -> "MethodArn":
        """Take a method ARN apart; UnexpectedEvent if API Gateway cannot have sent it."""
        match = _METHOD_ARN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise UnexpectedEvent("methodArn is not the ARN of a route")
        return cls(**match.groupdict())

    def __str__(self) -> str:
        resource = f"{self.api_id}/{self.stage}/{self.route_key}"
        return f"arn:{self.partition}:execute-api:{self.region}:{self.account_id}:{resource}"


def authorizer_response(
    principal_id: str,
    method_arn: MethodArn,
    effect: Effect,
    context: Mapping[str, ContextValue],
) -> AuthorizerResponse:
    """Allow or deny exactly the route that was asked for.

    A wildcard would say more than was checked, and the usual ``stage/*/*`` does not even
    match ``stage/$connect``.
    """
    return _response(principal_id, effect, str(method_arn), context)


def rest_authorizer_response(
    principal_id: str,
    method_arn: object,
    allowed: Sequence[str],
    protected: Sequence[str],
    context: Mapping[str, ContextValue],
) -> AuthorizerResponse:
    """Allow all routes of an HTTP API that a principal may call, and no others.

    Routes are written ``POST/tickets``. API Gateway keeps the answer for a token and asks it for
    other routes too, so it must not depend on the one that was asked for. A policy without any
    resource would be malformed (500): whoever may call nothing is denied what is ``protected``.
    Raises UnexpectedEvent where API Gateway cannot have sent this ARN.
    """
    match = _REST_STAGE.fullmatch(method_arn) if isinstance(method_arn, str) else None
    if match is None:
        raise UnexpectedEvent("methodArn is not the ARN of a method")
    effect: Effect = "Allow" if allowed else "Deny"
    resources = [f"{match['stage_arn']}/{route}" for route in allowed or protected]
    return _response(principal_id, effect, resources, context)


def _response(
    principal_id: str,
    effect: Effect,
    resource: str | list[str],
    context: Mapping[str, ContextValue],
) -> AuthorizerResponse:
    statement = Statement(Action="execute-api:Invoke", Effect=effect, Resource=resource)
    return AuthorizerResponse(
        principalId=principal_id,
        policyDocument=PolicyDocument(Version="2012-10-17", Statement=[statement]),
        context=dict(context),
    )
