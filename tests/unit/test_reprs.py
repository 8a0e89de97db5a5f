"""Nothing that holds a credential shows it in its repr, which is what ends up in logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from chalicelib.actions import parse_command
from chalicelib.authorizers import AuthorizerRequest
from chalicelib.authorizers.api_key import new_key
from chalicelib.authorizers.jwt_form import parse_token
from chalicelib.authorizers.ticket import IssuedTicket
from chalicelib.aws import Credentials
from chalicelib.http_requests import Call
from chalicelib.scopes import Scopes
from chalicelib.secret_values import FixedSecret, Versions
from chalicelib.whole_requests import WholeRequest
from tests.canaries import found_in, secrets_of
from tests.factories import NOW, authorizer_event, authorizer_request, make_incoming, make_settings
from tests.tokens import MARKER, sign

TOKEN = sign()
PAIRS = [("Authorization", f"Bearer {TOKEN}")]
FRAME = {"action": "authenticate", "token": TOKEN}

HOLDERS: Mapping[str, Callable[[], object]] = {
    "a handshake": lambda: authorizer_request(headers=PAIRS, query=[("jwt", TOKEN)]),
    "a request's token": lambda: AuthorizerRequest.from_token(f"Bearer {TOKEN}", NOW),
    "a request": lambda: WholeRequest("", authorizer_event(headers=PAIRS)),
    "a token that nobody has verified": lambda: parse_token(TOKEN),
    "a message": lambda: make_incoming(FRAME),
    "a command": lambda: parse_command(FRAME, "$default"),
    "a call": lambda: Call("", body=TOKEN.encode(), headers=dict(PAIRS), query={"a": [TOKEN]}),
    "a ticket": lambda: IssuedTicket(TOKEN, 30, "alice"),
    "a secret": lambda: (FixedSecret(TOKEN), Versions(TOKEN, TOKEN)),
    "credentials of AWS": lambda: Credentials("AKID", TOKEN, TOKEN),
    "settings": lambda: make_settings(
        shared_token=TOKEN,
        header_auth_value=TOKEN,
        query_string_value=TOKEN,
        stage_variable_value=TOKEN,
        stage_variables={"a": TOKEN},
    ),
}


@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
def test_what_holds_a_credential_does_not_show_it(make: Callable[[], object]) -> None:
    held = make()
    assert found_in({MARKER, *secrets_of(TOKEN)}, repr(held), str(held)) == set()


def test_what_is_kept_of_a_key_does_not_show_its_digest() -> None:
    _, kept = new_key("robot", Scopes(), NOW)
    assert kept.digest not in repr(kept)
