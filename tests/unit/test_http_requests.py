"""Requests are read strictly, and callers looked at once more."""

import json

import pytest

from chalicelib.authorizers import Principal
from chalicelib.errors import (
    ClientError,
    ConfigurationError,
    Forbidden,
    LimitExceeded,
    ServiceUnavailable,
    Unauthorized,
)
from chalicelib.gateway_responses import gateway_responses
from chalicelib.health import KEPT_SECONDS, TableHealth
from chalicelib.http_answers import MESSAGES, RETRY_SECONDS, STATUSES, answer_to, error_answer
from chalicelib.http_requests import Call
from chalicelib.scopes import Scopes
from tests.factories import NOW
from tests.fakes import Clock

ALICE = Principal("alice", "api_key", int(NOW) + 60, Scopes.parse("publish"))


def test_whoever_the_authorizer_let_in_is_looked_at_again() -> None:
    assert Call("", ALICE).caller("publish", NOW) is ALICE
    with pytest.raises(Forbidden):
        Call("", ALICE).caller("admin", NOW)
    with pytest.raises(Unauthorized, match="expired_credential"):
        Call("", ALICE).caller("publish", NOW + 60)
    with pytest.raises(Unauthorized, match="no_principal"):
        Call("").caller("publish", NOW)


@pytest.mark.parametrize("body", [b"\xff", b'{"to": "\xed\xa0\x80"}', b"\xef\xbb\xbf{}"])
def test_a_body_that_is_no_text_is_no_json(body: bytes) -> None:
    with pytest.raises(ClientError) as refused:
        Call("", body=body).json_object(100)
    assert refused.value.code == "malformed_json"


def test_a_path_is_decoded_once() -> None:
    assert Call("", path={"name": "a%2Fb%2520c"}).parameter("name") == "a/b%20c"
    with pytest.raises(ClientError):
        Call("", path={"name": "%ff"}).parameter("name")


def test_a_body_of_exactly_the_limit_is_read() -> None:
    body = b'{"a":"' + b"x" * 92 + b'"}'
    assert Call("", body=body).json_object(100).keys() == {"a"}
    with pytest.raises(ClientError, match="body_too_long"):
        Call("", body=body + b" ").json_object(100)


@pytest.mark.parametrize("code", STATUSES)
def test_every_error_has_one_shape(code: str) -> None:
    answer = error_answer(code, "Why.")
    assert answer.body == {"error": {"code": code, "message": "Why."}}
    assert ("Retry-After" in answer.headers) == (code in RETRY_SECONDS)
    assert ("WWW-Authenticate" in answer.headers) == (code == "unauthorized")
    assert answer.headers["Cache-Control"] == "no-store"


def test_whoever_may_ask_again_is_told_when() -> None:
    passing = {code for code, status in STATUSES.items() if status in (409, 429, 503)}
    assert passing - {"idempotency_key_reused"} == RETRY_SECONDS.keys()


def test_an_account_over_its_quota_is_not_a_service_that_is_away() -> None:
    assert answer_to(LimitExceeded("429")).status == 429
    assert answer_to(ServiceUnavailable("503")).status == 503


def test_a_fault_of_ours_is_nobody_elses_business() -> None:
    for fault in (ConfigurationError("secret"), ClientError("no_code_of_http", "")):
        with pytest.raises(type(fault)):
            answer_to(fault)


def test_gateway_says_what_we_would() -> None:
    for kind, response in gateway_responses("https://app.example.com").items():
        body = json.loads(response["responseTemplates"]["application/json"])
        code = body["error"]["code"]
        assert body["error"]["message"] == MESSAGES[code]
        assert response.get("statusCode", str(STATUSES[code])) == str(STATUSES[code])
        assert ("statusCode" in response) != kind.startswith("DEFAULT_")
        headers = {
            name.removeprefix("gatewayresponse.header."): value.strip("'")
            for name, value in response["responseParameters"].items()
        }
        assert headers.pop("Access-Control-Allow-Origin") == "https://app.example.com"
        exposed = headers.pop("Access-Control-Expose-Headers", None)
        assert exposed == ("Retry-After" if "Retry-After" in headers else None)
        assert headers == error_answer(code, "").headers


def test_gateway_tells_who_has_no_credential_and_who_comes_too_fast_what_to_do() -> None:
    responses = gateway_responses(None)
    assert responses["UNAUTHORIZED"]["responseParameters"] == {
        "gatewayresponse.header.Cache-Control": "'no-store'",
        "gatewayresponse.header.WWW-Authenticate": "'Bearer'",
    }
    assert responses["THROTTLED"]["responseParameters"] == {
        "gatewayresponse.header.Cache-Control": "'no-store'",
        "gatewayresponse.header.Retry-After": "'1'",
    }


def test_health_looks_at_the_table_once_in_a_while() -> None:
    looked: list[str] = []
    clock = Clock(NOW)

    class Table:
        is_down = False

        def call(self, operation: str, payload: object) -> dict[str, str]:
            looked.append(operation)
            if self.is_down:
                raise ConfigurationError("no such table")
            return {}

    table = Table()
    health = TableHealth(table, "table", clock)
    assert [health(), health()] == [True, True]
    table.is_down = True
    assert health() is True
    clock.now += KEPT_SECONDS
    assert [health(), health()] == [False, False]
    assert looked == ["GetItem", "GetItem"]
