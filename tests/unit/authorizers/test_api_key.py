"""API keys: of a form, with a digest, until they end."""

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.authorizers import Principal
from chalicelib.authorizers.api_key import ApiKey, ApiKeyAuthenticator, new_key
from chalicelib.credential_settings import BEARER, Place
from chalicelib.errors import ServiceUnavailable, Unauthorized
from chalicelib.scopes import Scopes
from tests.calls import noted_calls
from tests.factories import NOW, authorizer_request
from tests.fakes import InMemoryKeys

SCOPES = Scopes.parse("connect publish")
TEXT, KEY = new_key("robot", SCOPES, NOW)


def authenticator(key: ApiKey = KEY) -> ApiKeyAuthenticator:
    keys = InMemoryKeys()
    keys.add(key)
    return ApiKeyAuthenticator(keys, (Place("header", "x-api-key"),), 7200)


def reason(text: str, accepter: ApiKeyAuthenticator, after: float = 0) -> str:
    with pytest.raises(Unauthorized) as caught:
        accepter.verify(text, NOW + after)
    return caught.value.reason


def test_a_key_is_its_principal_with_its_scopes() -> None:
    request = authorizer_request(headers=[("X-Api-Key", TEXT)])
    assert authenticator().authenticate(request) == Principal(
        "robot", "api_key", int(NOW) + 7200, SCOPES, {"key": KEY.key_id}
    )


def test_as_a_bearer_token_it_is_the_same() -> None:
    request = authorizer_request(headers=[("Authorization", f"Bearer {TEXT}")])
    assert authenticator().authenticate(request) is None
    bearer = authenticator().as_bearer()
    assert bearer.places == (BEARER,)
    assert bearer.authenticate(request) is not None


@pytest.mark.parametrize(
    "text",
    ["", "abc", "a.b.c", TEXT.removeprefix("pk_"), TEXT.upper()],
    ids=["nothing", "a word", "a token", "no prefix", "in capitals"],  # keys are never the same
)
def test_without_anything_like_a_key_the_next_authenticator_is_asked(text: str) -> None:
    request = authorizer_request(headers=[("x-api-key", text)])
    assert authenticator().authenticate(request) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("pk_", id="a prefix"),
        pytest.param(f"{TEXT}x", id="a letter more"),
        pytest.param(TEXT[:-1], id="a letter less"),
        pytest.param(TEXT[:-1] + ("B" if TEXT[-1] == "A" else "A"), id="another last letter"),
        pytest.param(f"pk_{KEY.key_id}_", id="no secret"),
        pytest.param(f"pk_{KEY.key_id}_{'A' * 43}", id="another secret"),
        pytest.param(f"pk_{'0' * 16}_{TEXT[20:]}", id="an unknown id with a known secret"),
        pytest.param(f"pk_{KEY.key_id.upper()}X_{TEXT[20:]}", id="an id of another form"),
        pytest.param(f"pk_key#{KEY.key_id}_{TEXT[20:]}", id="an id with a prefix"),
        pytest.param(f"{TEXT}\n", id="a new line"),
        pytest.param(f"pk_{KEY.key_id}_{KEY.digest}", id="the digest"),
        pytest.param("pk_" + "x" * 1_000_000, id="a megabyte"),
    ],
)
def test_what_is_not_exactly_the_key_is_refused_for_one_reason(text: str) -> None:
    assert reason(text, authenticator()) == "bad_api_key"


def test_a_revoked_key_is_refused_and_only_its_owner_shows_as_such() -> None:
    revoked = authenticator(replace(KEY, revoked=True))
    assert reason(TEXT, revoked) == "revoked_api_key"
    assert reason(f"pk_{KEY.key_id}_{'A' * 43}", revoked) == "bad_api_key"


def test_a_key_ends_and_so_do_its_connections() -> None:
    ending = authenticator(replace(KEY, expires_at=int(NOW) + 60))
    assert ending.verify(TEXT, NOW).expires_at == int(NOW) + 60
    assert ending.verify(TEXT, NOW + 59.9).expires_at == int(NOW) + 60
    assert reason(TEXT, ending, after=60) == "expired_api_key"


class CountingKeys(InMemoryKeys):
    """Counts how often it is asked."""

    asked = 0

    def get(self, key_id: str) -> ApiKey | None:
        self.asked += 1
        return super().get(key_id)


def test_the_store_is_asked_once_and_not_for_what_can_be_no_key() -> None:
    keys = CountingKeys()
    keys.add(KEY)
    accepter = ApiKeyAuthenticator(keys, (BEARER,), 7200)
    accepter.verify(TEXT, NOW)
    reason(f"pk_{'0' * 16}_{'A' * 43}", accepter)
    assert keys.asked == 2
    reason("pk_'; DROP TABLE keys", accepter)
    assert keys.asked == 2


class BrokenKeys:
    """A store that does not answer."""

    def get(self, key_id: str) -> ApiKey | None:
        raise ServiceUnavailable("no answer")


def test_a_fault_of_the_store_is_neither_an_admission_nor_a_refusal() -> None:
    with pytest.raises(ServiceUnavailable):
        ApiKeyAuthenticator(BrokenKeys(), (BEARER,), 7200).verify(TEXT, NOW)


def test_keys_are_random_and_show_no_secret() -> None:
    made: list[tuple[str, Any]] = [new_key("robot", SCOPES, NOW) for _ in range(100)]
    assert len({text for text, _ in made}) == len({key.key_id for _, key in made}) == 100
    secret = TEXT.split("_", 2)[2]
    assert len(secret) == 43  # 256 bits
    assert secret not in repr(KEY)
    assert KEY.digest not in repr(KEY)


@pytest.mark.parametrize("key_id", [KEY.key_id, "0" * 16], ids=["a key", "no key"])
def test_a_secret_is_compared_in_constant_time_where_there_is_no_such_key_too(key_id: str) -> None:
    with noted_calls() as called, pytest.raises(Unauthorized):
        authenticator().verify(f"pk_{key_id}_{'A' * 43}", NOW)
    assert called.count("compare_digest") == 1
