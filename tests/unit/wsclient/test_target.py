from __future__ import annotations

import pytest

from wsclient import target
from wsclient.errors import WrongInput
from wsclient.target import Target

SECRET = "canary-s3cret"


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:8000/api",
        "wss://abc.execute-api.eu-west-1.amazonaws.com/api/",
        "ws://[::1]:8000/api?a=b",
        "wss://example.com",
    ],
)
def test_urls_of_websocket_apis_are_taken(url: str) -> None:
    assert target.check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hello",
        "http://127.0.0.1:8000/api",
        "ws:///api",
        "ws://host:port/api",
        "ws://host:99999/api",
        "ws://[::1/api",
        f"wss://somebody:{SECRET}@host/api",
        f"wss://host/api#{SECRET}",
        f"wss://host/a pi?token={SECRET}",
        f"wss://host/api\r\nX: {SECRET}",
    ],
)
def test_other_urls_are_wrong_input_that_is_not_repeated(url: str) -> None:
    with pytest.raises(WrongInput) as caught:
        target.check_url(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "attribute", "expected"),
    [
        ("header:token", "headers", (("token", "t"),)),
        ("bearer", "headers", (("Authorization", "Bearer t"),)),
        ("query:token", "query", (("token", "t"),)),
        ("protocol", "subprotocols", ("bearer.t",)),
    ],
)
def test_a_token_goes_where_it_is_wanted(place: str, attribute: str, expected: object) -> None:
    goal = Target("wss://host/api").with_token("t", target.check_place(place))
    assert getattr(goal, attribute) == expected
    others = {"headers", "query", "subprotocols"} - {attribute}
    assert all(getattr(goal, other) == () for other in others)


@pytest.mark.parametrize("place", ["", "cookie", "header:", "header:a b", "header:Host", "query:"])
def test_other_places_are_wrong_input(place: str) -> None:
    with pytest.raises(WrongInput):
        target.check_place(place)


@pytest.mark.parametrize(
    ("token", "place"),
    [
        pytest.param("", "bearer", id="empty"),
        pytest.param(f"{SECRET}\nX-Admin: yes", "header:token", id="a second header"),
        pytest.param(f"{SECRET}é", "bearer", id="not ASCII"),
        pytest.param(f"{SECRET}=", "protocol", id="not a subprotocol"),
    ],
)
def test_a_token_that_cannot_be_carried_is_not_repeated(token: str, place: str) -> None:
    with pytest.raises(WrongInput) as caught:
        target.check_token(token, place)
    assert SECRET not in str(caught.value)


def test_headers_and_queries_are_read() -> None:
    assert target.parse_headers(["A:b", "C: d:e "]) == (("A", "b"), ("C", "d:e"))
    assert target.parse_query(["a=b", "c=d=e", "f="]) == (("a", "b"), ("c", "d=e"), ("f", ""))


@pytest.mark.parametrize(
    "header",
    [
        SECRET,
        f"a b:{SECRET}",
        f":{SECRET}",
        f"Sec-WebSocket-Key:{SECRET}",
        f"Upgrade:{SECRET}",
        f"A:{SECRET}\r\nB: c",
    ],
)
def test_a_wrong_header_is_not_repeated(header: str) -> None:
    with pytest.raises(WrongInput) as caught:
        target.parse_headers([header])
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("query", [SECRET, f"={SECRET}"])
def test_a_wrong_query_is_not_repeated(query: str) -> None:
    with pytest.raises(WrongInput) as caught:
        target.parse_query([query])
    assert SECRET not in str(caught.value)


def test_the_query_is_encoded_and_added_to_what_is_there() -> None:
    goal = Target("wss://host/api?a=b").with_query("to ken", "t&=é")
    assert goal.handshake_url == "wss://host/api?a=b&to+ken=t%26%3D%C3%A9"
    assert Target("wss://host/api").with_query("a", "b").handshake_url == "wss://host/api?a=b"


def test_no_credential_is_in_what_is_shown() -> None:
    goal = Target(f"wss://host/api?t={SECRET}", (("A", SECRET),)).with_query("b", SECRET)
    goal = goal.with_token(SECRET, "protocol")
    assert SECRET not in repr(goal)
    assert goal.shown == "wss://host/api"


@pytest.mark.parametrize(
    ("url", "clear"),
    [
        ("ws://127.0.0.1:8000/api", False),
        ("ws://localhost/api", False),
        ("ws://[::1]/api", False),
        ("wss://example.com/api", False),
        ("ws://example.com/api", True),
        ("ws://127.0.0.1.example.com/api", True),
    ],
)
def test_what_others_can_read_is_known(url: str, clear: bool) -> None:
    assert Target(url).in_the_clear is clear


def test_a_subprotocol_is_one_name() -> None:
    assert target.check_subprotocols(["portcullis"]) == ("portcullis",)
    with pytest.raises(WrongInput):
        target.check_subprotocols(["a, b"])


@pytest.mark.parametrize(
    ("token", "place"),
    [
        (None, "header:token"),
        ("hello", "header:token"),
        (SECRET, "header:token"),
        ("a.b", "header:token"),
        ("a.b.c.d", "header:token"),
        ("a..c", "header:token"),
        ("é.b.c", "header:token"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", "bearer"),
        (f"pk_{'0' * 16}_{'A' * 43}", "bearer"),
        (f"pk_{'0' * 16}_{'A' * 42}", "header:token"),
        (f"pk_{'0' * 16}_{'A' * 43}\n", "header:token"),
    ],
)
def test_a_credential_goes_where_one_of_its_form_is_looked_for(
    token: str | None, place: str
) -> None:
    assert target.usual_place(token) == place
