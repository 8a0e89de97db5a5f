"""Calls of the HTTP API, against real servers."""

from __future__ import annotations

import json

import pytest

from tests.wsclient_fakes import TicketServer
from wsclient.errors import CannotConnect, ClientError, Refused, RequestFailed
from wsclient.http_api import HttpApi

SECRET = "canary-s3cret"
ERROR = json.dumps({"error": {"code": "a_code", "message": "Why."}}).encode()


def api(server: TicketServer) -> HttpApi:
    return HttpApi(server.url, SECRET, timeout=30)


def test_names_stay_one_part_of_the_path() -> None:
    with TicketServer() as server:
        api(server).connection("a/b=")
        api(server).disconnect("a/b=")
        api(server).disconnect_all("ü/?#")
        api(server).job("../a")
    assert [path for path, _ in server.requests] == [
        "/api/connections/a%2Fb%3D",
        "/api/connections/a%2Fb%3D",
        "/api/principals/%C3%BC%2F%3F%23/connections",
        "/api/jobs/..%2Fa",
    ]
    assert {token for _, token in server.requests} == {f"Bearer {SECRET}"}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestFailed),
        (401, Refused),
        (403, Refused),
        (409, RequestFailed),
        (429, CannotConnect),
        (500, CannotConnect),
        (503, CannotConnect),
    ],
)
def test_an_error_says_whether_to_try_again(status: int, error: type[ClientError]) -> None:
    with TicketServer(status, ERROR) as server, pytest.raises(error) as caught:
        api(server).allow("mallory")
    assert f"with {status}: a_code: Why." in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_does_not_carry_the_token_elsewhere(status: int) -> None:
    with TicketServer() as elsewhere:
        with (
            TicketServer(status, location=f"{elsewhere.url}/connections/a") as server,
            pytest.raises(CannotConnect, match=str(status)),
        ):
            api(server).connection("a")
        assert elsewhere.requests == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_what_is_not_the_api_says_so(body: bytes) -> None:
    with TicketServer(200, body) as server, pytest.raises(CannotConnect, match="not the HTTP API"):
        api(server).connection("a")
