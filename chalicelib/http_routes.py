"""What the HTTP routes behind the TOKEN authorizer ask for, written once."""

import re
from collections.abc import Mapping

from chalicelib.scopes import Scopes

KEYS_SCOPE = "admin:keys"

# By method and path; the parameters of a path are written ``*``.
ROUTE_SCOPES: Mapping[str, str] = {
    "POST/tickets": "connect",
    "POST/messages": "publish",
    "POST/messages/batch": "publish",
    "GET/jobs/*": "publish",
    "GET/connections": "admin",
    "GET/connections/*": "admin",
    "DELETE/connections/*": "admin",
    "DELETE/principals/*/connections": "admin",
    "POST/principals/revoke": "admin",
    "POST/principals/allow": "admin",
    "POST/keys": KEYS_SCOPE,
    "GET/keys": KEYS_SCOPE,
    "DELETE/keys/*": KEYS_SCOPE,
}


def route_name(method: str, path: str) -> str:
    """Return how a route is written above: ``GET/jobs/*`` for ``/jobs/{job_id}``."""
    return method + re.sub(r"\{\w+\}", "*", path)


def callable_routes(scopes: Scopes) -> list[str]:
    """Name the routes that whoever has these scopes may call."""
    return [route for route, scope in ROUTE_SCOPES.items() if scopes.allow(scope)]
