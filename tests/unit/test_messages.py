"""The message protocol: commands, replies, errors with their codes."""

import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.actions import Command, parse_command, parse_id
from chalicelib.connections import EVERYONE, Audience
from chalicelib.errors import ClientError, PayloadTooLarge, ServiceUnavailable, UnexpectedEvent
from chalicelib.gate import Gate
from chalicelib.messages import IncomingMessage, Router, may, time_ordered_id
from chalicelib.renewal import Renewal
from chalicelib.scopes import Scopes
from tests.factories import (
    CONNECTION_ID,
    NOW,
    authorizer_event,
    connect_event,
    disconnect_event,
    make_connection,
    make_incoming,
    make_sender,
    mapped_message_event,
    message_event,
)
from tests.fakes import Clock, InMemoryConnectionRepository, InMemoryRevocations


class Broadcasts:
    """Remembers what was sent to whom; may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[tuple[Audience, Any]] = []
        self._error = error

    def __call__(self, audience: Audience, payload: bytes, message_id: str) -> Mapping[str, Any]:
        if self._error is not None:
            raise self._error
        self.sent.append((audience, json.loads(payload)))
        return {"delivery": {"targeted": 2, "delivered": 2}}


def make_router(broadcast: Broadcasts, connections: Any = None, **changes: Any) -> Router:
    if connections is None:
        connections = InMemoryConnectionRepository()
        connections.add(make_connection(expires_at=int(NOW) + 7200))
    clock = Clock(NOW)
    gate = Gate(connections, None, clock)
    renew = Renewal(lambda: (), connections, InMemoryRevocations(), clock).renew
    values = {"default_scopes": Scopes.parse("connect sendmessage"), "max_channels": 2}
    return Router(
        gate, renew, connections, broadcast, clock, lambda bits: 0, **{**values, **changes}
    )


@pytest.fixture
def broadcasts() -> Broadcasts:
    return Broadcasts()


@pytest.fixture
def router(broadcasts: Broadcasts) -> Router:
    return make_router(broadcasts)


def respond(router: Router, body: object, route_key: str = "$default") -> Any:
    return json.loads(router.respond(make_incoming(body, route_key)).frame)


@pytest.mark.parametrize("route_key", ["sendmessage", "$default"])
def test_sendmessage_goes_to_everyone_and_tells_how_many_it_reached(
    router: Router, broadcasts: Broadcasts, route_key: str
) -> None:
    body = {"action": "sendmessage", "message": "hello", "id": "7"}
    reply = respond(router, body, route_key)
    ((audience, message),) = broadcasts.sent
    assert audience == EVERYONE
    assert message == {
        "type": "message",
        "messageId": reply["result"]["messageId"],
        "from": "alice",
        "to": "everyone",
        "message": "hello",
        "sentAt": int(NOW * 1000),
    }
    assert reply == {
        "type": "reply",
        "id": "7",
        "result": {
            "messageId": message["messageId"],
            "delivery": {"targeted": 2, "delivered": 2},
        },
    }


def test_a_sender_may_write_to_its_own_principal(router: Router, broadcasts: Broadcasts) -> None:
    respond(router, {"action": "sendmessage", "message": "hello", "to": "principal:alice"})
    assert broadcasts.sent[0][0] == Audience("principal", "alice")


@pytest.mark.parametrize(
    "to", ["principal:bob", "principal:alice2", "channel:news", "connection:another="]
)
def test_any_other_audience_is_forbidden(router: Router, broadcasts: Broadcasts, to: str) -> None:
    answer = router.respond(make_incoming({"action": "sendmessage", "message": "x", "to": to}))
    assert answer.outcome == "forbidden_audience"
    assert broadcasts.sent == []


ALL = ["everyone", "principal:alice", "principal:bob", "channel:news", "connection:other="]
OWN = f"connection:{CONNECTION_ID}"


@pytest.mark.parametrize(
    ("scopes", "action", "audiences"),
    [
        pytest.param("", "sendmessage", [], id="nothing is granted"),
        pytest.param("connect", "sendmessage", [], id="only to listen"),
        pytest.param("sendmessage", "sendmessage", [*ALL[:2], OWN], id="everyone and oneself"),
        pytest.param("sendmessage:everyone", "sendmessage", ["everyone"], id="everyone only"),
        pytest.param("sendmessage:principal:*", "sendmessage", ALL[1:3], id="any principal"),
        pytest.param("sendmessage:channel:news", "sendmessage", ["channel:news"], id="a channel"),
        pytest.param("sendmessage:connection:*", "sendmessage", [ALL[4], OWN], id="connections"),
        pytest.param("sendmessage:*", "sendmessage", [*ALL, OWN], id="all there is"),
        pytest.param("sendmessage:*", "join", [], id="sending is not joining"),
        pytest.param("join:channel:n*", "join", ["channel:news"], id="channels by their beginning"),
        pytest.param("join:channel:other", "join", [], id="another channel"),
        pytest.param("join:*", "sendmessage", [], id="joining is not sending"),
    ],
)
def test_scopes_say_who_may_do_what(scopes: str, action: str, audiences: list[str]) -> None:
    sender = make_sender()
    allowed = [
        it for it in [*ALL, OWN] if may(sender, Scopes.parse(scopes), action, Audience.parse(it))
    ]
    assert allowed == audiences


class OnlyNews:
    """Policies under which nobody sends to anything but one channel."""

    def allow(self, principal_id: str, action: str, audience: Audience, scopes: Scopes) -> bool:
        return (principal_id, action, str(audience)) == ("alice", "sendmessage", "channel:news")


@pytest.mark.parametrize(
    ("scopes", "audience", "outcome"),
    [
        ("sendmessage:channel:*", "channel:news", "ok"),
        ("sendmessage:channel:*", "channel:other", "forbidden_audience"),
        ("sendmessage", "everyone", "forbidden_audience"),
        ("connect", "channel:news", "forbidden_audience"),
    ],
)
def test_where_there_are_policies_both_they_and_scopes_must_allow(
    broadcasts: Broadcasts, scopes: str, audience: str, outcome: str
) -> None:
    router = make_router(broadcasts, default_scopes=Scopes.parse(scopes), policies=OnlyNews())
    body = json.dumps({"action": "sendmessage", "message": "hello", "to": audience})
    assert router.respond(make_incoming(body)).outcome == outcome


def test_the_scopes_of_a_connection_take_the_place_of_the_default(broadcasts: Broadcasts) -> None:
    router = make_router(broadcasts, default_scopes=Scopes.parse("sendmessage:*"))
    body = {"action": "sendmessage", "message": "x", "to": "channel:news"}
    assert router.respond(make_incoming(body)).outcome == "ok"
    mine = Scopes.parse("connect sendmessage")
    assert router.respond(make_incoming(body, scopes=mine)).outcome == "forbidden_audience"


@pytest.fixture
def connections() -> InMemoryConnectionRepository:
    return InMemoryConnectionRepository()


@pytest.fixture
def member(connections: InMemoryConnectionRepository, broadcasts: Broadcasts) -> Router:
    """What alice speaks to who is connected and may join channels."""
    connections.add(make_connection())
    scopes = Scopes.parse("connect sendmessage join:channel:*")
    return make_router(broadcasts, connections, default_scopes=scopes)


NEWS = Audience("channel", "news")


def test_joining_leaving_and_whoami_agree(
    member: Router, connections: InMemoryConnectionRepository
) -> None:
    for _ in range(2):
        reply = respond(member, {"action": "join", "channel": "news", "id": 1})
        assert reply == {"type": "reply", "id": 1, "result": {"channel": "news"}}
    assert connections.count(NEWS, 0, None, NOW) == 1
    described = respond(member, {"action": "whoami"})["result"]
    assert described["audiences"] == ["everyone", "principal:alice", "channel:news"]
    for _ in range(2):
        assert respond(member, {"action": "leave", "channel": "news"})["type"] == "reply"
    assert connections.count(NEWS, 0, None, NOW) == 0
    described = respond(member, {"action": "whoami"})["result"]
    assert described["audiences"] == ["everyone", "principal:alice"]


def test_a_connection_joins_only_as_many_channels_as_it_may(member: Router) -> None:
    outcomes = [
        member.respond(make_incoming({"action": "join", "channel": name})).outcome
        for name in ("a", "b", "c", "a")
    ]
    assert outcomes == ["ok", "ok", "too_many_channels", "ok"]


def test_who_may_not_join_does_not(router: Router) -> None:
    answer = router.respond(make_incoming({"action": "join", "channel": "news"}))
    assert answer.outcome == "forbidden_audience"


def test_who_is_no_longer_connected_joins_nothing(
    member: Router,
    connections: InMemoryConnectionRepository,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = connections.get(CONNECTION_ID, NOW)
    connections.remove(CONNECTION_ID, "alice")
    # It leaves after the first look at it.
    monkeypatch.setattr(connections, "get", lambda *_: known)
    monkeypatch.setattr(connections, "join", InMemoryConnectionRepository().join)
    answer = member.respond(make_incoming({"action": "join", "channel": "news"}))
    assert answer.outcome == "not_connected"
    assert connections.count_items() == 0


@pytest.mark.parametrize("action", ["join", "leave"])
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({}, "missing_field", id="no channel"),
        pytest.param({"channel": None}, "invalid_field", id="null"),
        pytest.param({"channel": ""}, "invalid_channel", id="an empty name"),
        pytest.param({"channel": "news\n"}, "invalid_channel", id="a line end after the name"),
        pytest.param({"channel": "a b"}, "invalid_channel", id="a blank"),
        pytest.param({"channel": "caf\u00e9"}, "invalid_channel", id="no ASCII"),
        pytest.param({"channel": "x" * 129}, "invalid_channel", id="too long"),
        pytest.param({"channel": "a#0"}, "invalid_channel", id="what separates parts of a key"),
        pytest.param({"channel": "*"}, "invalid_channel", id="a pattern"),
        pytest.param({"channel": "a", "to": "b"}, "unknown_field", id="another field"),
    ],
)
def test_the_name_of_a_channel_is_checked(
    member: Router, action: str, fields: dict[str, Any], code: str
) -> None:
    assert member.respond(make_incoming({"action": action, **fields})).outcome == code


def test_whoami_says_what_the_connection_is(router: Router) -> None:
    sender = make_sender()
    assert respond(router, {"action": "whoami"})["result"] == {
        "connectionId": sender.connection_id,
        "principalId": "alice",
        "connectedAt": sender.connected_at,
        "expiresAt": sender.expires_at,
        "audiences": ["everyone", "principal:alice"],
    }


def test_ping_is_answered_with_the_time(router: Router) -> None:
    assert respond(router, {"action": "ping", "id": 1}) == {
        "type": "reply",
        "id": 1,
        "result": {"time": int(NOW * 1000)},
    }


@pytest.mark.parametrize(
    ("body", "route_key", "code"),
    [
        pytest.param("{", "$default", "malformed_json", id="broken JSON"),
        pytest.param("[]", "$default", "not_an_object", id="an array"),
        pytest.param('{"action":"ping","action":"ping"}', "$default", "duplicate_key", id="twice"),
        pytest.param({}, "$default", "missing_field", id="no action"),
        pytest.param({"action": 1}, "$default", "invalid_field", id="an action that is no text"),
        pytest.param({"action": "Ping"}, "$default", "unknown_action", id="an unknown action"),
        pytest.param({"action": "$connect"}, "$default", "unknown_action", id="a predefined route"),
        pytest.param({"action": "ping"}, "sendmessage", "route_mismatch", id="another route"),
        pytest.param({"action": "ping"}, "$disconnect", "route_mismatch", id="disconnect's route"),
        pytest.param({"action": "ping", "x": 1}, "$default", "unknown_field", id="unknown field"),
        pytest.param(
            {"action": "whoami", "to": "x"}, "$default", "unknown_field", id="not its own"
        ),
        pytest.param({"action": "sendmessage"}, "sendmessage", "missing_field", id="no message"),
        pytest.param(
            {"action": "sendmessage", "message": None}, "sendmessage", "invalid_field", id="null"
        ),
        pytest.param(
            {"action": "sendmessage", "message": {"a": 1}},
            "sendmessage",
            "invalid_field",
            id="a message that is no text",
        ),
        pytest.param(
            '{"action":"sendmessage","message":"\\ud83d"}',
            "sendmessage",
            "invalid_text",
            id="half of a surrogate pair",
        ),
        pytest.param(
            {"action": "sendmessage", "message": "x", "to": None},
            "sendmessage",
            "invalid_field",
            id="an audience that is null",
        ),
        pytest.param(
            {"action": "sendmessage", "message": "x", "to": "all"},
            "sendmessage",
            "invalid_audience",
            id="no audience",
        ),
        pytest.param({"action": "ping", "id": True}, "$default", "invalid_field", id="id true"),
        pytest.param({"action": "ping", "id": None}, "$default", "invalid_field", id="id null"),
        pytest.param({"action": "ping", "id": 1.5}, "$default", "invalid_field", id="id 1.5"),
        pytest.param({"action": "ping", "id": 2**53}, "$default", "invalid_field", id="id 2^53"),
        pytest.param(
            {"action": "ping", "id": "x" * 129}, "$default", "invalid_field", id="long id"
        ),
    ],
)
def test_the_senders_faults_have_codes(
    router: Router, broadcasts: Broadcasts, body: object, route_key: str, code: str
) -> None:
    answer = router.respond(make_incoming(body, route_key))
    frame = json.loads(answer.frame)
    assert (frame["type"], frame["id"], frame["error"]["code"]) == ("error", None, code)
    assert frame["error"]["message"]
    assert answer.outcome == code
    assert broadcasts.sent == []


def test_an_error_echoes_the_id_once_it_is_known(router: Router) -> None:
    assert respond(router, {"action": "nonsense", "id": "a1"})["id"] == "a1"


def test_a_message_that_is_too_long_once_wrapped_is_the_senders_fault() -> None:
    router = make_router(Broadcasts(PayloadTooLarge("131073 bytes")))
    answer = router.respond(make_incoming({"action": "sendmessage", "message": "x"}))
    assert answer.outcome == "message_too_long"


def test_a_fault_of_ours_is_not_passed_off_as_the_senders() -> None:
    router = make_router(Broadcasts(ServiceUnavailable("down")))
    with pytest.raises(ServiceUnavailable):
        router.respond(make_incoming({"action": "sendmessage", "message": "x"}))


def test_an_error_never_repeats_what_was_sent(router: Router) -> None:
    for body in ({"action": "s3cret"}, {"action": "ping", "s3cret": 1}, '{"s3cret'):
        assert b"s3cret" not in router.respond(make_incoming(body)).frame


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from(["sendmessage", "whoami", "ping", "join", "leave"]) | json_values,
        "message": st.text() | json_values,
        "to": st.sampled_from(["everyone", "principal:alice", "channel:x"]) | json_values,
        "channel": st.just("news") | json_values,
        "id": st.integers() | st.text() | json_values,
        "other": json_values,
    },
)


@given(body=st.text() | fields.map(json.dumps), route_key=st.sampled_from(["$default", "ping"]))
def test_any_frame_is_answered_with_a_reply_or_an_error(body: str, route_key: str) -> None:
    router = make_router(Broadcasts())
    answer = router.respond(make_incoming(body, route_key))
    frame = json.loads(answer.frame)
    assert frame["type"] == ("reply" if answer.outcome == "ok" else "error")


@given(fields)
def test_any_object_is_a_command_or_the_senders_fault(fields: dict[str, Any]) -> None:
    with suppress(ClientError):
        parse_id(fields)
        assert isinstance(parse_command(fields, "$default"), Command)


BODY = '{"action":"sendmessage","message":"it\'s \\"me\\""}'


def test_both_event_shapes_are_one_message() -> None:
    proxy = IncomingMessage.from_event(message_event(BODY, "sendmessage"))
    assert proxy == make_incoming(BODY, "sendmessage")
    assert IncomingMessage.from_event(mapped_message_event(BODY)) == proxy


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(connect_event({"principalId": "alice"}), id="a connect event"),
        pytest.param(disconnect_event(), id="a disconnect event"),
        pytest.param(authorizer_event(), id="an authorizer event"),
        pytest.param({"body": "{}"}, id="no request context"),
        pytest.param(message_event("{}", principal_id=None), id="no authorizer"),
        pytest.param(message_event("{}", principal_id=""), id="an empty principal"),
        pytest.param(mapped_message_event("{}", principal_id=""), id="an empty principal, mapped"),
    ],
)
def test_what_is_no_message_of_a_principal_is_a_fault_of_ours(event: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedEvent):
        IncomingMessage.from_event(event)


@pytest.mark.parametrize(
    ("told", "scopes"),
    [
        pytest.param(None, None, id="nothing said"),
        pytest.param("", None, id="an unset variable of the mapping template"),
        pytest.param("connect join:channel:a", "connect join:channel:a", id="ours"),
        pytest.param("connect fly join:channel:*", "connect join:channel:*", id="unknown ones"),
    ],
)
def test_both_event_shapes_bring_the_same_scopes(told: str | None, scopes: str | None) -> None:
    more = {} if told is None else {"scopes": told}
    proxy = IncomingMessage.from_event(message_event(BODY, "sendmessage", context=more))
    mapped = IncomingMessage.from_event(mapped_message_event(BODY, context=more))
    assert proxy == mapped
    assert proxy.sender.scopes == (None if scopes is None else Scopes.parse(scopes))


def test_a_flat_principal_cannot_stand_in_for_the_authorizers() -> None:
    event = message_event("{}", principal_id="alice")
    event["requestContext"]["auth"] = "mallory"
    assert IncomingMessage.from_event(event).sender.principal_id == "alice"


def test_a_message_without_a_body_is_an_empty_frame() -> None:
    event = message_event("{}")
    del event["body"]
    assert IncomingMessage.from_event(event).body == ""


@given(st.floats(0, 4e9), st.integers(0, 2**62 - 1))
def test_message_ids_are_uuids_of_version_7(now: float, bits: int) -> None:
    message_id = uuid.UUID(time_ordered_id(now, lambda _: bits))
    assert (message_id.version, message_id.variant) == (7, uuid.RFC_4122)
    assert message_id.int >> 80 == int(now * 1000)


@given(st.integers(0, 4_000_000_000_000), st.integers(1, 10**6))
def test_message_ids_sort_by_time(tenths: int, later: int) -> None:
    first = time_ordered_id(tenths / 10_000, lambda bits: 2**bits - 1)
    assert first < time_ordered_id((tenths + later * 10) / 10_000, lambda bits: 0)
