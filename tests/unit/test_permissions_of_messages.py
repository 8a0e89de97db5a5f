"""Which scopes let a connection send to what and join what: every scope, upon every audience."""

import json

import pytest

from chalicelib.connections import Audience
from chalicelib.messages import may
from chalicelib.scopes import Scopes
from tests.factories import CONNECTION_ID, make_connection, make_sender
from tests.fakes import InMemoryConnectionRepository
from tests.unit.test_messages import Broadcasts, make_router, respond

OWN = ("everyone", "principal:alice", f"connection:{CONNECTION_ID}")
OTHERS = (
    "principal:alice2",
    "principal:bob",
    "connection:other=",
    "channel:news",
    "channel:newsroom",
    "channel:team-7",
    "channel:alice",
)
AUDIENCES = (*OWN, *OTHERS)
NEWS = {"channel:news", "channel:newsroom"}
CHANNELS = {it for it in OTHERS if it.startswith("channel:")}
SENDING: dict[str, set[str]] = {
    "": set(),
    "connect": set(),
    "publish": set(),
    "admin": set(),
    "sendmessage": set(OWN),
    "sendmessage:everyone": {"everyone"},
    "sendmessage:principal:bob": {"principal:bob"},
    "sendmessage:principal:alice": {"principal:alice"},
    "sendmessage:principal:alice*": {"principal:alice", "principal:alice2"},
    "sendmessage:principal:*": {"principal:alice", "principal:alice2", "principal:bob"},
    "sendmessage:connection:other=": {"connection:other="},
    "sendmessage:channel:news": {"channel:news"},
    "sendmessage:channel:news*": NEWS,
    "sendmessage:channel:*": CHANNELS,
    "sendmessage:*": set(AUDIENCES),
    "sendmessage sendmessage:channel:news": {*OWN, "channel:news"},
    "join:channel:news": set(),
    "join:*": set(),
    "connect publish admin join:*": set(),
}
JOINING: dict[str, set[str]] = {
    "": set(),
    "connect sendmessage publish admin": set(),
    "sendmessage:*": set(),
    "sendmessage:channel:news": set(),
    "join:channel:news": {"channel:news"},
    "join:channel:news*": NEWS,
    "join:channel:*": CHANNELS,
    "join:*": CHANNELS,
    "join:channel:news join:channel:alice": {"channel:news", "channel:alice"},
}


@pytest.mark.parametrize("audience", AUDIENCES)
@pytest.mark.parametrize("scopes", SENDING)
def test_sending(scopes: str, audience: str) -> None:
    allowed = audience in SENDING[scopes]
    granted = Scopes.parse(scopes)
    assert may(make_sender(), granted, "sendmessage", Audience.parse(audience)) is allowed
    if scopes:  # nobody is connected without any
        frame = {"action": "sendmessage", "message": "hi", "to": audience}
        assert outcome(scopes, frame) == ("ok" if allowed else "forbidden_audience")


@pytest.mark.parametrize("audience", sorted(CHANNELS))
@pytest.mark.parametrize("scopes", JOINING)
def test_joining(scopes: str, audience: str) -> None:
    allowed = audience in JOINING[scopes]
    assert may(make_sender(), Scopes.parse(scopes), "join", Audience.parse(audience)) is allowed
    if scopes:
        frame = {"action": "join", "channel": audience.removeprefix("channel:")}
        assert outcome(scopes, frame) == ("ok" if allowed else "forbidden_audience")


@pytest.mark.parametrize("action", ["ping", "whoami", "leave"])
def test_what_only_concerns_oneself_needs_no_scope(action: str) -> None:
    channel = {"channel": "news"} if action == "leave" else {}
    assert outcome("connect", {"action": action, **channel}) == "ok"


def outcome(scopes: str, frame: dict[str, str]) -> str:
    """Send a frame on a connection whose credential has these scopes; return ok or the code."""
    connections = InMemoryConnectionRepository()
    connections.add(make_connection(context={"scopes": scopes}))
    broadcasts = Broadcasts()
    answer = respond(make_router(broadcasts, connections), json.dumps(frame))
    sent = frame["action"] == "sendmessage" and answer["type"] == "reply"
    assert len(broadcasts.sent) == sent
    code: str = "ok" if answer["type"] == "reply" else answer["error"]["code"]
    return code
