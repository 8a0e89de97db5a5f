"""What HTTP routes are asked, read as strictly as frames are. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from chalicelib.authorizers import Principal
from chalicelib.connections import Audience
from chalicelib.decisions import source_ip
from chalicelib.errors import ClientError, Forbidden, Unauthorized
from chalicelib.frames import Fields, parse_object
from chalicelib.http_routes import route_name

# Of what is listed page by page.
MAX_PAGE = 500
DEFAULT_PAGE = 100
_BODY = "body"


@dataclass(frozen=True, slots=True)
class Call:
    """One request; header names are in lower case."""

    route: str
    """Method and path, as in ROUTE_SCOPES."""
    principal: Principal | None = None
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    path: Mapping[str, str] = field(default_factory=dict)
    """Parameters as they stand in the URL, which is how REST APIs hand them over.

    https://github.com/aws/chalice/issues/688
    """
    seconds: float = 25.0
    """How long the answer may take."""
    source_ip: str | None = None

    @classmethod
    def from_request(cls, request: Any, seconds: float, credentials: Collection[str]) -> "Call":
        """Read Chalice's Request; ``credentials`` are query parameters that no view may see."""
        query: Any = request.query_params or {}
        return cls(
            route=route_name(request.method, request.path),
            principal=Principal.from_context(request.context.get("authorizer")),
            body=request.raw_body,
            headers=dict(request.headers),
            query={name: query.getlist(name) for name in query if name not in credentials},
            path=request.uri_params or {},
            seconds=seconds,
            source_ip=source_ip(request.context),
        )

    def caller(self, scope: str, now: float) -> Principal:
        """Return who asks, if the credential is still good and has this scope.

        The authorizer's answer is kept for a minute, and an API may be deployed without one.
        Raises Unauthorized or Forbidden.
        """
        if self.principal is None:
            raise Unauthorized("no_principal")
        if self.principal.expires_at <= now:
            raise Unauthorized("expired_credential")
        if not self.principal.scopes.allow(scope):
            raise Forbidden("missing_scope", self.principal.principal_id)
        return self.principal

    def json_object(self, most: int) -> Fields:
        """Return the body, of so many bytes at most."""
        if len(self.body) > most:
            raise ClientError("body_too_long", f"The body is over {most // 1024} KiB.")
        try:
            text = self.body.decode()
        except UnicodeDecodeError:
            raise ClientError("malformed_json", "The body is not UTF-8.") from None
        return parse_object(text, most, _BODY)

    def parameter(self, name: str) -> str:
        """Return a parameter of the path, decoded; not_found where it can name nothing."""
        try:
            return unquote(self.path[name], errors="strict")
        except UnicodeDecodeError:
            raise not_found() from None

    def only_parameters(self, names: Collection[str]) -> None:
        """Refuse a query string with anything else in it."""
        if self.query.keys() - set(names):
            known = f"are: {', '.join(names)}" if names else "are none"
            raise ClientError("unknown_parameter", f"The parameters {known}.")

    def query_string(self, name: str) -> str | None:
        """Return a parameter of the query string, None where it is not there."""
        values = self.query.get(name, ())
        if len(values) > 1:
            raise ClientError("invalid_parameter", f"{name} is there more than once.")
        return values[0] if values else None

    def count(self, name: str, default: int, most: int) -> int:
        """Return a whole number of the query string."""
        text = self.query_string(name)
        if text is None:
            return default
        if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most:
            return int(text)
        raise ClientError("invalid_parameter", f"{name} must be a number from 1 to {most}.")


def audience(text: str) -> Audience:
    """Read an audience; the caller's fault where it is none."""
    try:
        return Audience.parse(text)
    except ValueError:
        raise ClientError("invalid_audience", "That is not an audience.") from None


def not_found(message: str = "There is nothing here.") -> ClientError:
    """Return what is said where there is nothing."""
    return ClientError("not_found", message)
