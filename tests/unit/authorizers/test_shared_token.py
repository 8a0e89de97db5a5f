"""The shared token: the right one, and nothing else."""

import pytest

from chalicelib.authorizers import AuthorizerRequest, Principal
from chalicelib.authorizers.shared_token import SharedToken
from chalicelib.errors import (
    ConfigurationError,
    PortcullisError,
    ServiceUnavailable,
    Unauthorized,
)
from chalicelib.scopes import Scopes
from chalicelib.secret_values import EARLY_SECONDS, StoredSecret, Versions
from tests.factories import NOW, authorizer_request, make_settings
from tests.fakes import Clock, FakeSecretStore

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


@pytest.mark.parametrize("headers", [[], [("Authorization", f"Bearer {SECRET}")]])
def test_without_the_header_the_next_authenticator_is_asked(headers: list[tuple[str, str]]) -> None:
    request = authorizer_request(headers=headers, query=[("token", SECRET)])
    assert AUTHENTICATOR.authenticate(request) is None


def test_as_a_bearer_token_another_one_may_be_of_another_kind() -> None:
    authenticator = SharedToken.from_settings(make_settings(shared_token=SECRET)).as_bearer()
    assert authenticator.authenticate(AuthorizerRequest.from_token(f"Bearer {SECRET}", NOW))
    for token in (SECRET, "Bearer other", "Bearer ", "Basic b3RoZXI="):
        assert authenticator.authenticate(AuthorizerRequest.from_token(token, NOW)) is None


@pytest.mark.parametrize(
    "token", ["", "hello", f"{SECRET} ", SECRET.upper(), SECRET[:-1], f"{SECRET},{SECRET}"]
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


class Rotated:
    """An authenticator whose token is stored, what its store holds, and the time."""

    def __init__(self, holds: Versions | PortcullisError) -> None:
        self.store = FakeSecretStore(holds)
        self.clock = Clock(NOW)
        secret = StoredSecret("SHARED_TOKEN", self.store.fetch, self.clock, cache_seconds=300)
        self.authenticator = SharedToken.from_settings(
            make_settings(shared_token=None), lambda variable, value: secret
        )

    def admits(self, token: str) -> bool:
        try:
            request = authorizer_request(headers=[("token", token)])
            return self.authenticator.authenticate(request) is not None
        except Unauthorized:
            return False


def test_the_current_and_the_previous_token_are_let_in_and_no_older_one() -> None:
    rotated = Rotated(Versions(SECRET, "previous", NOW + 10))
    assert [rotated.admits(token) for token in (SECRET, "previous", "older")] == [True, True, False]
    rotated.clock.sleep(10)
    assert [rotated.admits(token) for token in (SECRET, "previous")] == [True, False]


def test_a_token_that_was_just_rotated_is_let_in_before_the_cache_ends() -> None:
    rotated = Rotated(Versions("previous"))
    assert not rotated.admits(SECRET)
    rotated.store.holds = Versions(SECRET, "previous", NOW + 3600)
    rotated.clock.sleep(EARLY_SECONDS)
    assert rotated.admits(SECRET)
    assert rotated.admits("previous")


def test_wrong_tokens_make_no_storm_of_fetches() -> None:
    rotated = Rotated(Versions(SECRET))
    for number in range(100):
        assert not rotated.admits(f"wrong-{number}")
        rotated.clock.sleep(1)
    assert rotated.store.fetches == 4


@pytest.mark.parametrize(
    "fault", [ServiceUnavailable("silent"), ConfigurationError("no such parameter")]
)
@pytest.mark.parametrize("token", ["", "anything", SECRET])
def test_a_fault_of_the_store_is_neither_an_admission_nor_a_refusal(
    fault: PortcullisError, token: str
) -> None:
    with pytest.raises(type(fault)):
        Rotated(fault).admits(token)


def test_a_client_without_a_token_does_not_make_the_store_be_asked() -> None:
    rotated = Rotated(ServiceUnavailable("silent"))
    assert rotated.authenticator.authenticate(authorizer_request()) is None
    assert rotated.store.fetches == 0
