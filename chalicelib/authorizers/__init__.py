"""Who is asking? Interchangeable authenticators, asked in turn; one module each.

An authenticator answers None (no credentials of my kind: ask the next), raises Unauthorized
(they are mine and bad) or returns the Principal.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chalicelib.errors import Unauthorized
from chalicelib.policy import ContextValue, MethodArn
from chalicelib.secret_values import Secret, StoredSecret

Values = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a handshake speaks for; the context travels with every later event, as strings."""

    principal_id: str
    context: Mapping[str, ContextValue]


@dataclass(frozen=True, slots=True)
class AuthorizerRequest:
    """What authenticators may look at; ``received_at`` is in seconds since the epoch."""

    method_arn: MethodArn
    headers: Values
    query: Values
    stage_variables: Values
    received_at: float

    @classmethod
    def from_event(cls, event: Mapping[str, Any], received_at: float) -> "AuthorizerRequest":
        """Read a REQUEST event; maps may be absent or null, UnexpectedEvent if the ARN is wrong."""
        return cls(
            method_arn=MethodArn.parse(event.get("methodArn")),
            headers=_lower(_values(event, "headers", "multiValueHeaders")),
            query=_values(event, "queryStringParameters", "multiValueQueryStringParameters"),
            stage_variables=_values(event, "stageVariables"),
            received_at=received_at,
        )

    def header(self, name: str) -> str | None:
        """Return a header's value; case does not matter, two different values are refused."""
        return _single(self.headers, name.lower())

    def query_string(self, name: str) -> str | None:
        """Return a query parameter; case matters, two different values are refused."""
        return _single(self.query, name)

    def stage_variable(self, name: str) -> str | None:
        """Return a stage variable."""
        return _single(self.stage_variables, name)


class Authenticator(Protocol):
    """One way to tell who is asking."""

    def authenticate(self, request: AuthorizerRequest) -> Principal | None:
        """Return None for no credentials of its kind; raise Unauthorized for bad ones."""


def authenticate(authenticators: Sequence[Authenticator], request: AuthorizerRequest) -> Principal:
    """Return the principal of the first authenticator that knows the credentials."""
    for authenticator in authenticators:
        principal = authenticator.authenticate(request)
        if principal is not None:
            return principal
    raise Unauthorized("no_credentials")


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


def _single(values: Values, name: str) -> str | None:
    several = values.get(name, ())
    if len(several) > 1:
        # Which one a proxy in front of us, or API Gateway, looked at cannot be known.
        raise Unauthorized("repeated_parameter")
    return several[0] if several else None
