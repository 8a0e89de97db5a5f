from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from localgateway import log
from localgateway.log import Occurrence


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    handlers, propagate, level = log.logger.handlers, log.logger.propagate, log.logger.level
    yield
    log.logger.handlers, log.logger.propagate = handlers, propagate
    log.logger.setLevel(level)


def written(log_format: str, stream: io.StringIO) -> str:
    log.configure(log_format, stream)
    log.occurred(Occurrence("W9I-IeqhoAMCFvw=", "sendmessage", "ok", 14.26))
    return stream.getvalue()


def test_an_event_is_one_readable_line() -> None:
    line = written("text", io.StringIO())
    pattern = r"\d\d:\d\d:\d\d\.\d{3} W9I-IeqhoAMCFvw= sendmessage ok 14\.3 ms\n"
    assert re.fullmatch(pattern, line), line


def test_colour_is_for_terminals_only() -> None:
    assert "\x1b[" in written("text", Terminal())
    assert "\x1b[" not in written("text", io.StringIO())
    assert "\x1b[" not in written("json", Terminal())


def test_an_event_is_one_json_object() -> None:
    line = json.loads(written("json", io.StringIO()))
    assert line.pop("time") > 0
    assert line == {
        "level": "INFO",
        "connection_id": "W9I-IeqhoAMCFvw=",
        "route_key": "sendmessage",
        "status": "ok",
        "milliseconds": 14.26,
    }


def raised() -> logging.LogRecord:
    try:
        raise ValueError("boom")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
        return logging.LogRecord("x", logging.ERROR, "", 0, "%s raised", ("handler",), info)


def test_a_traceback_is_shown_in_both_formats() -> None:
    text = log.TextFormatter(colour=False).format(raised())
    assert "handler raised" in text.splitlines()[0]
    assert text.endswith("ValueError: boom")
    line = json.loads(log.JsonFormatter().format(raised()))
    assert line["message"] == "handler raised"
    assert line["traceback"].endswith("ValueError: boom")
