"""Tickets: for one handshake, of one page, for seconds."""

from typing import Any

import pytest

from chalicelib.authorizers import Principal
from chalicelib.authorizers.ticket import Applicant, Ticket, TicketAuthenticator, issue
from chalicelib.errors import Forbidden, ServiceUnavailable, Unauthorized
from chalicelib.scopes import Scopes
from tests.factories import NOW, authorizer_request
from tests.fakes import InMemoryTickets

ORIGIN = "https://app.example.com"
ALICE = Principal("alice", "jwt", int(NOW) + 600, Scopes.parse("connect"), {"jti": "6f1e"})


@pytest.fixture
def tickets() -> InMemoryTickets:
    return InMemoryTickets()


@pytest.fixture
def authenticator(tickets: InMemoryTickets) -> TicketAuthenticator:
    return TicketAuthenticator(tickets, ttl=7200)


class UnreachableTickets:
    """A store that does not answer."""

    def add(self, digest: str, ticket: Ticket) -> None:
        raise ServiceUnavailable("no answer")

    def take(self, digest: str, now: float) -> Ticket | None:
        raise ServiceUnavailable("no answer")


def issued(
    tickets: InMemoryTickets,
    origin: str | None = None,
    principal: Principal | None = ALICE,
    allowed_origins: frozenset[str] | None = None,
) -> str:
    return issue(tickets, Applicant(principal, origin, allowed_origins), NOW, 30).text


def handshake(ticket: str, origin: str | None = None, after: float = 0) -> Any:
    headers = [] if origin is None else [("Origin", origin)]
    request = authorizer_request(headers=headers, query=[("ticket", ticket)])
    return type(request)(request.headers, request.query, {}, NOW + after)


def test_a_ticket_is_the_principal_it_was_issued_to_until_its_credential_ends(
    tickets: InMemoryTickets, authenticator: TicketAuthenticator
) -> None:
    assert authenticator.authenticate(handshake(issued(tickets))) == Principal(
        "alice", "ticket", int(NOW) + 600, Scopes.parse("connect"), {"jti": "6f1e"}
    )


def test_a_connection_by_ticket_lasts_no_longer_than_others(tickets: InMemoryTickets) -> None:
    principal = TicketAuthenticator(tickets, ttl=60).authenticate(handshake(issued(tickets)))
    assert principal is not None
    assert principal.expires_at == int(NOW) + 60


def test_a_ticket_is_good_once(
    tickets: InMemoryTickets, authenticator: TicketAuthenticator
) -> None:
    ticket = issued(tickets)
    authenticator.authenticate(handshake(ticket))
    with pytest.raises(Unauthorized, match="bad_ticket"):
        authenticator.authenticate(handshake(ticket))


@pytest.mark.parametrize("after", [30, 31, 86400])
def test_a_ticket_is_good_for_seconds(
    tickets: InMemoryTickets, authenticator: TicketAuthenticator, after: float
) -> None:
    with pytest.raises(Unauthorized, match="bad_ticket"):
        authenticator.authenticate(handshake(issued(tickets), after=after))


def test_a_ticket_is_not_good_for_longer_than_its_credential(tickets: InMemoryTickets) -> None:
    short = Principal("alice", "jwt", int(NOW) + 5, Scopes.parse("connect"))
    given = issue(tickets, Applicant(short, None, None), NOW, 30)
    assert given.seconds == 5
    with pytest.raises(Unauthorized, match="bad_ticket"):
        TicketAuthenticator(tickets, 7200).authenticate(handshake(given.text, after=5))


@pytest.mark.parametrize(
    "ticket",
    [
        pytest.param("", id="empty"),
        pytest.param("A" * 42, id="too short"),
        pytest.param("A" * 44, id="too long"),
        pytest.param("A" * 42 + "=", id="padding"),
        pytest.param("A" * 42 + "+", id="a sign of the other base64"),
        pytest.param("A" * 42 + "é", id="a letter outside ASCII"),
        pytest.param("A" * 42 + "\n", id="a new line"),
        pytest.param("x" * 1_000_000, id="a megabyte"),
    ],
)
def test_what_can_be_no_ticket_is_refused_and_nobody_is_asked(ticket: str) -> None:
    with pytest.raises(Unauthorized, match="bad_ticket"):
        TicketAuthenticator(UnreachableTickets(), 7200).authenticate(handshake(ticket))


def test_an_unknown_ticket_is_refused(authenticator: TicketAuthenticator) -> None:
    with pytest.raises(Unauthorized, match="bad_ticket"):
        authenticator.authenticate(handshake("A" * 43))


def test_a_fault_of_the_store_is_neither_an_admission_nor_a_refusal() -> None:
    with pytest.raises(ServiceUnavailable):
        TicketAuthenticator(UnreachableTickets(), 7200).authenticate(handshake("A" * 43))


def test_without_a_ticket_the_next_authenticator_is_asked(
    authenticator: TicketAuthenticator,
) -> None:
    request = authorizer_request(headers=[("ticket", "A" * 43)], query=[("Ticket", "A" * 43)])
    assert authenticator.authenticate(request) is None


def test_two_tickets_at_once_are_refused(
    tickets: InMemoryTickets, authenticator: TicketAuthenticator
) -> None:
    query = [("ticket", issued(tickets)), ("ticket", issued(tickets))]
    with pytest.raises(Unauthorized, match="repeated_parameter"):
        authenticator.authenticate(authorizer_request(query=query))


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", f"{ORIGIN}:443", ""])
def test_a_ticket_of_a_page_is_no_good_elsewhere_and_used_up_there(
    tickets: InMemoryTickets, authenticator: TicketAuthenticator, origin: str | None
) -> None:
    ticket = issued(tickets, ORIGIN)
    with pytest.raises(Forbidden, match="ticket_of_another_origin") as caught:
        authenticator.authenticate(handshake(ticket, origin))
    assert caught.value.principal_id == "alice"
    with pytest.raises(Unauthorized, match="bad_ticket"):
        authenticator.authenticate(handshake(ticket, ORIGIN))


def test_a_ticket_of_a_page_is_good_on_that_page(
    tickets: InMemoryTickets, authenticator: TicketAuthenticator
) -> None:
    assert authenticator.authenticate(handshake(issued(tickets, ORIGIN), ORIGIN))


def test_a_ticket_that_no_page_asked_for_is_good_anywhere(
    tickets: InMemoryTickets, authenticator: TicketAuthenticator
) -> None:
    assert authenticator.authenticate(handshake(issued(tickets), ORIGIN))


def test_no_ticket_is_issued_to_nobody_or_to_whose_credential_has_ended(
    tickets: InMemoryTickets,
) -> None:
    with pytest.raises(Unauthorized, match="no_principal"):
        issued(tickets, principal=None)
    ended = Principal("alice", "jwt", int(NOW), Scopes.parse("connect"))
    with pytest.raises(Unauthorized, match="expired_credential"):
        issued(tickets, principal=ended)
    assert tickets.tickets == {}


def test_no_ticket_is_issued_to_a_page_that_could_not_use_it(tickets: InMemoryTickets) -> None:
    with pytest.raises(Forbidden, match="origin_not_allowed"):
        issued(tickets, "https://evil.example", allowed_origins=frozenset({ORIGIN}))
    assert issued(tickets, ORIGIN, allowed_origins=frozenset({ORIGIN}))


def test_tickets_are_random_and_not_kept_as_they_are(tickets: InMemoryTickets) -> None:
    texts = {issued(tickets) for _ in range(100)}
    assert len(texts) == len(tickets.tickets) == 100
    assert not texts & tickets.tickets.keys()
    assert all(len(text) == 43 for text in texts)  # 256 bits


def test_a_ticket_is_not_shown(tickets: InMemoryTickets) -> None:
    given = issue(tickets, Applicant(ALICE, None, None), NOW, 30)
    assert given.text not in repr(given)
    assert given.to_dict(None) == {"ticket": given.text, "expiresIn": 30}
    url = "wss://ws.example.com"
    assert given.to_dict(url)["url"] == f"{url}?ticket={given.text}"
