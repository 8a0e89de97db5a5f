"""The shared token: the right one, and nothing else."""

import pytest

from chalicelib.authorizers import AuthorizerRequest, Principal
from chalicelib.authorizers.shared_token import SharedToken
from chalicelib.credential_settings import BEARER
from chalicelib.errors import ConfigurationError, Unauthorized
from chalicelib.scopes import Scopes
from tests.factories import NOW, authorizer_request, make_settings

SECRET = "c0rrect-horse-battery"
AUTHENTICATOR = SharedToken.from_settings(
    make_settings(shared_token=SECRET, principal_id="device", connection_ttl=60)
)


@pytest.mark.parametrize("header", ["token", "Token", "TOKEN"])
def test_the_expected_token_is_the_principal(header: str) -> None:
    request = authorizer_request(headers=[(header, SECRET)])
    assert AUTHENTICATOR.authenticate(request) == Principal(
        "device", "shared_token", int(NOW) + 60, Scopes.parse("connect sendmessage")
    )


def test_the_context_says_when_the_demonstration_token_was_used() -> None:
    authenticator = SharedToken.from_settings(make_settings(shared_token="hello"))
    principal = authenticator.authenticate(authorizer_request(headers=[("token", "hello")]))
    assert principal is not None
    assert principal.context() == {
        "token": "shared_token",
        "expiresAt": int(NOW) + 7200,
        "demonstration": True,
        "scopes": "connect sendmessage",
    }


@pytest.mark.parametrize("headers", [[], [("token", "")], [("Authorization", f"Bearer {SECRET}")]])
def test_without_the_header_the_next_authenticator_is_asked(headers: list[tuple[str, str]]) -> None:
    request = authorizer_request(headers=headers, query=[("token", SECRET)])
    assert AUTHENTICATOR.authenticate(request) is None


def test_as_a_bearer_token_another_one_may_be_of_another_kind() -> None:
    authenticator = SharedToken.from_settings(make_settings(shared_token=SECRET), BEARER)
    assert authenticator.authenticate(AuthorizerRequest.from_token(f"Bearer {SECRET}", NOW))
    for token in (SECRET, "Bearer other", "Bearer ", "Basic b3RoZXI="):
        assert authenticator.authenticate(AuthorizerRequest.from_token(token, NOW)) is None


@pytest.mark.parametrize(
    "token", ["hello", f"{SECRET} ", SECRET.upper(), SECRET[:-1], f"{SECRET},{SECRET}"]
)
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized, match="bad_token"):
        AUTHENTICATOR.authenticate(authorizer_request(headers=[("token", token)]))


def test_neither_token_is_repeated() -> None:
    with pytest.raises(Unauthorized) as caught:
        AUTHENTICATOR.authenticate(authorizer_request(headers=[("token", "wr0ng-horse")]))
    assert "wr0ng-horse" not in repr(caught.value)
    assert SECRET not in repr(AUTHENTICATOR)


def test_where_the_token_is_unknown_nobody_can_be_let_in() -> None:
    with pytest.raises(ConfigurationError, match="SHARED_TOKEN"):
        SharedToken.from_settings(make_settings(shared_token=None))
