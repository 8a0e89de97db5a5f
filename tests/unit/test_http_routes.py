"""Which HTTP routes a principal may call."""

import itertools

import pytest

from chalicelib.http_routes import ROUTE_SCOPES, callable_routes
from chalicelib.policy import rest_authorizer_response
from chalicelib.scopes import Scopes
from localgateway.iam import is_allowed


@pytest.mark.parametrize(
    ("scopes", "routes"),
    [
        ("connect", ["POST/tickets"]),
        ("", []),
        ("sendmessage sendmessage:channel:* join:*", []),
        ("publish", ["POST/messages", "POST/messages/batch", "GET/jobs/*"]),
        (
            "admin",
            [
                "GET/connections",
                "GET/connections/*",
                "DELETE/connections/*",
                "DELETE/principals/*/connections",
                "POST/principals/revoke",
                "POST/principals/allow",
            ],
        ),
        ("admin:keys", ["POST/keys", "GET/keys", "DELETE/keys/*"]),
    ],
)
def test_the_routes_a_principal_may_call_follow_from_its_scopes(
    scopes: str, routes: list[str]
) -> None:
    assert callable_routes(Scopes.parse(scopes)) == routes


STAGE = "arn:aws:execute-api:us-east-1:123456789012:abcdef1234/api"
# What may stand in a path where a route has a parameter; API Gateway's ``*`` goes beyond a slash.
PARAMETERS = (
    "abc=",
    "*",
    "?",
    "a%2Fb",
    "..",
    "%2E%2E%2Fconnections",
    "revoke",
    "batch",
    "connections",
)


def paths() -> list[tuple[str, str]]:
    """Return routes, each with what is asked for when it is called with some parameter."""
    return [
        (route, route.replace("*", parameter)) for route in ROUTE_SCOPES for parameter in PARAMETERS
    ]


@pytest.mark.parametrize(
    "granted",
    [
        " ".join(them)
        for n in range(4)
        for them in itertools.combinations(sorted(set(ROUTE_SCOPES.values())), n)
    ],
)
@pytest.mark.parametrize("principal_id", ["alice", "*", f"{STAGE}/*"])
def test_no_policy_reaches_a_route_of_another_scope_whichever_was_asked_for(
    granted: str, principal_id: str
) -> None:
    scopes = Scopes.parse(granted)
    for asked in ("POST/tickets", "GET/connections/*", "DELETE/a b?*\n/c"):
        answer = rest_authorizer_response(
            principal_id, f"{STAGE}/{asked}", callable_routes(scopes), list(ROUTE_SCOPES), {}
        )
        for route, path in paths():
            found = is_allowed(answer["policyDocument"], f"{STAGE}/{path}", "192.0.2.7")
            assert found is scopes.allow(ROUTE_SCOPES[route]), (route, path)
