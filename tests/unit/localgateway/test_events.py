"""The events the gateway builds, held to events recorded on AWS."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localgateway.events import (
    Connection,
    Event,
    Handshake,
    Pairs,
    Request,
    Stage,
    authorizer_event,
    clf_time,
    connect_event,
    disconnect_event,
    message_event,
)

RECORDINGS = Path(__file__).parents[2] / "events"

STAGE = Stage("api", api_id="qk3vr8w2md", region="eu-central-1", domain_name="chat.example.com")
VARIABLES = {"tier": "gold"}
NOW = 1_741_082_403_017
REQUEST = Request("xK4-2mPw_oAMFbQ=", NOW + 3)
HANDSHAKE = Handshake(
    (("host", "chat.example.com"), ("Connection", "Upgrade"), ("UPGRADE", "WebSocket")),
    (),
    "192.0.2.44",
)


def new_connection(**authorizer: str | None) -> Connection:
    return Connection("xK4-1hPw_oAMCdQ=", NOW, "192.0.2.44", None, authorizer or None)


class Recording:
    """A recorded event and the facts it was made from."""

    def __init__(self, name: str) -> None:
        self.event: Event = json.loads((RECORDINGS / f"{name}.json").read_text())
        self.context = context = self.event["requestContext"]
        self.request = Request(context["requestId"], context["requestTimeEpoch"])
        self.stage = Stage(
            context["stage"],
            api_id=context["apiId"],
            region="eu-central-1",
            domain_name=context["domainName"],
        )
        authorizer = dict(context.get("authorizer", {}))
        self.latency = authorizer.pop("integrationLatency", 0)
        self.connection = Connection(
            context["connectionId"],
            context["connectedAt"],
            context["identity"]["sourceIp"],
            context["identity"].get("userAgent"),
            authorizer or None,
        )
        self.handshake = Handshake(
            self._pairs("multiValueHeaders"), self._pairs("multiValueQueryStringParameters")
        )

    def _pairs(self, member: str) -> Pairs:
        several = self.event.get(member, {}).items()
        return tuple((name, value) for name, values in several for value in values)


def authorizer(recording: Recording) -> Event:
    return authorizer_event(
        recording.stage, recording.connection, recording.handshake, recording.request
    )


def connect(recording: Recording) -> Event:
    return connect_event(
        recording.stage,
        recording.connection,
        recording.handshake,
        recording.request,
        recording.latency,
    )


def message(recording: Recording) -> Event:
    return message_event(
        recording.stage,
        recording.connection,
        recording.request,
        route_key=recording.context["routeKey"],
        message_id=recording.context["messageId"],
        body=recording.event["body"],
    )


def disconnect(recording: Recording) -> Event:
    return disconnect_event(
        recording.stage,
        recording.connection,
        recording.request,
        status_code=recording.context["disconnectStatusCode"],
        reason=recording.context["disconnectReason"],
    )


BUILDERS: dict[str, Callable[[Recording], Event]] = {
    "authorizer-request": authorizer,
    "connect-with-authorizer": connect,
    "connect-without-query": connect,
    "disconnect-1000": disconnect,
    "disconnect-1001": disconnect,
    "disconnect-1005": disconnect,
    "message-custom-route": message,
    "message-default": message,
}


def shape(value: Any) -> Any:
    """Return a value with its scalars replaced by the names of their types."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return [shape(member) for member in value]
    return type(value).__name__


@pytest.mark.parametrize("name", BUILDERS)
def test_an_event_has_the_shape_and_the_values_of_its_recording(name: str) -> None:
    recording = Recording(name)
    built = BUILDERS[name](recording)
    assert shape(built) == shape(recording.event)
    assert built == recording.event


def test_every_recording_is_compared() -> None:
    names = {path.stem for path in RECORDINGS.glob("*.json")}
    assert {name for name in names if not name.startswith("sqs-")} == set(BUILDERS)


@pytest.mark.parametrize("name", BUILDERS)
def test_headers_come_in_the_order_of_their_recording(name: str) -> None:
    recording = Recording(name)
    built = BUILDERS[name](recording)
    for member in ("headers", "multiValueHeaders"):
        assert list(built.get(member, {})) == list(recording.event.get(member, {}))


@pytest.mark.parametrize(
    ("sent", "single", "several"),
    [
        pytest.param((), {}, {}, id="none"),
        pytest.param((("a", "1"),), {"a": "1"}, {"a": ["1"]}, id="one"),
        pytest.param(
            (("Cookie", "a=1"), ("Cookie", "b=2")),
            {"Cookie": "b=2"},
            {"Cookie": ["a=1", "b=2"]},
            id="two of a name: the last, and both",
        ),
        pytest.param(
            (("X-Tag", "1"), ("x-tag", "2"), ("X-TAG", "3")),
            {"X-Tag": "3"},
            {"X-Tag": ["1", "2", "3"]},
            id="one name in three cases",
        ),
        pytest.param(
            (("b", ""), ("A", "1")),
            {"A": "1", "b": ""},
            {"A": ["1"], "b": [""]},
            id="an empty value",
        ),
        pytest.param(
            (("connection", "keep-alive, Upgrade"), ("UPGRADE", "WebSocket"), ("a", "1")),
            {"a": "1"},
            {"a": ["1"]},
            id="the upgrade's own are left out",
        ),
        pytest.param(
            (("Content-Length", "0"), ("Connection", "a"), ("connection", "b")),
            {},
            {},
            id="however often they are sent",
        ),
    ],
)
def test_headers_are_said_once_and_severally(
    sent: Pairs, single: dict[str, str], several: dict[str, list[str]]
) -> None:
    handshake = Handshake(sent)
    event = connect_event(STAGE, new_connection(), handshake, REQUEST)
    assert (event["headers"], event["multiValueHeaders"]) == (single, several)
    added = {"Connection": "upgrade", "Upgrade": "websocket", "content-length": "0"}
    event = authorizer_event(STAGE, new_connection(), handshake, REQUEST)
    assert event["headers"] == single | added
    assert event["multiValueHeaders"] == several | {name: [value] for name, value in added.items()}


@pytest.mark.parametrize(
    ("sent", "single", "several"),
    [
        pytest.param((("token", "x"),), {"token": "x"}, {"token": ["x"]}, id="one"),
        pytest.param((("token", ""),), {"token": ""}, {"token": [""]}, id="an empty value"),
        pytest.param((("", "x"),), {"": "x"}, {"": ["x"]}, id="an empty name"),
        pytest.param(
            (("tag", "a"), ("b", "1"), ("tag", "c")),
            {"tag": "c", "b": "1"},
            {"tag": ["a", "c"], "b": ["1"]},
            id="two of a name",
        ),
        pytest.param(
            (("tag", "a"), ("Tag", "b")),
            {"tag": "a", "Tag": "b"},
            {"tag": ["a"], "Tag": ["b"]},
            id="names that differ in case",
        ),
    ],
)
def test_a_query_is_said_once_and_severally(
    sent: Pairs, single: dict[str, str], several: dict[str, list[str]]
) -> None:
    handshake = Handshake((), sent)
    for event in (
        connect_event(STAGE, new_connection(), handshake, REQUEST),
        authorizer_event(STAGE, new_connection(), handshake, REQUEST),
    ):
        assert event["queryStringParameters"] == single
        assert event["multiValueQueryStringParameters"] == several


def test_without_a_query_the_authorizer_gets_empty_maps_and_connect_no_maps() -> None:
    event = authorizer_event(STAGE, new_connection(), HANDSHAKE, REQUEST)
    assert event["queryStringParameters"] == event["multiValueQueryStringParameters"] == {}
    event = connect_event(STAGE, new_connection(), HANDSHAKE, REQUEST)
    assert not {"queryStringParameters", "multiValueQueryStringParameters"} & event.keys()


def proxy_events(stage: Stage, connection: Connection) -> dict[str, Event]:
    return {
        "$connect": connect_event(stage, connection, HANDSHAKE, REQUEST, integration_latency=24),
        "hello": message_event(
            stage, connection, REQUEST, route_key="hello", message_id="xK4-3mPw_oAMCdQ=", body=""
        ),
        "$disconnect": disconnect_event(stage, connection, REQUEST, status_code=1006, reason=""),
    }


def test_stage_variables_are_in_every_event_where_there_are_any() -> None:
    stage = Stage(variables=VARIABLES)
    for event in proxy_events(stage, new_connection()).values():
        assert event["stageVariables"] == VARIABLES
    event = authorizer_event(stage, new_connection(), HANDSHAKE, REQUEST)
    assert event["stageVariables"] == VARIABLES


def test_without_stage_variables_only_the_authorizer_hears_of_them() -> None:
    for event in proxy_events(STAGE, new_connection()).values():
        assert "stageVariables" not in event
    event = authorizer_event(STAGE, new_connection(), HANDSHAKE, REQUEST)
    assert event["stageVariables"] == {}


def test_the_authorizers_latency_is_said_to_connect_only() -> None:
    connection = new_connection(principalId="ann", tenant=None)
    for route_key, event in proxy_events(STAGE, connection).items():
        latency = {"integrationLatency": 24} if route_key == "$connect" else {}
        expected = {"principalId": "ann", "tenant": None} | latency
        assert event["requestContext"]["authorizer"] == expected


def test_without_an_authorizer_nothing_is_said_of_one() -> None:
    for event in proxy_events(STAGE, new_connection()).values():
        assert "authorizer" not in event["requestContext"]
        assert "integrationLatency" not in json.dumps(event)


def test_an_event_belongs_to_its_function() -> None:
    stage = Stage(variables=dict(VARIABLES))
    connection = new_connection(principalId="ann")
    first = proxy_events(stage, connection)
    expected = json.dumps(first)
    for event in first.values():
        event["requestContext"]["authorizer"]["principalId"] = "eve"
        event["requestContext"]["identity"].clear()
        event["stageVariables"].clear()
        event.get("headers", {}).clear()
    assert json.dumps(proxy_events(stage, connection)) == expected


def test_a_message_is_handed_on_as_it_came() -> None:
    body = '{\r\n\t"text": "größe 😀"}'
    event = message_event(
        STAGE, new_connection(), REQUEST, route_key="hello", message_id="m", body=body
    )
    assert event["body"] == body
    assert event["isBase64Encoded"] is False
    assert not {"headers", "multiValueHeaders", "queryStringParameters"} & event.keys()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("Authorization", "second", id="the last of two"),
        pytest.param("AUTHORIZATION", "second", id="whatever the case"),
        pytest.param("Empty", "", id="an empty value"),
        pytest.param("Other", None, id="none"),
        pytest.param("", None, id="no name"),
    ],
)
def test_a_handshakes_header(name: str, expected: str | None) -> None:
    headers = (("authorization", "first"), ("Authorization", "second"), ("empty", ""))
    assert Handshake(headers).header(name) == expected


@pytest.mark.parametrize(
    ("route_key", "expected"),
    [
        pytest.param(
            "$connect",
            "arn:aws:execute-api:eu-central-1:123456789012:qk3vr8w2md/api/$connect",
            id="connect",
        ),
        pytest.param(
            "a b",
            "arn:aws:execute-api:eu-central-1:123456789012:qk3vr8w2md/api/a b",
            id="a route of one's own",
        ),
    ],
)
def test_a_method_arn_has_no_http_method(route_key: str, expected: str) -> None:
    assert STAGE.method_arn(route_key) == expected


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        pytest.param(0, "01/Jan/1970:00:00:00 +0000", id="the epoch"),
        pytest.param(999, "01/Jan/1970:00:00:00 +0000", id="milliseconds are dropped"),
        pytest.param(1_741_082_403_017, "04/Mar/2025:10:00:03 +0000", id="a time in UTC"),
        pytest.param(1_709_164_800_000, "29/Feb/2024:00:00:00 +0000", id="a leap day at midnight"),
        pytest.param(1_735_689_599_999, "31/Dec/2024:23:59:59 +0000", id="the end of a year"),
    ],
)
def test_a_request_time_is_in_the_common_log_format(milliseconds: int, expected: str) -> None:
    assert clf_time(milliseconds) == expected


@given(st.integers(0, 4_102_444_800_000))
def test_a_request_time_reads_back_as_the_second_it_names(milliseconds: int) -> None:
    read = datetime.strptime(clf_time(milliseconds), "%d/%b/%Y:%H:%M:%S %z")
    assert read == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=milliseconds // 1000)


NAMES = st.sampled_from(["Host", "host", "X-A", "Connection", "content-length", "Cookie"])
PAIRS = st.lists(st.tuples(NAMES, st.text(max_size=5)), max_size=6).map(tuple)


@given(PAIRS, PAIRS)
def test_events_are_json_without_nulls_and_agree_with_themselves(
    headers: Pairs, query: Pairs
) -> None:
    handshake = Handshake(headers, query)
    for event in (
        authorizer_event(STAGE, new_connection(), handshake, REQUEST),
        connect_event(STAGE, new_connection(principalId="ann"), handshake, REQUEST),
    ):
        assert json.loads(json.dumps(event)) == event
        assert "NoneType" not in json.dumps(shape(event))
        for single, several in (
            ("headers", "multiValueHeaders"),
            ("queryStringParameters", "multiValueQueryStringParameters"),
        ):
            last = {name: values[-1] for name, values in event.get(several, {}).items()}
            assert event.get(single, {}) == last
