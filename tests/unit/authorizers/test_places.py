"""Where a credential may be, and nowhere else."""

from typing import Any

import pytest

from chalicelib.authorizers.places import find_credential, find_credentials
from chalicelib.credential_settings import BEARER, Place
from chalicelib.errors import Unauthorized
from tests.factories import authorizer_request

HEADER, QUERY, PROTOCOL = Place("header", "X-Key"), Place("query", "jwt"), Place("protocol")
SUBPROTOCOLS = "Sec-WebSocket-Protocol"


@pytest.mark.parametrize(
    ("place", "handshake"),
    [
        pytest.param(BEARER, {"headers": [("Authorization", "Bearer abc")]}, id="bearer"),
        pytest.param(BEARER, {"headers": [("authorization", "bEARER  abc ")]}, id="another case"),
        pytest.param(HEADER, {"headers": [("x-key", "abc")]}, id="a header"),
        pytest.param(QUERY, {"query": [("jwt", "abc")]}, id="the query"),
        pytest.param(
            PROTOCOL, {"headers": [(SUBPROTOCOLS, "portcullis, bearer.abc")]}, id="a subprotocol"
        ),
        pytest.param(
            PROTOCOL,
            {"headers": [(SUBPROTOCOLS, "portcullis"), (SUBPROTOCOLS, "bearer.abc")]},
            id="a subprotocol in a line of its own",
        ),
    ],
)
def test_a_credential_is_found_in_its_place_only(place: Place, handshake: dict[str, Any]) -> None:
    request = authorizer_request(**handshake)
    assert find_credentials([place], request) == ["abc"]
    others = [other for other in (BEARER, HEADER, QUERY, PROTOCOL) if other != place]
    assert find_credentials(others, request) == []


@pytest.mark.parametrize(
    "handshake",
    [
        pytest.param({"headers": [("Authorization", "abc")]}, id="no scheme"),
        pytest.param({"headers": [("Authorization", "Basic abc")]}, id="another scheme"),
        pytest.param({"headers": [("Authorization", "Bearer\tabc")]}, id="a tab"),
        pytest.param({"headers": [("Authorization", "Bearer,abc")]}, id="a comma"),
        pytest.param({"headers": [("Authorization", "BearerToken abc")]}, id="a longer scheme"),
        pytest.param({"headers": [(SUBPROTOCOLS, "portcullis")]}, id="the protocol alone"),
        pytest.param({"headers": [(SUBPROTOCOLS, "Bearer.abc")]}, id="a subprotocol's case"),
        pytest.param({"headers": [(SUBPROTOCOLS, "")]}, id="no subprotocol"),
        pytest.param({"query": [("JWT", "abc")]}, id="the query's case"),
        pytest.param({"headers": [("Cookie", "jwt=abc")]}, id="a cookie"),
    ],
)
def test_nothing_is_found_in_what_is_no_credential(handshake: dict[str, Any]) -> None:
    places = [BEARER, HEADER, QUERY, PROTOCOL]
    assert find_credentials(places, authorizer_request(**handshake)) == []


@pytest.mark.parametrize(
    "handshake",
    [
        {"headers": [("Authorization", "Bearer a"), ("Authorization", "Bearer b")]},
        {"headers": [("X-Key", "a"), ("X-Key", "b")]},
        {"query": [("jwt", "a"), ("jwt", "b")]},
        {"headers": [(SUBPROTOCOLS, "bearer.a, bearer.b")]},
    ],
)
def test_two_credentials_in_one_place_are_refused(handshake: dict[str, Any]) -> None:
    with pytest.raises(Unauthorized, match="repeated_parameter"):
        find_credentials([BEARER, HEADER, QUERY, PROTOCOL], authorizer_request(**handshake))


def test_the_first_place_that_has_one_of_a_kind_counts() -> None:
    request = authorizer_request(
        headers=[("Authorization", "Bearer pk_1"), ("X-Key", "a.b.c")], query=[("jwt", "d.e.f")]
    )
    assert find_credential([BEARER, QUERY, HEADER], request, lambda it: "." in it) == "d.e.f"
    assert find_credential([BEARER, QUERY], request, lambda it: it.startswith("pk_")) == "pk_1"
    assert find_credential([BEARER], request, lambda it: "." in it) is None
