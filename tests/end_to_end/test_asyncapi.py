"""docs/asyncapi.yaml: valid by AsyncAPI's own schema, and what the gateway really sends and takes.

What JSON schema cannot say of a document, that references lead somewhere and messages are used, is
asked beside it.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from chalicelib import __version__, actions
from chalicelib.scopes import Scopes
from localgateway.database import EmbeddedDatabase
from tests.app_under_test import AppUnderTest, app_under_test

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
OFFICIAL = gzip.decompress((ROOT / "tests" / "schemas" / "asyncapi-3.0.0.json.gz").read_bytes())
OFFICIAL_SHA256 = "d4571a420e6ffb7fcc7066c95a6db1202f299a3c51daa103d0706bf30f95e626"
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
SCOPES = "connect sendmessage sendmessage:channel:* join:channel:* admin"
TOKEN: dict[str, Any] = {"header": {"token": "hello"}}
EXAMPLES = [
    pytest.param(name, example["payload"], id=f"{name}-{number}")
    for name, message in MESSAGES.items()
    for number, example in enumerate(message["examples"])
]
REQUESTS = [it for it in EXAMPLES if "action" in it.values[1]]  # type: ignore[operator]


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def resolve(reference: str) -> Any:
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def validator(name: str) -> Any:
    schema = {**MESSAGES[name]["payload"], "components": DOCUMENT["components"]}
    return jsonschema.Draft202012Validator(schema)


def kind_of(frame: dict[str, Any]) -> str:
    """Return which message a frame is, by what sets it apart."""
    for name, message in MESSAGES.items():
        for mark in ("action", "type"):
            const = message["payload"]["properties"].get(mark, {}).get("const")
            if const is not None and frame.get(mark) == const:
                return name
    raise AssertionError(f"described nowhere: {frame}")


def faults(document: object) -> list[str]:
    """Return where a document is not as AsyncAPI's schema wants it."""
    official = jsonschema.Draft7Validator(json.loads(OFFICIAL))
    return [error.json_path for error in official.iter_errors(document)]


def test_the_document_is_valid_by_the_official_schema() -> None:
    assert hashlib.sha256(OFFICIAL).hexdigest() == OFFICIAL_SHA256
    assert faults(DOCUMENT) == []


@pytest.mark.parametrize(
    ("break_it", "where"),
    [
        (lambda it: it["info"].pop("title"), "$.info"),
        (lambda it: it["servers"]["local"].pop("protocol"), "$.servers.local"),
        (lambda it: it["channels"]["connection"].update(subscribe={}), "$.channels.connection"),
        (lambda it: next(iter(it["operations"].values())).update(action="push"), "$.operations"),
        (
            lambda it: it["components"]["messages"]["error"]["payload"].update(type="text"),
            "$.components",
        ),
        (lambda it: it["components"]["messages"]["error"].update(examples={}), "$.components"),
    ],
)
def test_the_official_schema_finds_what_is_wrong(
    break_it: Callable[[dict[str, Any]], object], where: str
) -> None:
    broken = copy.deepcopy(DOCUMENT)
    break_it(broken)
    found = faults(broken)
    assert found
    assert all(path.startswith(where) for path in found)


def test_the_document_is_one_of_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    assert DOCUMENT["info"]["version"] == __version__
    known = {"asyncapi", "info", "defaultContentType", "servers", "channels", "operations"}
    assert DOCUMENT.keys() == known | {"components"}
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= server.keys()
        assert "://" not in server["host"]
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = operation["channel"]["$ref"]
        named = [*operation["messages"], *operation.get("reply", {}).get("messages", [])]
        # Messages of an operation are named through its channel.
        assert all(it["$ref"].startswith(f"{channel}/messages/") for it in named)


def test_every_reference_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert found
    for reference in found:
        assert reference.startswith("#/")
        resolve(reference)


def test_every_message_is_in_the_channel_and_in_an_operation() -> None:
    channel = DOCUMENT["channels"]["connection"]["messages"]
    assert channel.keys() == MESSAGES.keys()
    used = {
        reference.rpartition("/")[2]
        for reference in references(DOCUMENT["operations"])
        if "/messages/" in reference
    }
    assert used == MESSAGES.keys()


def test_every_payload_is_a_schema() -> None:
    for message in MESSAGES.values():
        jsonschema.Draft202012Validator.check_schema(message["payload"])
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_actions_are_those_there_are() -> None:
    described = {
        message["payload"]["properties"]["action"]["const"]
        for message in MESSAGES.values()
        if "action" in message["payload"]["properties"]
    }
    assert described == set(actions._ACTIONS)


@pytest.mark.parametrize(("name", "payload"), EXAMPLES)
def test_examples_are_valid_and_of_their_kind(name: str, payload: dict[str, Any]) -> None:
    validator(name).validate(payload)
    assert kind_of(payload) == name


@pytest.mark.parametrize(
    "frame",
    [
        {"action": "sendmessage"},
        {"action": "ping", "more": 1},
        {"action": "join", "channel": "a b"},
        {"type": "reply", "id": 1},
        {"type": "error", "id": None, "error": {"code": "Bad"}},
        {"type": "closing", "code": "disconnected", "reason": ""},
    ],
)
def test_what_is_no_such_frame_is_not_valid(frame: dict[str, Any]) -> None:
    assert not validator(kind_of(frame)).is_valid(frame)


@pytest.fixture(scope="module")
def app(database: EmbeddedDatabase) -> Iterator[AppUnderTest]:
    with (
        pytest.MonkeyPatch.context() as patch,
        app_under_test(database, patch, default_scopes=Scopes.parse(SCOPES)) as running,
    ):
        yield running


@pytest.mark.parametrize(("name", "payload"), REQUESTS)
def test_what_is_described_is_taken_and_answered_as_described(
    app: AppUnderTest, name: str, payload: dict[str, Any]
) -> None:
    client = app.gateway.connect(**TOKEN)
    client.send('{"action": "join", "channel": "news"}')
    client.recv()
    client.send(json.dumps(payload))
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["type"] not in ("reply", "error"):
        frames.append(json.loads(client.recv()))
        validator(kind_of(frames[-1])).validate(frames[-1])
    assert frames[-1]["type"] == "reply"
    assert frames[-1]["id"] == payload.get("id")
    assert (name == "sendMessage") == (frames[0]["type"] == "message")
    client.close()


BROKEN = ["{", "[]", '{"action": "dance"}', '{"action": "join", "channel": "a b", "id": 7}']


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_not_is_answered_with_an_error_as_described(app: AppUnderTest, text: str) -> None:
    client = app.gateway.connect(**TOKEN)
    client.send(text)
    frame = json.loads(client.recv())
    assert kind_of(frame) == "error"
    validator("error").validate(frame)
    client.close()


def test_the_last_frame_of_a_closed_connection_is_described(app: AppUnderTest) -> None:
    client = app.gateway.connect(**TOKEN)
    client.send('{"action": "whoami"}')
    client.recv()
    bearer = {"Authorization": "Bearer hello"}
    assert app.request("DELETE", "/principals/client/connections", **bearer)[0] == 200
    frame = json.loads(client.recv())
    assert kind_of(frame) == "closing"
    validator("closing").validate(frame)
    client.close()
