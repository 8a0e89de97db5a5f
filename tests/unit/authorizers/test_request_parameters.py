"""Request parameters: all of them must be as expected."""

from typing import Any

import pytest

from chalicelib.authorizers import Principal
from chalicelib.authorizers.request_parameters import RequestParameters
from chalicelib.errors import ConfigurationError, Unauthorized
from chalicelib.scopes import Scopes
from chalicelib.secret_values import EARLY_SECONDS, FixedSecret, Secret, StoredSecret, Versions
from tests.factories import NOW, authorizer_request, make_settings
from tests.fakes import Clock, FakeSecretStore

SETTINGS = {
    "authenticators": ("request_parameters",),
    "header_auth_value": "h-value",
    "query_string_value": "q-value",
    "stage_variable_name": "StageVar1",
    "stage_variable_value": "s-value",
}
GOOD: dict[str, Any] = {
    "headers": [("HeaderAuth1", "h-value")],
    "query": [("QueryString1", "q-value")],
    "stage_variables": {"StageVar1": "s-value"},
}
AUTHENTICATOR = RequestParameters.from_settings(make_settings(**SETTINGS))


def test_all_expected_parameters_are_the_principal() -> None:
    assert AUTHENTICATOR.authenticate(authorizer_request(**GOOD)) == Principal(
        "client", "request_parameters", int(NOW) + 7200, Scopes.parse("connect sendmessage")
    )


def test_the_header_is_found_in_any_case() -> None:
    request = authorizer_request(**{**GOOD, "headers": [("headerauth1", "h-value")]})
    assert AUTHENTICATOR.authenticate(request) is not None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"headers": [("HeaderAuth1", "other")]}, id="another header value"),
        pytest.param({"headers": []}, id="no header"),
        pytest.param({"query": [("QueryString1", "other")]}, id="another query value"),
        pytest.param({"query": [("querystring1", "q-value")]}, id="the query in another case"),
        pytest.param({"query": []}, id="no query"),
        pytest.param({"stage_variables": {"StageVar1": "other"}}, id="another stage variable"),
        pytest.param({"stage_variables": {}}, id="no stage variable"),
    ],
)
def test_one_that_is_missing_or_different_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthorized, match="bad_request_parameters"):
        AUTHENTICATOR.authenticate(authorizer_request(**{**GOOD, **changes}))


def test_without_both_parameters_the_next_authenticator_is_asked() -> None:
    request = authorizer_request(**{**GOOD, "headers": [], "query": []})
    assert AUTHENTICATOR.authenticate(request) is None


def test_where_no_stage_variable_is_configured_none_is_asked_for() -> None:
    unconfigured = {**SETTINGS, "stage_variable_name": None, "stage_variable_value": None}
    authenticator = RequestParameters.from_settings(make_settings(**unconfigured))
    request = authorizer_request(**{**GOOD, "stage_variables": {}})
    assert authenticator.authenticate(request) is not None


def test_the_context_says_when_demonstration_values_were_used() -> None:
    settings = make_settings(**{**SETTINGS, "header_auth_value": "headerValue1"})
    request = authorizer_request(**{**GOOD, "headers": [("HeaderAuth1", "headerValue1")]})
    principal = RequestParameters.from_settings(settings).authenticate(request)
    assert principal is not None
    assert principal.demonstration is True


@pytest.mark.parametrize(
    ("value", "variable"),
    [
        ("header_auth_value", "HEADER_AUTH_VALUE"),
        ("query_string_value", "QUERY_STRING_VALUE"),
        ("stage_variable_value", "STAGE_VARIABLE_VALUE"),
    ],
)
def test_where_an_expected_value_is_unknown_nobody_can_be_let_in(value: str, variable: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        RequestParameters.from_settings(make_settings(**{**SETTINGS, value: None}))


def test_expected_values_are_not_shown() -> None:
    assert "-value" not in repr(AUTHENTICATOR)


class Stored:
    """An authenticator whose header and query values are stored, each in a store of its own."""

    def __init__(self) -> None:
        self.clock = Clock(NOW)
        self.stores = {
            "HEADER_AUTH_VALUE": FakeSecretStore(Versions("h-value")),
            "QUERY_STRING_VALUE": FakeSecretStore(Versions("q-value")),
        }
        secrets: dict[str, Secret] = {
            name: StoredSecret(name, store.fetch, self.clock, cache_seconds=300)
            for name, store in self.stores.items()
        }
        secrets["STAGE_VARIABLE_VALUE"] = FixedSecret("s-value")
        self.authenticator = RequestParameters.from_settings(
            make_settings(**SETTINGS), lambda variable, value: secrets[variable]
        )

    def admits(self, **changes: Any) -> bool:
        try:
            request = authorizer_request(**{**GOOD, **changes})
            return self.authenticator.authenticate(request) is not None
        except Unauthorized:
            return False

    def fetches(self) -> list[int]:
        return [store.fetches for store in self.stores.values()]


def test_a_value_that_was_just_rotated_is_let_in_before_the_cache_ends() -> None:
    stored = Stored()
    assert stored.admits()
    stored.stores["QUERY_STRING_VALUE"].holds = Versions("q-new", "q-value", NOW + 3600)
    stored.clock.sleep(EARLY_SECONDS)
    assert stored.admits(query=[("QueryString1", "q-new")])
    assert stored.admits()


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"headers": [("HeaderAuth1", "other")]}, id="the header"),
        pytest.param({"query": [("QueryString1", "other")]}, id="the query"),
        pytest.param({"stage_variables": {"StageVar1": "other"}}, id="the stage variable"),
    ],
)
def test_what_is_fetched_does_not_tell_which_value_was_wrong(wrong: dict[str, Any]) -> None:
    stored = Stored()
    assert stored.admits()
    stored.clock.sleep(EARLY_SECONDS)
    assert not stored.admits(**wrong)
    assert stored.fetches() == [2, 2]


def test_nothing_is_fetched_for_a_client_that_left_one_out() -> None:
    stored = Stored()
    assert not stored.admits(query=[])
    assert stored.fetches() == [0, 0]
