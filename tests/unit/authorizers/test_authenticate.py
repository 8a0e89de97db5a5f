"""Asking authenticators in turn, and reading what a handshake brought."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.authorizers import (
    AuthorizerRequest,
    Principal,
    accepts,
    admit,
    authenticate,
    matches,
)
from chalicelib.errors import Forbidden, Unauthorized
from chalicelib.principals import is_principal_id
from chalicelib.scopes import Scopes
from tests.calls import noted_calls
from tests.factories import METHOD_ARN, NOW, authorizer_event, authorizer_request
from tests.origins import FOREIGN, NEAR_SEVERAL, ORIGIN, SEVERAL

ALICE = Principal("alice", "test", int(NOW) + 60, Scopes.parse("connect"))
MALLORY = Principal("mallory", "test", int(NOW) + 60, Scopes.parse("connect"))
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

    def as_bearer(self) -> None: ...


class Refusing:
    """An authenticator that knows the credentials, and that they are bad."""

    def authenticate(self, request: AuthorizerRequest) -> Principal | None:
        raise Unauthorized("bad_token")

    def as_bearer(self) -> None: ...


def test_the_first_authenticator_that_knows_the_credentials_decides() -> None:
    later = Answering(MALLORY)
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


def test_credentials_are_compared_in_constant_time() -> None:
    """A clock would tell this less surely than a look at who compares."""
    for text in ("hello", "hallo", "", "a much longer one"):
        with noted_calls() as called:
            matches(text, "hello")
        assert "compare_digest" in called


class Noted:
    """A secret that notes when it was compared with."""

    def __init__(self, compared: list[str], *values: str) -> None:
        self._compared = compared
        self._values = values

    def values(self) -> tuple[str, ...]:
        self._compared.extend(self._values)
        return self._values


@pytest.mark.parametrize(
    ("shown", "accepted"),
    [(("a", "c"), True), (("b", "c"), True), (("x", "c"), False), (("a", "x"), False)],
)
def test_every_secret_is_compared_whatever_came_of_the_others(
    shown: tuple[str, str], accepted: bool
) -> None:
    compared: list[str] = []
    secrets = (Noted(compared, "a", "b"), Noted(compared, "c"))
    with noted_calls() as called:
        assert accepts(list(zip(secrets, shown, strict=True))) is accepted
    assert compared == ["a", "b", "c"]
    assert called.count("compare_digest") == 3


@pytest.mark.parametrize("demonstration", [True, False])
def test_a_principal_is_read_as_its_context_was_written(demonstration: bool) -> None:
    carol = replace(ALICE, demonstration=demonstration, issued_at=int(NOW), details={"jti": "7"})
    told = {"principalId": carol.principal_id, **carol.context_texts()}
    assert Principal.from_context(told) == carol
    assert Principal.from_context({**carol.context(), "principalId": "alice"}) == carol


ORIGINS = frozenset({ORIGIN})


def origin(text: str | None) -> AuthorizerRequest:
    return authorizer_request(headers=[] if text is None else [("Origin", text)])


def test_a_page_of_an_allowed_origin_and_a_client_that_is_no_browser_are_let_in() -> None:
    assert admit([Answering(ALICE)], ORIGINS, origin("https://app.example.com")) == ALICE
    assert admit([Answering(ALICE)], ORIGINS, origin(None)) == ALICE


def test_without_a_list_every_origin_is_let_in() -> None:
    assert admit([Answering(ALICE)], None, origin("https://evil.example")) == ALICE


def test_an_empty_list_lets_in_no_browser_at_all() -> None:
    with pytest.raises(Forbidden, match="origin_not_allowed"):
        admit([Answering(ALICE)], frozenset(), origin("https://app.example.com"))


@pytest.mark.parametrize("name", FOREIGN)
def test_a_page_of_any_other_origin_is_forbidden_though_its_user_is_known(name: str) -> None:
    with pytest.raises(Forbidden, match="origin_not_allowed") as caught:
        admit([Answering(ALICE)], ORIGINS, origin(FOREIGN[name]))
    assert caught.value.principal_id == "alice"


@pytest.mark.parametrize("text", SEVERAL)
def test_each_origin_of_a_list_is_let_in_and_only_on_that_list(text: str) -> None:
    assert admit([Answering(ALICE)], frozenset(SEVERAL), origin(text)) == ALICE
    with pytest.raises(Forbidden, match="origin_not_allowed"):
        admit([Answering(ALICE)], frozenset(SEVERAL) - {text}, origin(text))


@pytest.mark.parametrize("name", NEAR_SEVERAL)
def test_what_is_near_an_origin_of_a_list_is_forbidden(name: str) -> None:
    with pytest.raises(Forbidden, match="origin_not_allowed"):
        admit([Answering(ALICE)], frozenset(SEVERAL), origin(NEAR_SEVERAL[name]))


@pytest.mark.parametrize("other", ["https://evil.example", "null", ""])
@pytest.mark.parametrize("allowed", [ORIGINS, None])
def test_two_origins_are_refused_with_a_list_and_without(
    other: str, allowed: frozenset[str] | None
) -> None:
    for pair in ((ORIGIN, other), (other, ORIGIN)):
        headers = [("Origin", pair[0]), ("origin", pair[1])]
        with pytest.raises(Unauthorized, match="repeated_parameter"):
            admit([Answering(ALICE)], allowed, authorizer_request(headers=headers))


def test_bad_credentials_are_unauthorized_whatever_the_origin() -> None:
    with pytest.raises(Unauthorized, match="bad_token"):
        admit([Refusing()], ORIGINS, origin("https://evil.example"))


@pytest.mark.parametrize("scopes", ["", "sendmessage", "admin publish join:*"])
def test_a_principal_without_the_scope_to_connect_is_forbidden(scopes: str) -> None:
    bob = Principal("bob", "test", int(NOW) + 60, Scopes.parse(scopes))
    with pytest.raises(Forbidden, match="missing_scope"):
        admit([Answering(bob)], None, authorizer_request())


def test_a_token_event_has_its_credential_and_nothing_else() -> None:
    request = AuthorizerRequest.from_token("Bearer abc", NOW)
    assert request.header("Authorization") == "Bearer abc"
    assert (request.query, request.stage_variables) == ({}, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("alice", True, id="a name"),
        pytest.param("auth0|5f7c8ec7c33c6c004bbafe82", True, id="a name of an issuer"),
        pytest.param("Zoë 日本", True, id="a name with letters of the world"),
        pytest.param("a" * 128, True, id="as long as can be"),
        pytest.param("a" * 129, False, id="too long"),
        pytest.param("", False, id="empty"),
        pytest.param(f"pk_{'0' * 16}_{'s' * 43}", False, id="an API key"),
        pytest.param(f"pk_{'0' * 16}_{'s' * 42}", False, id="an API key without its end"),
        pytest.param(f"pk_{'0' * 16}", True, id="the id of an API key"),
        pytest.param("eyJhbGciOiJub25lIn0.e30.", False, id="a token"),
        pytest.param("Bearer eyJhbGciOiJub25lIn0.e30.c2ln", False, id="a token with its scheme"),
        pytest.param("eyJane.doe.smith", True, id="nearly a token"),
        pytest.param("a\nb", False, id="a new line"),
        pytest.param("a\0", False, id="a zero"),
        pytest.param("a\x7f", False, id="delete"),
        pytest.param("a\x85", False, id="a C1 control"),
        pytest.param("a\u2028b", False, id="a line separator"),
        pytest.param("a\u202eb", False, id="right to left from here"),
        pytest.param("a\udc00", False, id="half a character"),
        pytest.param(7, False, id="a number"),
        pytest.param(None, False, id="none"),
        pytest.param(["alice"], False, id="a list"),
    ],
)
def test_what_can_name_a_principal(text: object, expected: bool) -> None:
    assert is_principal_id(text) is expected
