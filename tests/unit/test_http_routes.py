"""Which HTTP routes a principal may call."""

import pytest

from chalicelib.http_routes import callable_routes
from chalicelib.scopes import Scopes


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
