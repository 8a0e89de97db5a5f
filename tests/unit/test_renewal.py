"""A connection shows a new credential, and lives on or stays as it is."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from chalicelib.authorizers import Authenticator
from chalicelib.authorizers.api_key import ApiKeyAuthenticator, new_key
from chalicelib.authorizers.jwt import JwtAuthenticator
from chalicelib.authorizers.jwt_keys import PinnedKeys
from chalicelib.authorizers.shared_token import SharedToken
from chalicelib.credential_settings import BEARER, JwtSettings
from chalicelib.endings import Closing, Ended
from chalicelib.errors import ClientError
from chalicelib.renewal import Renewal
from chalicelib.scopes import Scopes
from chalicelib.secret_values import literal
from chalicelib.settings import Settings
from tests.factories import CONNECTION_ID, NOW, make_connection, make_settings
from tests.fakes import Clock, InMemoryConnectionRepository, InMemoryKeys, InMemoryRevocations
from tests.forged_tokens import forged_tokens
from tests.tokens import AUDIENCE, ISSUER, claims, key_set, sign

KEY, KEPT = new_key("alice", Scopes.parse("connect"), NOW)
JWT = JwtSettings(ISSUER, (AUDIENCE,), keys=json.dumps(key_set()), scope_claim="scope")


class Renewing:
    """A connection of alice that has a minute left, and what renews it."""

    def __init__(self) -> None:
        self.connections = InMemoryConnectionRepository()
        self.revocations = InMemoryRevocations()
        self.clock = Clock(NOW)
        self.connection = make_connection(expires_at=int(NOW) + 60)
        self.connections.add(self.connection)
        keys = InMemoryKeys()
        keys.add(KEPT)
        settings: Settings = make_settings(principal_id="alice", shared_token="s3cret")
        pinned = PinnedKeys(literal("JWT_KEYS", JWT.keys), JWT.algorithms)
        self.authenticators: list[Authenticator] = [
            JwtAuthenticator(JWT, pinned, (BEARER,), settings.default_scopes, 7200),
            ApiKeyAuthenticator(keys, (BEARER,), 7200),
            SharedToken.from_settings(settings).as_bearer(),
        ]
        self.renewal = Renewal(
            lambda: self.authenticators, self.connections, self.revocations, self.clock
        )

    def renew(self, credential: str) -> int:
        return self.renewal.renew(self.connection, credential)

    def refusal(self, credential: str) -> ClientError:
        """Return why it is refused; the connection must be as it was."""
        before = self.connections.get(CONNECTION_ID, -1)
        with pytest.raises(ClientError) as caught:
            self.renew(credential)
        assert self.connections.get(CONNECTION_ID, -1) == before
        return caught.value


@pytest.fixture
def it() -> Renewing:
    return Renewing()


def token(**changes: Any) -> str:
    return sign(claims(**{"scope": "connect", **changes}))


@pytest.mark.parametrize("credential", [token(), KEY, "s3cret"], ids=["jwt", "key", "shared"])
def test_any_bearer_credential_of_the_same_principal_renews(it: Renewing, credential: str) -> None:
    expires_at = it.renew(credential)
    renewed = it.connections.get(CONNECTION_ID, NOW)
    assert renewed is not None
    assert renewed.expires_at == expires_at > NOW + 60
    assert credential not in repr(renewed)


def test_what_it_may_do_is_what_the_new_credential_says(it: Renewing) -> None:
    it.renew(token(scope="connect join:channel:news other", jti="abc"))
    context = renewed_context(it)
    assert context["scopes"] == "connect join:channel:news"
    assert context["issuedAt"] == str(int(NOW) - 60)
    assert (context["token"], context["jti"]) == ("jwt", "abc")


def renewed_context(it: Renewing) -> Mapping[str, str]:
    renewed = it.connections.get(CONNECTION_ID, NOW)
    assert renewed is not None
    assert all(isinstance(value, str) for value in renewed.context.values())
    return renewed.context


def test_another_principals_credential_changes_nothing(it: Renewing) -> None:
    assert it.refusal(token(sub="bob")).code == "other_principal"


def test_a_credential_that_may_not_connect_changes_nothing(it: Renewing) -> None:
    assert it.refusal(token(scope="sendmessage")).code == "missing_scope"


BAD = {"nothing": "", "a word": "hello", "another key": f"pk_{'0' * 16}_{'A' * 43}"}


@pytest.mark.parametrize("bad", (forged_tokens() | BAD).values(), ids=forged_tokens() | BAD)
def test_a_bad_credential_changes_nothing_and_is_told_nothing(it: Renewing, bad: str) -> None:
    refusal = it.refusal(bad)
    assert refusal.code == "bad_credential"
    assert refusal.message == "This credential is not accepted."
    assert bad == "" or bad not in f"{refusal.reason} {refusal.details}"


def test_a_credential_from_before_a_revocation_changes_nothing(it: Renewing) -> None:
    it.revocations.revoke("alice", int(NOW) - 60)
    for revoked in (token(), KEY, "s3cret"):
        assert it.refusal(revoked).code == "bad_credential"
    assert it.renew(token(iat=NOW - 59)) == int(NOW) + 600


@pytest.mark.parametrize("late", [0, 1, 600])
def test_once_expired_nothing_renews(it: Renewing, late: int) -> None:
    it.clock.now = it.connection.expires_at + late
    refusal = it.refusal(token(exp=it.clock.now + 600))
    assert isinstance(refusal, Ended)
    assert refusal.closing is Closing.EXPIRED


def test_once_revoked_nothing_renews(it: Renewing) -> None:
    it.connections.expire(CONNECTION_ID, "alice")
    assert isinstance(it.refusal(token()), Ended)
