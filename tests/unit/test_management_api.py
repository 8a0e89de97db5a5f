"""The management API: where it is, what is asked of it, what its statuses mean."""

import json
import logging
from functools import partial

import pytest

from chalicelib.broadcast import Outcome, Posted
from chalicelib.errors import (
    ConfigurationError,
    ConnectionGone,
    LimitExceeded,
    NotAConnectionId,
    PayloadTooLarge,
    PortcullisError,
    ServiceUnavailable,
)
from chalicelib.exchanges import NoAnswer, Repeated
from chalicelib.http1 import Response
from chalicelib.management_api import APIGatewayManagementAPI, management_endpoint
from tests.factories import CONNECTION_ID, make_connection
from tests.fakes import ScriptedCaller

PATH = "/@connections/L0SM9cOFvHcCIhw%3D"


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("eu-west-1", "https://abcdef1234.execute-api.eu-west-1.amazonaws.com/api"),
        ("cn-north-1", "https://abcdef1234.execute-api.cn-north-1.amazonaws.com.cn/api"),
    ],
)
def test_the_endpoint_follows_from_api_stage_and_region(region: str, endpoint: str) -> None:
    assert management_endpoint("abcdef1234", "api", region) == endpoint


@pytest.mark.parametrize("emulator", ["http://127.0.0.1:4566", "http://127.0.0.1:4566/"])
def test_an_emulator_has_every_stage_below_its_one_url(emulator: str) -> None:
    endpoint = "http://127.0.0.1:4566/_aws/execute-api/abcdef1234/api"
    assert management_endpoint("abcdef1234", "api", "eu-west-1", emulator) == endpoint


def test_posting_sends_the_bytes_as_they_are() -> None:
    caller = ScriptedCaller(Response(200))
    APIGatewayManagementAPI(caller).post_to_connection(CONNECTION_ID, b"\x00hello")
    (call,) = caller.calls
    assert (call.method, call.path, call.payload) == ("POST", PATH, b"\x00hello")


def test_getting_returns_what_api_gateway_knows() -> None:
    status = {"connectedAt": "2026-11-20T10:00:00Z", "identity": {}, "lastActiveAt": "…"}
    caller = ScriptedCaller(Response(200, json.dumps(status).encode()))
    assert APIGatewayManagementAPI(caller).get_connection(CONNECTION_ID) == status
    assert (caller.calls[0].method, caller.calls[0].path) == ("GET", PATH)


def test_deleting_needs_no_body() -> None:
    caller = ScriptedCaller(Response(204))
    APIGatewayManagementAPI(caller).delete_connection(CONNECTION_ID)
    (call,) = caller.calls
    assert (call.method, call.path, call.payload) == ("DELETE", PATH, b"")


@pytest.mark.parametrize("connection_id", ["../../other", "a/b?c#d", "a b\r\nX: y", "é"])
def test_an_id_cannot_leave_its_place_in_the_path(connection_id: str) -> None:
    caller = ScriptedCaller(Response(200))
    APIGatewayManagementAPI(caller).post_to_connection(connection_id, b"")
    place = caller.calls[0].path.removeprefix("/@connections/")
    assert not set(place) & set("/?# \r\n")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (410, ConnectionGone),
        (413, PayloadTooLarge),
        (429, LimitExceeded),
        (403, ConfigurationError),
        (400, NotAConnectionId),
        (302, ConfigurationError),
        (500, ServiceUnavailable),
        (503, ServiceUnavailable),
    ],
)
def test_a_status_is_named_by_what_the_caller_can_do(
    status: int, error: type[PortcullisError]
) -> None:
    api = APIGatewayManagementAPI(ScriptedCaller(*[Response(status, b"s3cret")] * 3))
    for call in (
        partial(api.post_to_connection, data=b"s3cret"),
        api.get_connection,
        api.delete_connection,
    ):
        with pytest.raises(error) as caught:
            call(CONNECTION_ID)
        assert type(caught.value) is error
        assert "s3cret" not in repr(caught.value)


def test_an_answer_that_is_not_json_is_no_answer() -> None:
    with pytest.raises(ServiceUnavailable):
        APIGatewayManagementAPI(ScriptedCaller(Response(200, b"<"))).get_connection("a")


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (Response(200), Outcome.DELIVERED),
        (Response(204), Outcome.DELIVERED),
        (Response(410), Outcome.GONE),
        (Response(429), Outcome.SLOW),
        (Response(302), Outcome.FAILED),
        (Response(403), Outcome.FAILED),
        (Response(413), Outcome.FAILED),
        (Response(503), Outcome.FAILED),
        (NoAnswer("reset"), Outcome.FAILED),
        (NoAnswer("no time", deferred=True), Outcome.DEFERRED),
    ],
)
def test_posting_to_members_tells_what_came_of_each(
    result: Response | NoAnswer, outcome: Outcome
) -> None:
    caller = ScriptedCaller(Response(200), result)
    members = [make_connection("first").member(), make_connection(CONNECTION_ID).member()]
    outcomes = APIGatewayManagementAPI(caller).post_to_members(members, b"hello", 25.0)
    assert list(outcomes) == [
        Posted(members[0], Outcome.DELIVERED),
        Posted(members[1], outcome),
    ]
    assert [(call.path, call.payload) for call in caller.calls] == [
        ("/@connections/first", b"hello"),
        (PATH, b"hello"),
    ]


def test_posts_that_fail_are_logged_by_their_cause(caplog: pytest.LogCaptureFixture) -> None:
    results = (Response(503), Response(410), NoAnswer("reset"), Response(503, b"s3cret"))
    members = [make_connection(f"connection-{number}").member() for number in range(4)]
    with caplog.at_level(logging.WARNING):
        list(APIGatewayManagementAPI(ScriptedCaller(*results)).post_to_members(members, b"", 25.0))
    assert [record.message for record in caplog.records] == [
        'posts that failed: {"503": 2, "reset": 1}'
    ]


@pytest.mark.parametrize("result", [Response(200), Response(410), NoAnswer("reset")])
def test_who_may_have_received_a_post_twice_is_named(result: Response | NoAnswer) -> None:
    member = make_connection("first").member()
    api = APIGatewayManagementAPI(ScriptedCaller(Repeated(result)))
    (posted,) = api.post_to_members([member], b"hello", 25.0)
    assert posted.is_repeated
    assert posted.outcome is not Outcome.DEFERRED
