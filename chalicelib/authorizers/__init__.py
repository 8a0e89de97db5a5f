"""Who is asking? Interchangeable authenticators, asked in turn; one module each.

An authenticator answers None (no credentials of my kind: ask the next), raises Unauthorized
(they are mine and bad) or returns the Principal.
"""

import hmac
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from chalicelib.errors import Forbidden, Unauthorized
from chalicelib.policy import ContextValue
from chalicelib.scopes import Scopes
from chalicelib.secret_values import Secret, StoredSecret

Values = Mapping[str, tuple[str, ...]]

CLOCK_SKEW = 5
"""Seconds an issuer's clock may be ahead of ours; at its end a token gets none."""
DETAILS = ("key", "jti")
"""What revocation may ask for: the id of an API key, and that of a token."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request speaks for, how that was shown, and until when (seconds since the epoch)."""

    principal_id: str
    shown_by: str
    """The authenticator's name; never the credential."""
    expires_at: int
    scopes: Scopes
    details: Mapping[str, str] = field(default_factory=dict)
    demonstration: bool = False
    issued_at: int | None = None
    """When the credential was, in seconds; None where it does not say so."""

    @classmethod
    def from_context(cls, context: object) -> "Principal | None":
        """Read what ``context`` has returned, as later events have it; None if it is not there."""
        if not isinstance(context, Mapping) or not context.get("principalId"):
            return None
        return cls(
            principal_id=context["principalId"],
            shown_by=str(context.get("token")),
            expires_at=int(context["expiresAt"]),
            scopes=Scopes.granted(context["scopes"].split()),
            details={name: context[name] for name in DETAILS if name in context},
            demonstration=str(context["demonstration"]).lower() == "true",
            issued_at=issued_at(context),
        )

    def context(self) -> dict[str, ContextValue]:
        """Return what travels with every later event, where all of it is text."""
        return {
            "token": self.shown_by,
            "expiresAt": self.expires_at,
            "demonstration": self.demonstration,
            "scopes": str(self.scopes),
            **({} if self.issued_at is None else {"issuedAt": self.issued_at}),
            **self.details,
        }

    def context_texts(self) -> dict[str, str]:
        """Return the context as API Gateway hands it on."""
        return {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in self.context().items()
        }


def issued_at(context: Mapping[str, Any]) -> int | None:
    """Return when the credential of an authorizer's context was issued, None if it does not say."""
    text = str(context.get("issuedAt"))
    return int(text) if text.isascii() and text.isdigit() else None


@dataclass(frozen=True, slots=True)
class AuthorizerRequest:
    """What authenticators may look at; ``received_at`` is in seconds since the epoch.

    Its repr shows none of it: credentials are among it.
    """

    headers: Values = field(repr=False)
    query: Values = field(repr=False)
    stage_variables: Values = field(repr=False)
    received_at: float

    @classmethod
    def from_event(cls, event: Mapping[str, Any], received_at: float) -> "AuthorizerRequest":
        """Read a REQUEST event, whose maps may be absent or null."""
        return cls(
            headers=_lower(_values(event, "headers", "multiValueHeaders")),
            query=_values(event, "queryStringParameters", "multiValueQueryStringParameters"),
            stage_variables=_values(event, "stageVariables"),
            received_at=received_at,
        )

    @classmethod
    def from_token(cls, token: str, received_at: float) -> "AuthorizerRequest":
        """Read a TOKEN event, which has the value of the Authorization header alone."""
        return cls({"authorization": (token,)}, {}, {}, received_at)

    def header(self, name: str) -> str | None:
        """Return a header's value; case does not matter, two different values are refused."""
        return single(self.headers.get(name.lower(), ()))

    def header_list(self, name: str) -> tuple[str, ...]:
        """Return the members of a header that is a list, however many lines it came in."""
        lines = self.headers.get(name.lower(), ())
        return _distinct(item.strip() for line in lines for item in line.split(","))

    def query_string(self, name: str) -> str | None:
        """Return a query parameter; case matters, two different values are refused."""
        return single(self.query.get(name, ()))

    def stage_variable(self, name: str) -> str | None:
        """Return a stage variable."""
        return single(self.stage_variables.get(name, ()))


class Authenticator(Protocol):
    """One way to tell who is asking."""

    def authenticate(self, request: AuthorizerRequest) -> Principal | None:
        """Return None for no credentials of its kind; raise Unauthorized for bad ones."""

    def as_bearer(self) -> "Authenticator | None":
        """Return the same for the Authorization header alone; None where it looks elsewhere."""


def authenticate(authenticators: Sequence[Authenticator], request: AuthorizerRequest) -> Principal:
    """Return the principal of the first authenticator that knows the credentials."""
    for authenticator in authenticators:
        principal = authenticator.authenticate(request)
        if principal is not None:
            return principal
    raise Unauthorized("no_credentials")


def admit(
    authenticators: Sequence[Authenticator],
    allowed_origins: Collection[str] | None,
    request: AuthorizerRequest,
) -> Principal:
    """Return whom to open a connection for.

    Raises Unauthorized, or Forbidden for a known principal whose browser shows a page of another
    origin, or whose scopes do not hold ``connect``.
    """
    principal = authenticate(authenticators, request)
    if not is_allowed_origin(request.header("Origin"), allowed_origins):
        raise Forbidden("origin_not_allowed", principal.principal_id)
    if not principal.scopes.allow("connect"):
        raise Forbidden("missing_scope", principal.principal_id)
    return principal


def is_allowed_origin(origin: str | None, allowed_origins: Collection[str] | None) -> bool:
    """Tell whether a page of this origin may connect; None of either lets it.

    Only browsers send an origin, and they cannot be made to leave it out or change it.
    """
    return origin is None or allowed_origins is None or origin in allowed_origins


def matches(given: str | None, expected: str) -> bool:
    """Compare a credential in constant time; nothing given never matches."""
    # surrogatepass: a junk header must be refused, not fail.
    return given is not None and hmac.compare_digest(
        given.encode(errors="surrogatepass"), expected.encode(errors="surrogatepass")
    )


def accepts(pairs: Sequence[tuple[Secret, str | None]]) -> bool:
    """Tell whether each secret accepts what was given for it; nothing given never matches.

    A credential that does not match may have been rotated a moment ago, so stored secrets are
    fetched once more before it is refused: all of them, for how long it takes must not say
    which one was wrong.
    """
    if any(given is None for _, given in pairs):
        return False
    if _all_match(pairs):
        return True
    reread = [secret.reread() for secret, _ in pairs if isinstance(secret, StoredSecret)]
    return any(reread) and _all_match(pairs)


def _all_match(pairs: Sequence[tuple[Secret, str | None]]) -> bool:
    # A list, not all(...) of a generator: every secret is compared, whatever came of the others.
    verdicts = [_matches_one(given, secret.values()) for secret, given in pairs]
    return all(verdicts)


def _matches_one(given: str | None, values: Iterable[str]) -> bool:
    verdicts = [matches(given, value) for value in values]
    return any(verdicts)


def _values(event: Mapping[str, Any], *names: str) -> dict[str, tuple[str, ...]]:
    """Gather the text values of the single-value and the multi-value map, each value once."""
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        entries = event.get(name)
        for key, value in entries.items() if isinstance(entries, Mapping) else ():
            found[str(key)] = _distinct((*found.get(str(key), ()), *_texts(value)))
    return found


def _texts(value: object) -> Iterable[str]:
    values = value if isinstance(value, list) else [value]
    return (text for text in values if isinstance(text, str))


def _lower(values: Values) -> Values:
    found: dict[str, tuple[str, ...]] = {}
    for name, several in values.items():
        found[name.lower()] = _distinct((*found.get(name.lower(), ()), *several))
    return found


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def single(values: Sequence[str]) -> str | None:
    """Return the only value there is; Unauthorized where there are several."""
    if len(values) > 1:
        # Which one a proxy in front of us, or API Gateway, looked at cannot be known.
        raise Unauthorized("repeated_parameter")
    return values[0] if values else None
