"""One good token and one bad, wherever and however a handshake can hold them: raw bytes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from chalicelib.credential_settings import JwtSettings, Place
from localgateway.database import EmbeddedDatabase
from tests.app_under_test import AppUnderTest, app_under_test
from tests.end_to_end.wire import handshake, head
from tests.forged_tokens import forged_tokens
from tests.gateway_under_test import NET, eventually
from tests.tokens import AUDIENCE, ISSUER, MARKER, key_set, rsa_key, sign

PLACES = (
    Place("bearer"),
    Place("header", "X-Credential"),
    Place("query", "jwt"),
    Place("protocol"),
)
SHARED = f"{MARKER}-shared-token"
GOOD, BAD = sign(), sign(key=rsa_key(1))
PROTOCOL = "Sec-WebSocket-Protocol: "
FORGED = {name: text for name, text in forged_tokens().items() if len(text) < 30_000}


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def app(database: EmbeddedDatabase, patch: pytest.MonkeyPatch) -> Iterator[AppUnderTest]:
    with app_under_test(
        database,
        patch,
        authenticators=("jwt", "api_key", "ticket", "shared_token"),
        shared_token=SHARED,
        credential_places=PLACES,
        jwt=JwtSettings(ISSUER, (AUDIENCE,), keys=json.dumps(key_set())),
    ) as running:
        yield running


def answer(app: AppUnderTest, request: bytes) -> str:
    """Return the head of the answer, which may come before all was sent."""
    host, port = app.gateway.address.split(":")
    with socket.create_connection((host, int(port)), timeout=NET) as client:
        with suppress(ConnectionError):
            client.sendall(request)
        return client.recv(65_536).partition(b"\r\n\r\n")[0].decode("latin-1")


def status(answer: str) -> int:
    return int(answer.split(" ")[1])


def bearer(*tokens: str) -> list[str]:
    return [f"Authorization: Bearer {token}" for token in tokens]


ACCEPTED = {
    "the scheme in lower case": handshake(f"Authorization: bearer {GOOD}"),
    "the scheme in upper case, and blanks": handshake(f"Authorization: BEARER   {GOOD}  "),
    "one header twice": handshake(*bearer(GOOD, GOOD)),
    "a bad one in a later place": handshake(*bearer(GOOD), f"X-Credential: {BAD}"),
    "nothing in an earlier place": handshake("Authorization: Bearer ", f"X-Credential: {GOOD}"),
    "escaped dots": handshake(target=f"/api?jwt={GOOD.replace('.', '%2E')}"),
    "every letter escaped": handshake(
        target="/api?jwt=" + "".join(f"%{ord(letter):02x}" for letter in GOOD)
    ),
    "an escaped name": handshake(target=f"/api?%6Awt={GOOD}"),
    "one parameter twice": handshake(target=f"/api?jwt={GOOD}&jwt={GOOD}"),
    "a protocol alone": handshake(f"{PROTOCOL}bearer.{GOOD}"),
    "a protocol first": handshake(f"{PROTOCOL}bearer.{GOOD}, portcullis"),
    "protocols in two lines": handshake(f"{PROTOCOL}portcullis", f"{PROTOCOL}bearer.{GOOD}"),
}

REFUSED = {
    "a good header, then a bad one": handshake(*bearer(GOOD, BAD)),
    "a bad header, then a good one": handshake(*bearer(BAD, GOOD)),
    "two headers in two cases": handshake(*bearer(BAD), f"authorization: Bearer {GOOD}"),
    "two between commas": handshake(f"Authorization: Bearer {BAD}, Bearer {GOOD}"),
    "one twice between commas": handshake(f"Authorization: Bearer {GOOD}, Bearer {GOOD}"),
    "a tab after the scheme": handshake(f"Authorization: Bearer\t{GOOD}"),
    "another scheme": handshake(f"Authorization: Basic {GOOD}"),
    "no scheme": handshake(f"Authorization: {GOOD}"),
    "the scheme twice": handshake(f"Authorization: Bearer Bearer {GOOD}"),
    "quotes": handshake(f'Authorization: Bearer "{GOOD}"'),
    "a bad one in an earlier place": handshake(*bearer(BAD), f"X-Credential: {GOOD}"),
    "a bad header beside a good query": handshake(*bearer(BAD), target=f"/api?jwt={GOOD}"),
    "a good header beside two queries": handshake(
        *bearer(GOOD), target=f"/api?jwt={GOOD}&jwt={BAD}"
    ),
    "two queries": handshake(target=f"/api?jwt={GOOD}&jwt={BAD}"),
    "two queries, the good one last": handshake(target=f"/api?jwt={BAD}&jwt={GOOD}"),
    "an empty query before it": handshake(target=f"/api?jwt=&jwt={GOOD}"),
    "dots escaped twice": handshake(target=f"/api?jwt={GOOD.replace('.', '%252E')}"),
    "a plus before it": handshake(target=f"/api?jwt=+{GOOD}"),
    "a zero before it": handshake(target=f"/api?jwt=%00{GOOD}"),
    "a byte that is no UTF-8": handshake(target=f"/api?jwt=%ff{GOOD}"),
    "another case of the name": handshake(target=f"/api?JWT={GOOD}"),
    "a zero after the name": handshake(target=f"/api?jwt%00={GOOD}"),
    "a name of a list": handshake(target=f"/api?jwt[]={GOOD}"),
    "after a semicolon": handshake(target=f"/api?x=1;jwt={GOOD}"),
    "after a second question mark": handshake(target=f"/api??jwt={GOOD}"),
    "in a fragment": handshake(target=f"/api?x=1#jwt={GOOD}"),
    "as a ticket": handshake(target=f"/api?ticket={GOOD}"),
    "two protocols": handshake(f"{PROTOCOL}portcullis, bearer.{GOOD}, bearer.{BAD}"),
    "two protocols in two lines": handshake(f"{PROTOCOL}bearer.{BAD}", f"{PROTOCOL}bearer.{GOOD}"),
    "another case of the protocol": handshake(f"{PROTOCOL}Bearer.{GOOD}"),
    "the protocol's prefix twice": handshake(f"{PROTOCOL}bearer.bearer.{GOOD}"),
    "a protocol without its prefix": handshake(f"{PROTOCOL}portcullis, {GOOD}"),
    "a protocol of nothing": handshake(f"{PROTOCOL}bearer."),
    "two of a header": handshake(f"X-Credential: {BAD}", f"X-Credential: {GOOD}"),
    "two of a header in two cases": handshake(f"X-Credential: {BAD}", f"x-credential: {GOOD}"),
    "a header with a comma": handshake(f"X-Credential: {GOOD},{GOOD}"),
    "a header with a scheme": handshake(f"X-Credential: Bearer {GOOD}"),
    "a header of nearly that name": handshake(f"X_Credential: {GOOD}"),
    "a cookie": handshake(f"Cookie: jwt={GOOD}; ticket={GOOD}; Authorization=Bearer {GOOD}"),
    "a proxy's header": handshake(f"Proxy-Authorization: Bearer {GOOD}"),
    "a header of a proxy": handshake(f"X-Forwarded-Authorization: Bearer {GOOD}"),
    "two shared tokens": handshake(f"token: {SHARED}", "token: x"),
    "the shared token as a query": handshake(target=f"/api?token={SHARED}"),
    "the shared token as a bearer token": handshake(*bearer(SHARED)),
    "9 KB": handshake(*bearer("a." * 4500)),
}

NO_HTTP = {
    "a header on two lines": handshake("Authorization: Bearer", f" {GOOD}"),
    "a blank after a header's name": handshake(f"X-Credential : {GOOD}"),
    "a zero in a header": handshake(*bearer(f"{GOOD}\0")),
    "a return in a header": handshake(*bearer(f"x\r{GOOD}")),
    "a blank in a protocol": handshake(f"{PROTOCOL}bearer. {GOOD}"),
    "a megabyte of header": handshake(*bearer("a." * 500_000)),
    "a megabyte of query": handshake(target="/api?jwt=" + "a." * 500_000),
    "a megabyte of protocol": handshake(f"{PROTOCOL}bearer.{'a.' * 500_000}"),
}


@pytest.mark.parametrize("request_", ACCEPTED.values(), ids=ACCEPTED)
def test_another_spelling_of_the_same_is_accepted(app: AppUnderTest, request_: bytes) -> None:
    shown = answer(app, request_)
    assert status(shown) == 101
    assert not [part for part in GOOD.split(".") if part in shown]
    eventually(lambda: not app.items())


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_what_two_readers_could_read_differently_is_unauthorized(
    app: AppUnderTest, request_: bytes
) -> None:
    before = len(app.gateway.events("websocket_connect"))
    assert status(answer(app, request_)) == 401
    assert len(app.gateway.events("websocket_connect")) == before
    assert app.items() == []


@pytest.mark.parametrize("request_", NO_HTTP.values(), ids=NO_HTTP)
def test_what_is_no_request_reaches_nobody(app: AppUnderTest, request_: bytes) -> None:
    before = len(app.gateway.events("websocket_authorizer"))
    assert status(answer(app, request_)) in {400, 431}
    assert len(app.gateway.events("websocket_authorizer")) == before
    assert app.items() == []


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([f"Authorization: bearer {GOOD}"], 200, id="the scheme in lower case"),
        pytest.param([f"Authorization: {GOOD}"], 401, id="no scheme"),
        pytest.param(["Authorization: "], 401, id="nothing"),
        pytest.param(["Authorization: Bearer "], 401, id="the scheme alone"),
        pytest.param([f"Authorization: Bearer {BAD}, Bearer {GOOD}"], 401, id="two, with a comma"),
        pytest.param([f"X-Credential: {GOOD}"], 401, id="another place"),
        pytest.param([f"Cookie: Authorization=Bearer {GOOD}"], 401, id="a cookie"),
        pytest.param(bearer("a." * 4500), 401, id="9 KB"),
        pytest.param(bearer("a." * 500_000), 431, id="a megabyte"),
    ],
)
def test_over_http_the_authorization_header_alone_counts(
    app: AppUnderTest, headers: list[str], expected: int
) -> None:
    request = head("POST /tickets HTTP/1.1", "Host: x", "Content-Length: 0", *headers)
    assert status(answer(app, request)) == expected
    for item in app.items():
        assert expected == 200
        key = {"pk": item["pk"], "sk": item["sk"]}
        app.dynamodb.call("DeleteItem", {"TableName": app.table, "Key": key})


def test_no_forged_token_renews_a_connection(app: AppUnderTest) -> None:
    client = app.gateway.connect(header=bearer(GOOD), suppress_origin=True)
    before = app.items()
    found = {}
    for name, token in FORGED.items():
        client.send(json.dumps({"action": "authenticate", "token": token, "id": name}))
        answered = json.loads(client.recv())
        found[name] = (answered["type"], answered["error"]["code"], answered["error"]["message"])
    said = ("error", "bad_credential", "This credential is not accepted.")
    assert set(found.values()) == {said}
    assert len(found) > 300
    assert app.items() == before
    client.close()
    eventually(lambda: not app.items())


def test_a_ticket_is_good_in_its_own_place_alone_and_not_used_up_elsewhere(
    app: AppUnderTest,
) -> None:
    ticket = app.ticket(GOOD)
    client = app.gateway.connect(header=bearer(GOOD), suppress_origin=True)
    client.send(json.dumps({"action": "authenticate", "token": ticket}))
    assert json.loads(client.recv())["error"]["code"] == "bad_credential"
    client.close()
    for elsewhere in (
        handshake(*bearer(ticket)),
        handshake(f"X-Credential: {ticket}"),
        handshake(f"{PROTOCOL}bearer.{ticket}"),
        handshake(f"token: {ticket}"),
        handshake(f"ticket: {ticket}"),
        handshake(target=f"/api?jwt={ticket}"),
        head("POST /tickets HTTP/1.1", "Host: x", "Content-Length: 0", *bearer(ticket)),
    ):
        assert status(answer(app, elsewhere)) == 401
    url = f"/api?ticket={ticket}"
    assert [status(answer(app, handshake(target=url))) for _ in range(2)] == [101, 401]
    eventually(lambda: not app.items())
