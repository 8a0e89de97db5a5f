"""The app of this repository, served as a user serves it, used by real clients."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import websocket

from tests.gateway_process import GatewayProcess
from tests.gateway_under_test import eventually

TOKEN = {"token": "hello"}


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess("--stage", "local") as running:
        yield running


def ask(client: websocket.WebSocket, **frame: Any) -> dict[str, Any]:
    """Send a frame; return the reply or error that answers it, other messages passed over."""
    client.send(json.dumps(frame))
    return next(answer for answer in read(client) if answer["type"] != "message")


def read(client: websocket.WebSocket) -> Iterator[dict[str, Any]]:
    while True:
        yield json.loads(client.recv())


def test_a_token_lets_in_and_nothing_else_does(gateway: GatewayProcess) -> None:
    assert gateway.refusal(header=TOKEN) == 101
    for header in ({}, {"token": ""}, {"token": "wrong"}, {"token": "Hello"}, {"tokens": "hello"}):
        assert gateway.refusal(header=header) == 401
    assert gateway.refusal("?token=hello") == 401


def test_a_message_reaches_everyone_and_the_sender_hears_how_many(
    gateway: GatewayProcess,
) -> None:
    eventually(lambda: not gateway.items())
    first, second = gateway.connect(header=TOKEN), gateway.connect(header=TOKEN)
    reply = ask(first, action="sendmessage", message="hello", id=7)
    assert reply["type"] == "reply"
    assert reply["id"] == 7
    assert reply["result"]["delivery"]["targeted"] == 2
    assert reply["result"]["delivery"]["delivered"] == 2
    (received,) = [json.loads(second.recv())]
    assert received["type"] == "message"
    assert received["message"] == "hello"
    assert received["messageId"] == reply["result"]["messageId"]
    first.close()
    second.close()


@pytest.mark.parametrize(
    "text", ["it's", 'a "quote"', "back\\slash", "\\'", "two\nlines", "né ☃ 🎉"]
)
def test_any_text_arrives_as_it_was_sent(gateway: GatewayProcess, text: str) -> None:
    client = gateway.connect(header=TOKEN)
    client.send(json.dumps({"action": "sendmessage", "message": text}))
    # The reply, too: once it is there nobody who connects later is sent this message.
    frames = {frame["type"]: frame for frame in islice(read(client), 2)}
    assert frames["message"]["message"] == text
    assert "reply" in frames
    client.close()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{broken", "malformed_json"),
        ('{"action": "dance"}', "unknown_action"),
        ('{"action": "sendmessage"}', "missing_field"),
        ('{"action": "sendmessage", "message": 5}', "invalid_field"),
        ('{"action": "ping", "action": "sendmessage", "message": "x"}', "duplicate_key"),
    ],
)
def test_a_bad_message_is_an_error_with_a_code_and_the_connection_stays_open(
    gateway: GatewayProcess, frame: str, code: str
) -> None:
    client = gateway.connect(header=TOKEN)
    client.send(frame)
    answer = json.loads(client.recv())
    assert answer["type"] == "error"
    assert answer["error"]["code"] == code
    assert ask(client, action="ping", id="x")["type"] == "reply"
    client.close()


def test_nothing_of_a_connection_is_left_once_it_is_closed(gateway: GatewayProcess) -> None:
    eventually(lambda: not gateway.items())
    client = gateway.connect(header=TOKEN)
    assert len(gateway.items()) == 3, "the connection, and its two audiences"
    client.close()
    eventually(lambda: not gateway.items())


def test_a_client_that_vanishes_leaves_nothing_either(gateway: GatewayProcess) -> None:
    eventually(lambda: not gateway.items())
    client = gateway.connect(header=TOKEN)
    client.shutdown()
    eventually(lambda: not gateway.items())


def test_a_refused_client_leaves_nothing(gateway: GatewayProcess) -> None:
    eventually(lambda: not gateway.items())
    assert gateway.refusal(header={"token": "wrong"}) == 401
    assert not gateway.items()


def test_health_answers_over_http(gateway: GatewayProcess) -> None:
    with urllib.request.urlopen(f"{gateway.http_url}/health") as response:
        assert json.load(response)["status"] == "ok"


def test_no_credential_is_in_the_log(gateway: GatewayProcess) -> None:
    eventually(lambda: not gateway.items())
    gateway.refusal("?token=canary-in-the-query", header={"token": "canary-in-a-header"})
    before = gateway.output.count("$disconnect")
    client = gateway.connect(header={**TOKEN, "Cookie": "canary-in-a-cookie"})
    ask(client, action="sendmessage", message="canary-in-a-message")
    client.close()
    eventually(lambda: gateway.output.count("$disconnect") > before)
    log = gateway.output.split("Ctrl-C stops everything.")[1]
    assert "canary" not in log
    assert "hello" not in log


HOSTILE = 'O\'Brien "Bob" \\ né \\n$context.stage'


def test_a_hostile_principal_is_carried_through_the_mapping_template() -> None:
    with GatewayProcess("--stage", "local", environment={"PRINCIPAL_ID": HOSTILE}) as gateway:
        client = gateway.connect(header=TOKEN)
        client.send(json.dumps({"action": "sendmessage", "message": "it's me"}))
        message = next(frame for frame in read(client) if frame["type"] == "message")
        assert message["from"] == HOSTILE
        client.close()


PARAMETERS = {
    "AUTHENTICATORS": "request_parameters",
    "HEADER_AUTH_VALUE": "headerValue1",
    "QUERY_STRING_VALUE": "queryValue1",
}


def test_request_parameters_let_in_when_all_are_equal() -> None:
    query = "?QueryString1=queryValue1"
    header = {"HeaderAuth1": "headerValue1"}
    with GatewayProcess("--stage", "local", environment=PARAMETERS) as gateway:
        assert gateway.refusal(query, header=header) == 101
        assert gateway.refusal(query, header={"headerauth1": "headerValue1"}) == 101
        assert gateway.refusal(query) == 401
        assert gateway.refusal("", header=header) == 401
        assert gateway.refusal(query, header={"HeaderAuth1": "other"}) == 401
        assert gateway.refusal("?QueryString1=other", header=header) == 401
        assert gateway.refusal(header=TOKEN) == 401


def test_a_stage_variable_must_be_equal_too_where_one_is_configured() -> None:
    query = "?QueryString1=queryValue1"
    header = {"HeaderAuth1": "headerValue1"}
    expected = {**PARAMETERS, "STAGE_VARIABLE_VALUE": "stageValue1"}
    right = {**expected, "STAGE_VARIABLES": "StageVar1=stageValue1"}
    wrong = {**expected, "STAGE_VARIABLES": "StageVar1=other"}
    for environment, status in ((right, 101), (wrong, 401), (expected, 401)):
        with GatewayProcess("--stage", "local", environment=environment) as gateway:
            assert gateway.refusal(query, header=header) == status


def test_the_demonstration_token_is_refused_outside_the_local_stage() -> None:
    environment = {"SHARED_TOKEN": "hello", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.raises(AssertionError, match="SHARED_TOKEN") as caught:
        GatewayProcess("--stage", "dev", environment=environment)
    assert "Traceback" not in str(caught.value)


def test_without_a_token_another_stage_lets_nobody_in() -> None:
    nowhere = {"AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:1"}
    with GatewayProcess("--stage", "dev", environment=nowhere) as gateway:
        assert gateway.refusal(header=TOKEN) == 500
        assert not gateway.items("portcullis-dev")


def test_a_channel_reaches_who_has_joined_it_until_they_leave(gateway: GatewayProcess) -> None:
    inside, outside = gateway.connect(header=TOKEN), gateway.connect(header=TOKEN)
    assert ask(inside, action="join", channel="news")["result"] == {"channel": "news"}
    assert "channel:news" in ask(inside, action="whoami")["result"]["audiences"]
    reply = ask(outside, action="sendmessage", message="hello", to="channel:news")
    assert reply["result"]["delivery"]["delivered"] == 1
    assert json.loads(inside.recv())["to"] == "channel:news"
    ask(inside, action="leave", channel="news")
    reply = ask(outside, action="sendmessage", message="hello", to="channel:news")
    assert reply["result"]["delivery"]["targeted"] == 0
    ask(inside, action="join", channel="news")
    inside.close()
    eventually(lambda: not any("channel:news" in item["pk"]["S"] for item in gateway.items()))
    outside.close()


def test_a_sender_that_waits_for_each_reply_is_delivered_in_order(
    gateway: GatewayProcess,
) -> None:
    sender, receiver = gateway.connect(header=TOKEN), gateway.connect(header=TOKEN)
    ask(receiver, action="join", channel="order")
    for number in range(30):
        ask(sender, action="sendmessage", message=str(number), to="channel:order")
    frames = [json.loads(receiver.recv()) for _ in range(30)]
    assert [frame["message"] for frame in frames] == [str(number) for number in range(30)]
    ids = [frame["messageId"] for frame in frames]
    assert ids == sorted(ids)
    sender.close()
    receiver.close()


def test_a_sender_that_does_not_wait_loses_nothing_and_message_ids_give_an_order(
    gateway: GatewayProcess,
) -> None:
    """In which order they arrive is not promised: handlers run at the same time."""
    sender, receiver = gateway.connect(header=TOKEN), gateway.connect(header=TOKEN)
    ask(receiver, action="join", channel="order")
    for number in range(30):
        frame = {"action": "sendmessage", "message": str(number), "to": "channel:order"}
        sender.send(json.dumps(frame))
    frames = [json.loads(receiver.recv()) for _ in range(30)]
    assert {frame["message"] for frame in frames} == {str(number) for number in range(30)}
    replies = [json.loads(sender.recv()) for _ in range(30)]
    assert {reply["result"]["messageId"] for reply in replies} == {
        frame["messageId"] for frame in frames
    }
    by_id = sorted(frames, key=lambda frame: str(frame["messageId"]))
    assert [frame["sentAt"] for frame in by_id] == sorted(frame["sentAt"] for frame in frames)
    sender.close()
    receiver.close()
