"""Keys over HTTP: who may make which, what is said of them, and what never is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.authorizers import Principal
from chalicelib.authorizers.api_key import ApiKey, ApiKeyAuthenticator, new_key
from chalicelib.credential_settings import BEARER
from chalicelib.errors import ClientError, Forbidden, PortcullisError, Unauthorized
from chalicelib.http_answers import Answer
from chalicelib.http_keys import KeyKeeper
from chalicelib.http_requests import Call
from chalicelib.managed_keys import MAX_DAYS, every_key
from chalicelib.revocation import is_kept_out
from chalicelib.scopes import MAX_CHARACTERS, Scopes
from tests.factories import NOW
from tests.fakes import Clock, InMemoryKeys, InMemoryRevocations

HELD = "admin:keys connect publish join:channel:team-*"
OPERATOR = Principal("operator", "jwt", int(NOW) + 60, Scopes.parse(HELD), issued_at=int(NOW))


class Office:
    """A keeper of keys, and what is behind it."""

    def __init__(self, keys: InMemoryKeys | None = None) -> None:
        self.keys = keys or InMemoryKeys()
        self.revocations = InMemoryRevocations()
        self.keeper = KeyKeeper(self.keys, self.is_revoked, Clock(NOW))

    def is_revoked(self, principal: Principal) -> bool:
        not_before = self.revocations.not_before(principal.principal_id)
        return is_kept_out(not_before, principal.context())

    def create(
        self, body: Any = None, maker: Principal | None = OPERATOR, **headers: str
    ) -> Answer:
        wanted = {"principal": "robot", "scopes": ["connect"]} if body is None else body
        call = Call("POST/keys", maker, json.dumps(wanted).encode(), headers)
        return self.keeper.create(call)

    def list(self, **query: str) -> Answer:
        given = {name: (value,) for name, value in query.items()}
        return self.keeper.list(Call("GET/keys", OPERATOR, query=given))

    def revoke(self, key_id: str) -> Answer:
        return self.keeper.revoke(Call("DELETE/keys/*", OPERATOR, path={"key_id": key_id}))


def code(ask: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as refused:
        ask()
    return refused.value.code


def test_a_key_is_shown_once_and_speaks_for_whom_it_was_made() -> None:
    office = Office()
    wanted = {"principal": "robot", "scopes": ["publish", "connect"], "days": 2}
    answer = office.create(wanted)
    assert (answer.status, answer.headers) == (201, {"Cache-Control": "no-store"})
    key = answer.body["key"]
    principal = ApiKeyAuthenticator(office.keys, (BEARER,), 7200).verify(key, NOW)
    assert (principal.principal_id, str(principal.scopes)) == ("robot", "connect publish")
    told = {
        "keyId": principal.details["key"],
        "principal": "robot",
        "scopes": ["connect", "publish"],
        "createdAt": int(NOW),
        "expiresAt": int(NOW) + 2 * 86_400,
        "createdBy": "operator",
        "revoked": False,
    }
    assert answer.body == {"key": key, **told}
    assert answer.about == {"of": "robot", "key": told["keyId"]}
    listed = office.list()
    assert (listed.body, listed.headers) == ({"keys": [told]}, {"Cache-Control": "no-store"})


def test_a_key_without_days_has_no_end() -> None:
    assert Office().create().body["expiresAt"] is None


@pytest.mark.parametrize(
    "scopes",
    [
        ["connect", "publish"],
        ["join:channel:team-7"],
        ["join:channel:team-7*"],
        ["admin:keys"],
        ["connect", "connect"],
    ],
)
def test_a_maker_may_hand_out_what_it_holds(scopes: list[str]) -> None:
    answer = Office().create({"principal": "robot", "scopes": scopes})
    assert answer.body["scopes"] == sorted(set(scopes))


@pytest.mark.parametrize(
    "scopes",
    [
        ["sendmessage"],
        ["connect", "admin"],
        ["join:channel:*"],
        ["join:channel:news"],
        ["join:*"],
        ["sendmessage:*"],
    ],
)
def test_nobody_makes_a_key_with_a_scope_that_is_not_its_own(scopes: list[str]) -> None:
    office = Office()
    assert code(lambda: office.create({"principal": "robot", "scopes": scopes})) == "forbidden"
    assert list(every_key(office.keys)) == []


@pytest.mark.parametrize(
    ("maker", "problem"),
    [
        (None, Unauthorized),
        (replace(OPERATOR, expires_at=int(NOW)), Unauthorized),
        (replace(OPERATOR, scopes=Scopes.parse("admin connect publish")), Forbidden),
    ],
)
def test_who_may_not_make_keys_makes_none(
    maker: Principal | None, problem: type[PortcullisError]
) -> None:
    office = Office()
    with pytest.raises(problem):
        office.create(maker=maker)
    assert list(every_key(office.keys)) == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], "not_an_object"),
        ({"scopes": ["connect"]}, "missing_field"),
        ({"principal": "robot"}, "missing_field"),
        ({"principal": "robot", "scopes": ["connect"], "key": "pk_1"}, "unknown_field"),
        ({"principal": "", "scopes": ["connect"]}, "invalid_field"),
        ({"principal": "a" * 129, "scopes": ["connect"]}, "invalid_field"),
        ({"principal": "a\nb", "scopes": ["connect"]}, "invalid_field"),
        ({"principal": 7, "scopes": ["connect"]}, "invalid_field"),
        ({"principal": "robot", "scopes": "connect"}, "invalid_field"),
        ({"principal": "robot", "scopes": []}, "invalid_field"),
        ({"principal": "robot", "scopes": ["connect", "openid"]}, "invalid_field"),
        ({"principal": "robot", "scopes": ["connect publish"]}, "invalid_field"),
        ({"principal": "robot", "scopes": [["connect"]]}, "invalid_field"),
        ({"principal": "robot", "scopes": ["connect"], "days": 0}, "invalid_field"),
        ({"principal": "robot", "scopes": ["connect"], "days": MAX_DAYS + 1}, "invalid_field"),
        ({"principal": "robot", "scopes": ["connect"], "days": True}, "invalid_field"),
        ({"principal": "robot", "scopes": ["connect"], "days": 1.5}, "invalid_field"),
        ({"principal": "robot", "scopes": ["connect"], "days": "1"}, "invalid_field"),
        ({"principal": "robot", "scopes": ["connect"], "days": None}, "invalid_field"),
    ],
)
def test_what_is_no_key_to_be_made_is_refused(body: Any, expected: str) -> None:
    office = Office()
    assert code(lambda: office.create(body)) == expected
    assert list(every_key(office.keys)) == []


def test_more_scopes_than_can_travel_are_refused() -> None:
    scopes = [f"join:channel:team-{number:04}" for number in range(MAX_CHARACTERS // 20)]
    office = Office()
    assert code(lambda: office.create({"principal": "robot", "scopes": scopes})) == "invalid_field"
    assert office.create({"principal": "robot", "scopes": scopes[:80]}).status == 201


def test_a_request_cannot_be_repeated_under_a_key_for_the_answer_would_be_kept() -> None:
    office = Office()
    headers = {"idempotency-key": "a"}
    assert code(lambda: office.create(None, OPERATOR, **headers)) == "invalid_idempotency_key"
    assert list(every_key(office.keys)) == []


def test_keys_are_listed_page_by_page() -> None:
    office = Office()
    made = sorted(office.create().body["keyId"] for _ in range(5))
    first = office.list(limit="2").body
    second = office.list(limit="2", cursor=first["cursor"]).body
    last = office.list(limit="2", cursor=second["cursor"]).body
    assert "cursor" not in last
    found = [key["keyId"] for page in (first, second, last) for key in page["keys"]]
    assert found == made


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": "0"}, "invalid_parameter"),
        ({"limit": "501"}, "invalid_parameter"),
        ({"cursor": ""}, "invalid_cursor"),
        ({"cursor": "0" * 15}, "invalid_cursor"),
        ({"cursor": "A" * 16}, "invalid_cursor"),
        ({"cursor": "0" * 16 + "\n"}, "invalid_cursor"),
        ({"principal": "robot"}, "unknown_parameter"),
    ],
)
def test_what_is_no_page_is_refused(query: dict[str, str], expected: str) -> None:
    assert code(lambda: Office().list(**query)) == expected


def test_a_key_is_revoked_however_often_it_is_asked() -> None:
    office = Office()
    key = office.create().body
    for _ in range(2):
        answer = office.revoke(key["keyId"])
        assert (answer.status, answer.body) == (200, {"keyId": key["keyId"], "revoked": True})
        assert answer.about == {"key": key["keyId"]}
    assert [it["revoked"] for it in office.list().body["keys"]] == [True]
    with pytest.raises(Unauthorized, match="revoked_api_key"):
        ApiKeyAuthenticator(office.keys, (BEARER,), 7200).verify(key["key"], NOW)


@pytest.mark.parametrize("name", ["0" * 16, "0" * 15, "A" * 16, "pk_" + "0" * 16, "%2F", "%ff"])
def test_a_key_that_is_none_is_not_found(name: str) -> None:
    assert code(lambda: Office().revoke(name)) == "not_found"


def test_the_key_that_is_pasted_whole_is_not_repeated() -> None:
    text, _ = new_key("robot", Scopes(), NOW)
    with pytest.raises(ClientError) as refused:
        Office().revoke(text)
    assert refused.value.code == "not_found"
    assert text not in str(refused.value)


@pytest.mark.parametrize("ask", ["create", "list", "revoke"])
def test_a_stage_that_takes_no_keys_has_none(ask: str) -> None:
    keeper = KeyKeeper(None, lambda principal: False, Clock(NOW))
    call = Call("", OPERATOR, b"{}", path={"key_id": "0" * 16})
    assert code(lambda: getattr(keeper, ask)(call)) == "not_found"


class Watched(InMemoryKeys):
    """Keys in memory; something happens before and after one is written."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def add(self, key: ApiKey) -> None:
        self.before()
        super().add(key)
        self.after()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_who_is_revoked_while_a_key_is_made_gets_none_that_works(moment: str) -> None:
    keys = Watched()
    office = Office(keys)
    setattr(keys, moment, lambda: office.revocations.revoke("operator", int(NOW) + 5))
    with pytest.raises(Forbidden) as refused:
        office.create()
    assert (refused.value.reason, refused.value.principal_id) == ("revoked", "operator")
    assert [key.revoked for key in every_key(keys)] == [True]


def test_a_key_that_was_there_when_its_maker_was_revoked_is_listed_with_its_maker() -> None:
    office = Office()
    made = office.create().body["keyId"]
    office.revocations.revoke("operator", int(NOW) + 5)
    assert [(key.key_id, key.created_by) for key in every_key(office.keys)] == [(made, "operator")]
