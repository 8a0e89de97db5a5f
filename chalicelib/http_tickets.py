"""Tickets over HTTP, for clients that cannot show what they have in a handshake."""

from chalicelib.authorizers.ticket import Applicant, TicketStore, issue
from chalicelib.http_answers import Answer
from chalicelib.http_requests import Call, not_found
from chalicelib.settings import Settings


def issue_ticket(settings: Settings, tickets: TicketStore, now: float, call: Call) -> Answer:
    """Give the caller a ticket; raises ClientError where a stage gives out none."""
    call.only_parameters(())
    if "ticket" not in settings.authenticators:
        raise not_found("This stage gives out no tickets.")
    applicant = Applicant(call.principal, call.headers.get("origin"), settings.allowed_origins)
    issued = issue(tickets, applicant, now, settings.ticket_seconds)
    return Answer(200, issued.to_dict(settings.websocket_url), {"Cache-Control": "no-store"})
