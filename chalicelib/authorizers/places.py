"""Where a client may put a credential that has a form of its own: a JWT, an API key."""

from collections.abc import Callable, Mapping, Sequence

from chalicelib.authorizers import AuthorizerRequest, single
from chalicelib.credential_settings import Place

SUBPROTOCOL_HEADER = "Sec-WebSocket-Protocol"
PROTOCOL_PREFIX = "bearer."
"""Of the subprotocol a browser offers its credential as, beside the application's own."""


def find_credentials(places: Sequence[Place], request: AuthorizerRequest) -> list[str]:
    """Return what is in these places, in their order; Unauthorized where one holds two."""
    found = (_FINDERS[place.kind](request, place.name) for place in places)
    return [credential for credential in found if credential is not None]


def find_credential(
    places: Sequence[Place], request: AuthorizerRequest, is_mine: Callable[[str], bool]
) -> str | None:
    """Return the first credential of a kind."""
    return next(filter(is_mine, find_credentials(places, request)), None)


def answered_protocol(request: AuthorizerRequest, ours: str) -> dict[str, str]:
    """Return the header that accepts the application's protocol, never one that is a credential."""
    return {SUBPROTOCOL_HEADER: ours} if ours in request.header_list(SUBPROTOCOL_HEADER) else {}


def _bearer(request: AuthorizerRequest, _: str) -> str | None:
    # The scheme in any case: https://www.rfc-editor.org/rfc/rfc9110#section-11.1
    scheme, _, credential = (request.header("Authorization") or "").partition(" ")
    return credential.strip(" ") if scheme.lower() == "bearer" else None


def _protocol(request: AuthorizerRequest, _: str) -> str | None:
    offered = request.header_list(SUBPROTOCOL_HEADER)
    credentials = [text for text in offered if text.startswith(PROTOCOL_PREFIX)]
    credential = single(credentials)
    return None if credential is None else credential.removeprefix(PROTOCOL_PREFIX)


_FINDERS: Mapping[str, Callable[[AuthorizerRequest, str], str | None]] = {
    "bearer": _bearer,
    "header": AuthorizerRequest.header,
    "query": AuthorizerRequest.query_string,
    "protocol": _protocol,
}
