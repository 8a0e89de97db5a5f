from __future__ import annotations

import ssl

import pytest

from tests.fakes import refusing_port
from tests.faulty_server import FaultyServer
from tests.wsclient_fakes import TicketServer
from wsclient.errors import CannotConnect, ClientError, Refused, WrongInput
from wsclient.tickets import check_ticket_url, fetch_ticket

SECRET = "canary-s3cret"


def fetch(url: str, context: ssl.SSLContext | None = None) -> str:
    return fetch_ticket(check_ticket_url(url), SECRET, timeout=30, context=context)


def test_a_ticket_is_fetched_with_the_token_as_a_bearer() -> None:
    with TicketServer() as server:
        assert fetch(server.url) == "ticket-1"
        assert fetch(f"{server.url}/") == "ticket-2"
        assert fetch(f"{server.url}/tickets") == "ticket-3"
    assert server.requests == [("/api/tickets", f"Bearer {SECRET}")] * 3


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (401, Refused, "the token is not accepted"),
        (403, Refused, "the token allows no tickets"),
        (404, CannotConnect, "answered 404"),
        (429, CannotConnect, "answered 429"),
        (500, CannotConnect, "answered 500"),
    ],
)
def test_what_is_no_ticket_says_why(status: int, error: type[ClientError], text: str) -> None:
    with TicketServer(status) as server, pytest.raises(error, match=text) as caught:
        fetch(server.url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"ticket": 5}', b'{"ticket": ""}', b"\xff"])
def test_what_is_no_answer_of_tickets_says_so(body: bytes) -> None:
    with (
        TicketServer(200, body) as server,
        pytest.raises(CannotConnect, match="no POST /tickets"),
    ):
        fetch(server.url)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_does_not_carry_the_token_elsewhere(status: int) -> None:
    with TicketServer() as elsewhere:
        with (
            TicketServer(status, location=f"{elsewhere.url}/tickets") as server,
            pytest.raises(CannotConnect, match=str(status)),
        ):
            fetch(server.url)
        assert len(server.requests) == 1
        assert elsewhere.requests == []


def test_a_server_that_is_away_says_so() -> None:
    with (
        refusing_port() as port,
        pytest.raises(CannotConnect, match="nothing listens there"),
    ):
        fetch(f"http://127.0.0.1:{port}/api")


def test_a_server_that_speaks_no_http_says_so() -> None:
    with FaultyServer() as server, pytest.raises(CannotConnect):
        fetch_ticket(
            f"{server.origin}/junk",
            SECRET,
            timeout=30,
            context=None,
        )


def test_an_untrusted_certificate_is_refused() -> None:
    with FaultyServer(tls=True) as server, pytest.raises(CannotConnect, match=r"(?i)certificate"):
        fetch_ticket(f"{server.origin}/ok", SECRET, timeout=30, context=None)
    assert server.bodies == 0, "the token was sent all the same"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/",
        "https:///api",
        "hello",
        "https://[::1",
        "http://example.com/api",
        f"https://host/api?token={SECRET}",
        f"https://somebody:{SECRET}@host/api",
    ],
)
def test_a_wrong_url_is_not_repeated(url: str) -> None:
    with pytest.raises(WrongInput) as caught:
        check_ticket_url(url)
    assert SECRET not in str(caught.value)
