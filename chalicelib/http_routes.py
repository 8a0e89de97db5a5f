"""What the HTTP routes behind the TOKEN authorizer ask for, written once."""

from collections.abc import Mapping

from chalicelib.scopes import Scopes

# By method and path; the parameters of a path are written ``*``.
ROUTE_SCOPES: Mapping[str, str] = {"POST/tickets": "connect"}


def callable_routes(scopes: Scopes) -> list[str]:
    """Name the routes that whoever has these scopes may call."""
    return [route for route, scope in ROUTE_SCOPES.items() if scopes.allow(scope)]
