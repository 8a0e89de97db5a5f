"""Tickets: what a handshake shows in place of a token, fetched anew for each."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from wsclient.connection import failure
from wsclient.errors import CannotConnect, Refused
from wsclient.http_url import check_http_url, opener

PARAMETER = "ticket"
_LONGEST = 64 * 1024


def check_ticket_url(text: str) -> str:
    """Return the URL of ``POST /tickets`` for the HTTP API's own; raises WrongInput."""
    url = check_http_url(text, "--ticket-from")
    return url if url.endswith("/tickets") else f"{url}/tickets"


def fetch_ticket(url: str, token: str, *, timeout: float, context: ssl.SSLContext | None) -> str:
    """Return a new ticket; raises Refused or CannotConnect."""
    request = urllib.request.Request(
        url,
        data=b"{}",
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method="POST",
    )
    try:
        with opener(url, context).open(request, timeout=timeout) as response:
            return _ticket(response.read(_LONGEST))
    except urllib.error.HTTPError as error:
        error.close()
        raise _refusal(error.code) from None
    except (OSError, HTTPException) as error:
        text = failure(getattr(error, "reason", error), "http")
        raise CannotConnect(f"no ticket from {url}: {text}") from None


def _ticket(body: bytes) -> str:
    try:
        answer: Any = json.loads(body)
    except ValueError:
        answer = None
    ticket = answer.get("ticket") if isinstance(answer, dict) else None
    if not isinstance(ticket, str) or not ticket:
        raise CannotConnect("no ticket: what answers is no POST /tickets.")
    return ticket


def _refusal(status: int) -> Refused | CannotConnect:
    if status in {401, 403}:
        meaning = "the token is not accepted" if status == 401 else "the token allows no tickets"
        return Refused(f"no ticket: refused with {status}: {meaning}.")
    return CannotConnect(f"no ticket: POST /tickets was answered {status}.")
