"""A Chalice authorizer that sees the whole request: of the kind REQUEST, where Chalice has TOKEN.

This file needs nothing beside itself, so that any Chalice project can have it in its chalicelib.
Chalice deploys the authorizer as its own; ``deployment`` says to API Gateway which kind it is, and
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


def see_whole_requests(
    authorizer: Any, identity_sources: Sequence[str] | Callable[[], Sequence[str]]
) -> None:
    """Make one of ``@app.authorizer`` an authorizer of requests; a route names it as before.

    It answers with Chalice's AuthResponse, or as API Gateway reads it. ``identity_sources`` are
    texts such as ``method.request.header.Authorization``, or a function that returns them, which is
    called when the API is deployed or served. While API Gateway keeps answers (``ttl_seconds``) all
    of them must be in a request, and together they are what an answer is kept for; so all that
    decides must be among them. With none it keeps nothing.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/configure-api-gateway-lambda-authorization.html
    """
    kind = type(authorizer)

    class RequestAuthorizer(kind):  # type: ignore[misc, valid-type]
        def __call__(self, event: Mapping[str, Any], context: Any) -> Any:
            request = WholeRequest(event["methodArn"], event)
            answer = self.func(request)
            to_dict = getattr(answer, "to_dict", None)  # of AuthResponse
            return answer if to_dict is None else to_dict(request)

        @property
        def identity_sources(self) -> Sequence[str]:
            return identity_sources() if callable(identity_sources) else identity_sources

    authorizer.__class__ = RequestAuthorizer
