"""What an authorizer answers to API Gateway: pure, and only ever about one method ARN."""

import re
from collections.abc import Mapping
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


class Statement(TypedDict):
    """One statement of an IAM policy, as API Gateway reads it."""

    Action: str
    Effect: Effect
    Resource: str


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
    statement = Statement(Action="execute-api:Invoke", Effect=effect, Resource=str(method_arn))
    return AuthorizerResponse(
        principalId=principal_id,
        policyDocument=PolicyDocument(Version="2012-10-17", Statement=[statement]),
        context=dict(context),
    )
