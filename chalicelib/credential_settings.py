"""Settings of what a client may show: where a credential is, from which origins, which tokens."""

import re
from dataclasses import dataclass, field
from typing import Literal, cast

from chalicelib.environment import Reader
from chalicelib.scopes import MAX_CHARACTERS, Scopes, is_scope

PlaceKind = Literal["bearer", "header", "query", "protocol"]

ALGORITHMS = ("RS256", "ES256", "EdDSA", "HS256")
TICKET_PARAMETER = "ticket"

# API Gateway's own grammar for the name of an identity source.
_PLACE = re.compile(r"bearer|protocol|(?:header|query):[A-Za-z0-9._-]+")
# What browsers send: https://www.rfc-editor.org/rfc/rfc6454#section-6.2
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_JWKS_URL = re.compile(r"https://[^\s/?#@]+/[!\"$-~]*")
_LOCAL_JWKS_URL = re.compile(r"http://127\.0\.0\.1:[0-9]{1,5}/[!\"$-~]*")
_TOKEN_USE = re.compile(r"[a-z]+")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+-]+")
_CLAIM = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a handshake a credential may be."""

    kind: PlaceKind
    name: str = ""
    """Of the header or query parameter."""

    def identity_source(self) -> str:
        """Return what API Gateway calls it."""
        if self.kind == "query":
            return f"route.request.querystring.{self.name}"
        names = {"bearer": "Authorization", "protocol": "Sec-WebSocket-Protocol"}
        return f"route.request.header.{names.get(self.kind, self.name)}"


BEARER = Place("bearer")
DEFAULT_PLACES = (BEARER,)


@dataclass(frozen=True, slots=True)
class JwtSettings:
    """Whose JSON Web Tokens are taken, and what they must say."""

    issuer: str
    audiences: tuple[str, ...] = ()
    client_ids: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ("RS256",)
    jwks_url: str | None = None
    keys: str | None = field(default=None, repr=False)
    """A JWK Set as JSON, instead of a URL."""
    secret: str | None = field(default=None, repr=False)
    """For HS256."""
    token_use: str | None = None
    type: str | None = None
    scope_claim: str | None = None
    """None: a token says nothing of scopes, and its principal has the default ones."""
    scope_prefix: str = ""


def read_places(reader: Reader) -> tuple[Place, ...]:
    """Read CREDENTIAL_PLACES: ``bearer, header:NAME, query:NAME, protocol``, in order."""
    texts = reader.items("CREDENTIAL_PLACES", "bearer")
    reserved = f"query:{TICKET_PARAMETER}"
    if not texts or not all(_PLACE.fullmatch(text) for text in texts) or reserved in texts:
        reader.refuse("CREDENTIAL_PLACES (of bearer, header:NAME, query:NAME, protocol)")
        return DEFAULT_PLACES
    parts = [text.partition(":") for text in texts]
    return tuple(Place(cast(PlaceKind, kind), name) for kind, _, name in parts)


def read_allowed_origins(reader: Reader) -> frozenset[str] | None:
    """Read ALLOWED_ORIGINS, each written as browsers send it; None where it is not set."""
    if reader.optional("ALLOWED_ORIGINS") is None:
        return None
    origins = [normalized_origin(text) for text in reader.items("ALLOWED_ORIGINS")]
    if None in origins or not origins:
        reader.refuse("ALLOWED_ORIGINS (https://host, https://host:port, between commas)")
    return frozenset(filter(None, origins))


def read_cors(reader: Reader) -> str | None:
    """Read CORS_ALLOW_ORIGIN: an origin as browsers send it, ``*``, or ``none``."""
    text = reader.optional("CORS_ALLOW_ORIGIN") or "*"
    if text == "none":
        return None
    if text != "*" and normalized_origin(text) != text:
        reader.refuse("CORS_ALLOW_ORIGIN (https://host, * or none)")
    return text


def normalized_origin(text: str) -> str | None:
    """Return an origin as browsers send it, None for what is no origin.

    For what is configured only: what a client sends must be equal, letter for letter.
    """
    match = _ORIGIN.fullmatch(text.lower().removesuffix("/"))
    if match is None:
        return None
    port = match["port"]
    default = port is None or port == _DEFAULT_PORTS.get(match["scheme"])
    return f"{match['scheme']}://{match['host']}" + ("" if default else f":{port}")


def read_scopes(reader: Reader, variable: str, default: str) -> Scopes:
    """Read scopes between spaces."""
    texts = (reader.optional(variable) or default).split()
    scopes = Scopes.granted(texts)
    if not all(map(is_scope, texts)):
        reader.refuse(f"{variable} (scopes, between spaces)")
    elif len(str(scopes)) > MAX_CHARACTERS:
        reader.refuse(f"{variable} (scopes of {MAX_CHARACTERS} characters together at most)")
    return scopes


def read_jwt(reader: Reader, *, local: bool) -> JwtSettings:
    """Read the JWT_ variables; a URL without TLS is for the local stage and this machine."""
    algorithms = reader.choices("JWT_ALGORITHMS", ALGORITHMS, "RS256")
    if "HS256" in algorithms and len(algorithms) > 1:
        # A public key must never be taken for a secret.
        reader.refuse("JWT_ALGORITHMS (HS256 alone, or others)")
    settings = JwtSettings(
        issuer=reader.required("JWT_ISSUER"),
        audiences=reader.items("JWT_AUDIENCE"),
        client_ids=reader.items("JWT_CLIENT_IDS"),
        algorithms=algorithms,
        jwks_url=_jwks_url(reader, local=local),
        keys=reader.optional("JWT_KEYS"),
        secret=reader.optional("JWT_SECRET"),
        token_use=_optional(reader, "JWT_TOKEN_USE", _TOKEN_USE),
        type=_optional(reader, "JWT_TYPE", _MEDIA_TYPE),
        scope_claim=_optional(reader, "JWT_SCOPE_CLAIM", _CLAIM),
        scope_prefix=reader.optional("JWT_SCOPE_PREFIX") or "",
    )
    if not settings.audiences and not settings.client_ids:
        reader.miss("JWT_AUDIENCE or JWT_CLIENT_IDS")
    sources = ("JWT_KEYS", "JWT_KEYS_PARAMETER", "JWT_KEYS_SECRET")
    if settings.jwks_url and (algorithms == ("HS256",) or any(map(reader.optional, sources))):
        reader.refuse("JWT_JWKS_URL (not beside JWT_KEYS or HS256)")
    return settings


def _jwks_url(reader: Reader, *, local: bool) -> str | None:
    url = reader.optional("JWT_JWKS_URL")
    if url is None or _JWKS_URL.fullmatch(url) or (local and _LOCAL_JWKS_URL.fullmatch(url)):
        return url
    reader.refuse("JWT_JWKS_URL (an https URL)")
    return None


def _optional(reader: Reader, variable: str, pattern: re.Pattern[str]) -> str | None:
    return None if reader.optional(variable) is None else reader.matching(variable, pattern)
