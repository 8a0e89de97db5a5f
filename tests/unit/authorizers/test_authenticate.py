"""Asking authenticators in turn, and reading what a handshake brought."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.authorizers import AuthorizerRequest, Principal, authenticate, matches
from chalicelib.errors import Unauthorized, UnexpectedEvent
from tests.factories import METHOD_ARN, NOW, authorizer_event, authorizer_request

ALICE = Principal("alice", {})
MAPS = (
    "headers",
    "multiValueHeaders",
    "queryStringParameters",
    "multiValueQueryStringParameters",
    "stageVariables",
)


class Answering:
    """An authenticator that gives one answer, and counts how often it was asked."""

    def __init__(self, answer: Principal | None) -> None:
        self.answer = answer
        self.asked = 0

    def authenticate(self, request: AuthorizerRequest) -> Principal | None:
        self.asked += 1
        return self.answer


class Refusing:
    """An authenticator that knows the credentials, and that they are bad."""

    def authenticate(self, request: AuthorizerRequest) -> Principal | None:
        raise Unauthorized("bad_token")


def test_the_first_authenticator_that_knows_the_credentials_decides() -> None:
    later = Answering(Principal("mallory", {}))
    known = authenticate([Answering(None), Answering(ALICE), later], authorizer_request())
    assert (known, later.asked) == (ALICE, 0)


def test_bad_credentials_are_not_offered_to_the_next_authenticator() -> None:
    later = Answering(ALICE)
    with pytest.raises(Unauthorized, match="bad_token"):
        authenticate([Refusing(), later], authorizer_request())
    assert later.asked == 0


def test_credentials_nobody_knows_are_refused() -> None:
    with pytest.raises(Unauthorized, match="no_credentials"):
        authenticate([Answering(None)], authorizer_request())


def test_without_authenticators_nobody_is_let_in() -> None:
    with pytest.raises(Unauthorized):
        authenticate([], authorizer_request())


@pytest.mark.parametrize("name", ["HeaderAuth1", "headerauth1", "HEADERAUTH1"])
def test_headers_are_found_in_any_case(name: str) -> None:
    assert authorizer_request(headers=[(name, "v")]).header("HeaderAuth1") == "v"


def test_query_parameters_are_found_in_their_own_case_only() -> None:
    request = authorizer_request(query=[("QueryString1", "v")])
    assert request.query_string("QueryString1") == "v"
    assert request.query_string("querystring1") is None


def test_stage_variables_are_found_and_no_header_can_pass_for_one() -> None:
    request = authorizer_request(
        headers=[("StageVar1", "forged")],
        query=[("StageVar1", "forged")],
        stage_variables={"StageVar1": "v"},
    )
    assert request.stage_variable("StageVar1") == "v"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("token", "one"), ("token", "two")], id="the same name"),
        pytest.param([("token", "one"), ("Token", "two")], id="another case"),
    ],
)
def test_a_header_with_two_values_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(Unauthorized, match="repeated_parameter"):
        authorizer_request(headers=headers).header("token")


def test_a_header_twice_with_one_value_is_that_value() -> None:
    assert authorizer_request(headers=[("token", "one"), ("token", "one")]).header("token") == "one"


def test_a_query_parameter_with_two_values_is_refused() -> None:
    with pytest.raises(Unauthorized, match="repeated_parameter"):
        authorizer_request(query=[("q", "one"), ("q", "two")]).query_string("q")


def test_two_maps_that_disagree_are_refused() -> None:
    event = {**authorizer_event(), "headers": {"token": "a"}, "multiValueHeaders": {"Token": ["b"]}}
    with pytest.raises(Unauthorized, match="repeated_parameter"):
        AuthorizerRequest.from_event(event, NOW).header("token")


@pytest.mark.parametrize("junk", [None, "text", 7, [], {"token": None}, {"token": {"a": 1}}])
def test_absent_null_and_junk_maps_hold_no_credentials(junk: object) -> None:
    for event in (
        {"methodArn": METHOD_ARN},
        {"methodArn": METHOD_ARN, **dict.fromkeys(MAPS, junk)},
    ):
        request = AuthorizerRequest.from_event(event, NOW)
        found = (request.header("token"), request.query_string("token"))
        assert (*found, request.stage_variable("token")) == (None, None, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(maps=st.fixed_dictionaries(dict.fromkeys(MAPS, json_values)))
def test_any_event_is_read_without_fault(maps: dict[str, Any]) -> None:
    AuthorizerRequest.from_event({"methodArn": METHOD_ARN, **maps}, NOW)


def test_an_event_without_a_method_arn_is_a_fault_of_ours() -> None:
    with pytest.raises(UnexpectedEvent):
        AuthorizerRequest.from_event({}, NOW)


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        pytest.param("hello", True, id="the same"),
        pytest.param("hello ", False, id="a blank more"),
        pytest.param("Hello", False, id="another case"),
        pytest.param("", False, id="empty"),
        pytest.param(None, False, id="absent"),
        pytest.param("hell\udc00", False, id="not Unicode text"),
        pytest.param("héllo", False, id="non-ASCII"),
    ],
)
def test_credentials_match_only_exactly(given_value: str | None, expected: bool) -> None:
    assert matches(given_value, "hello") is expected
