from __future__ import annotations

import io
import json
from typing import Any

import click
import pytest

from wsclient.errors import OutputGone
from wsclient.printing import Printer, json_line, readable

DELIVERY = {"targeted": 3, "delivered": 1, "gone": 1, "expired": 0, "slow": 1, "failed": 0}


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        pytest.param(
            {"type": "message", "from": "ann", "to": "everyone", "message": "hi"},
            "ann: hi",
            id="to everyone",
        ),
        pytest.param(
            {"type": "message", "from": "ann", "to": "channel:news", "message": "hi"},
            "ann (to channel:news): hi",
            id="to a channel",
        ),
        pytest.param(
            {"type": "reply", "result": {"messageId": "m", "delivery": DELIVERY}},
            "delivered to 1 of 3 (1 gone, 1 slow)",
            id="delivered to some",
        ),
        pytest.param(
            {"type": "reply", "result": {"delivery": {"targeted": 2, "delivered": 2}}},
            "delivered to 2",
            id="delivered to all",
        ),
        pytest.param(
            {"type": "reply", "result": {"principalId": "ann", "expiresAt": 5}},
            "principalId ann, expiresAt 5",
            id="another result",
        ),
        pytest.param({"type": "reply", "result": {}}, "ok", id="an empty result"),
        pytest.param({"type": "reply", "result": None}, "ok", id="no result"),
        pytest.param(
            {"type": "error", "error": {"code": "too_deep", "message": "No."}},
            "error too_deep: No.",
            id="an error",
        ),
        pytest.param(
            {"message": "Forbidden", "connectionId": "c", "requestId": "r"},
            "error Forbidden",
            id="API Gateway's own",
        ),
        pytest.param(
            {"type": "closing", "code": 4401, "reason": "expired"},
            "closing: closed with 4401: expired.",
            id="closing",
        ),
        pytest.param({"type": "closing"}, "closing", id="closing, nothing said"),
        pytest.param({"type": "unreadable", "text": "<xml>"}, "<xml>", id="no JSON"),
        pytest.param({"type": "new", "a": 1}, '{"type":"new","a":1}', id="a type of tomorrow"),
        pytest.param({}, "{}", id="no type"),
    ],
)
def test_frames_are_read_as_words(frame: dict[str, Any], text: str) -> None:
    assert click.unstyle(readable(frame)) == text


HOSTILE = "\x1b[2J\x9b\u202e\r\nwsclient: lies"


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "message", "from": HOSTILE, "to": HOSTILE, "message": HOSTILE},
        {"type": "message", "message": {"deep": HOSTILE}},
        {"type": "error", "error": {"code": HOSTILE, "message": HOSTILE}},
        {"type": "reply", "result": {HOSTILE: HOSTILE}},
        {"type": "reply", "result": HOSTILE},
        {"type": "reply", "result": {"delivery": {"delivered": HOSTILE, "targeted": 1}}},
        {"type": "closing", "code": 4000, "reason": HOSTILE},
        {"type": "unreadable", "text": HOSTILE},
        {"type": HOSTILE},
        {"message": HOSTILE, "connectionId": HOSTILE},
    ],
)
def test_no_frame_can_command_a_terminal_or_fake_a_line(frame: dict[str, Any]) -> None:
    for text in (click.unstyle(readable(frame)), json_line(frame)):
        assert not set(text) & set("\x1b\x9b\u202e\r\n")
        assert text


def test_json_lines_are_the_frame_in_ascii() -> None:
    frame = {"type": "message", "message": "né\n\ud800"}
    assert json_line(frame).isascii()
    assert json.loads(json_line(frame)) == frame


def test_colour_is_there_only_where_it_is_wanted() -> None:
    frame = {"type": "message", "from": "ann", "message": "hi"}
    plain = Printer(io.StringIO(), as_json=False, colour=False, time_of_day=lambda: "12:00:01")
    assert plain.line(frame) == "12:00:01  ann: hi"
    coloured = Printer(io.StringIO(), as_json=False, colour=True)
    assert "\x1b[" in coloured.line(frame)
    assert "\x1b[" not in Printer(io.StringIO(), as_json=True, colour=True).line(frame)


def test_a_line_is_out_at_once() -> None:
    class Stream(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    stream = Stream()
    Printer(stream, as_json=True, colour=False).show({"type": "x"})
    assert stream.flushed == '{"type":"x"}\n'


def test_a_reader_that_has_gone_ends_it() -> None:
    class Stream(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    with pytest.raises(OutputGone):
        Printer(Stream(), as_json=True, colour=False).show({})
