"""A Chalice authorizer that sees the whole request: of the kind REQUEST, where Chalice has TOKEN.

Chalice deploys it as it deploys its own; ``deployment`` says to API Gateway which kind it is, and
``localgateway`` treats it as that. Deployed without ``deployment`` it is asked about a token alone,
finds no request in it and lets nobody in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class WholeRequest:
    """What the authorizer's function is called with."""

    method_arn: str
    event: Mapping[str, Any] = field(repr=False)


def see_whole_requests(authorizer: Any, identity_sources: Callable[[], Sequence[str]]) -> None:
    """Make one of ``@app.authorizer`` an authorizer of requests; a route names it as before.

    ``identity_sources`` are texts such as ``method.request.header.Authorization``, asked for when
    the API is deployed or served. While API Gateway keeps answers (``ttl_seconds``) all of them
    must be in a request, and together they are what an answer is kept for; so all that decides
    must be among them. With none it keeps nothing.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/configure-api-gateway-lambda-authorization.html
    """
    kind = type(authorizer)

    class RequestAuthorizer(kind):  # type: ignore[misc, valid-type]
        def __call__(self, event: Mapping[str, Any], context: Any) -> Any:
            return self.func(WholeRequest(event["methodArn"], event))

        @property
        def identity_sources(self) -> Sequence[str]:
            return identity_sources()

    authorizer.__class__ = RequestAuthorizer
