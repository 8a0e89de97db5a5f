"""Tickets: what a browser, which cannot set headers, puts into the URL instead of its credential.

Good for seconds and for one handshake, so that it is worth nothing wherever URLs are written down.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Protocol

from chalicelib.authorizers import AuthorizerRequest, Principal, is_allowed_origin
from chalicelib.credential_settings import TICKET_PARAMETER
from chalicelib.errors import Forbidden, Unauthorized

TICKET_BYTES = 32
_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket stands for; ``expires_at`` is in seconds since the epoch."""

    principal: Principal
    origin: str | None
    """Of the page that asked for it; no other may use it."""
    expires_at: int


class TicketStore(Protocol):
    """Keeps tickets by a digest of them. All raise ServiceUnavailable where it does not answer."""

    def add(self, digest: str, ticket: Ticket) -> None:
        """Keep a ticket until it is taken, or has expired."""

    def take(self, digest: str, now: float) -> Ticket | None:
        """Return a ticket that has not expired, to one caller only, however many ask at once."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who asks for a ticket, as the authorizer of the HTTP request has told, and from where."""

    principal: Principal | None
    origin: str | None
    allowed_origins: Collection[str] | None


@dataclass(frozen=True, slots=True)
class IssuedTicket:
    """What its owner gets, once."""

    text: str = field(repr=False)
    seconds: int
    principal_id: str

    def to_dict(self, websocket_url: str | None) -> dict[str, str | int]:
        """Return it for JSON, with the whole URL to connect to where that is known."""
        url = {} if websocket_url is None else {"url": f"{websocket_url}?ticket={self.text}"}
        return {"ticket": self.text, "expiresIn": self.seconds, **url}


def issue(
    store: TicketStore,
    applicant: Applicant,
    now: float,
    seconds: int,
    random_text: Callable[[int], str] = secrets.token_urlsafe,
) -> IssuedTicket:
    """Issue a ticket that is good for some seconds, but no longer than what it was asked with.

    Raises Unauthorized where that has ended since the authorizer saw it, Forbidden for a page of
    another origin.
    """
    principal = applicant.principal
    if principal is None:
        raise Unauthorized("no_principal")
    if principal.expires_at <= now:
        raise Unauthorized("expired_credential")
    if not is_allowed_origin(applicant.origin, applicant.allowed_origins):
        raise Forbidden("origin_not_allowed", principal.principal_id)
    text = random_text(TICKET_BYTES)
    expires_at = min(int(now) + seconds, principal.expires_at)
    store.add(_digest(text), Ticket(principal, applicant.origin, expires_at))
    return IssuedTicket(text, expires_at - int(now), principal.principal_id)


@dataclass(frozen=True, slots=True)
class TicketAuthenticator:
    """Lets in whoever shows a ticket for the first time; ``ttl`` is in seconds."""

    tickets: TicketStore
    ttl: int

    def authenticate(self, request: AuthorizerRequest) -> Principal | None:
        """Return None without a ticket, raise Unauthorized for one that is used, old or none.

        Raises Forbidden for a page of another origin; the ticket is used up by it, too.
        """
        text = request.query_string(TICKET_PARAMETER)
        if text is None:
            return None
        if not _FORM.fullmatch(text):
            raise Unauthorized("bad_ticket")
        ticket = self.tickets.take(_digest(text), request.received_at)
        if ticket is None:
            raise Unauthorized("bad_ticket")
        if ticket.origin is not None and request.header("Origin") != ticket.origin:
            raise Forbidden("ticket_of_another_origin", ticket.principal.principal_id)
        expires_at = min(ticket.principal.expires_at, int(request.received_at) + self.ttl)
        return replace(ticket.principal, shown_by="ticket", expires_at=expires_at)

    def as_bearer(self) -> None:
        """A ticket opens a connection and nothing else; above all it does not buy the next one."""


def _digest(text: str) -> str:
    """What is kept: a look into the table gives nobody a ticket."""
    return hashlib.sha256(text.encode()).hexdigest()
