"""What the gateway says when it is ready."""

from __future__ import annotations

import json
import shlex
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localgateway.authorization import IdentitySource
from localgateway.banner import banner
from localgateway.definition import ApiDefinition, Authorizer, Example, Route
from localgateway.events import Stage

STAGE = Stage("api", domain_name="127.0.0.1:8000")
ROUTES = {"$connect": Route("connect")}
SOURCES = (
    IdentitySource("route.request.header", "Authorization"),
    IdentitySource("route.request.querystring", "room"),
    IdentitySource("stageVariables", "tier"),
    IdentitySource("context", "apiId"),
)


def text(
    *, has_http: bool = True, database_url: str | None = "http://127.0.0.1:8100", **members: Any
) -> str:
    definition = ApiDefinition(**{"routes": ROUTES, **members})
    return banner(definition, STAGE, database_url, has_http=has_http)


def test_queues_are_shown_with_who_works_them() -> None:
    worked = [("orders", "cook"), ("burnt-orders", "apologize")]
    options: Any = {"has_http": False, "queues_url": "http://127.0.0.1:8100"}
    shown = banner(ApiDefinition(ROUTES), STAGE, None, **options, worked=worked)
    lines = shown.splitlines()
    start = lines.index("  Queues          http://127.0.0.1:8100")
    assert lines[start + 1 : start + 3] == [
        "                  orders: cook",
        "                  burnt-orders: apologize",
    ]
    assert "Queues" not in text()


def test_a_page_to_open_comes_before_commands_to_paste() -> None:
    shown = text(example=Example(page="/"))
    assert "\n  Open in a browser:\n    http://127.0.0.1:8000/\n\n  Connect:\n" in shown
    assert "browser" not in text()
    assert "browser" not in text(example=Example(page="/"), has_http=False)


def command(shown: str) -> list[str]:
    """Return the words of the command line to paste, as a shell reads them."""
    line = next(line for line in shown.splitlines() if line.startswith("    npx "))
    return shlex.split(line)


def test_the_whole_text_says_where_everything_is_and_what_to_paste() -> None:
    example = Example(
        headers={"Authorization": "Bearer hello"},
        query={"room": "blue"},
        message={"action": "sendmessage", "data": "hi"},
    )
    assert (
        text(example=example)
        == """
  WebSocket       ws://127.0.0.1:8000/api
  Management API  http://127.0.0.1:8000/api/@connections
  HTTP            http://127.0.0.1:8000
  Database        http://127.0.0.1:8100
  Demonstration   Authorization: Bearer hello, room: blue

  Connect:
    npx wscat -c 'ws://127.0.0.1:8000/api?room=blue' -H 'Authorization:Bearer hello'
  then type:
    {"action":"sendmessage","data":"hi"}

  Ctrl-C stops everything.
"""
    )


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param({}, ["-c", "ws://127.0.0.1:8000/api"], id="nothing known"),
        pytest.param(
            {"authorizer": Authorizer("authorize")},
            ["-c", "ws://127.0.0.1:8000/api"],
            id="an authorizer that needs nothing",
        ),
        pytest.param(
            {"authorizer": Authorizer("authorize", SOURCES)},
            ["-c", "ws://127.0.0.1:8000/api?room=VALUE", "-H", "Authorization:VALUE"],
            id="an authorizer's sources to fill in",
        ),
        pytest.param(
            {
                "authorizer": Authorizer("authorize", SOURCES),
                "example": Example(headers={"Authorization": "Bearer hello"}),
            },
            ["-c", "ws://127.0.0.1:8000/api", "-H", "Authorization:Bearer hello"],
            id="an example before an authorizer's sources",
        ),
        pytest.param(
            {
                "authorizer": Authorizer("authorize", SOURCES),
                "example": Example(query={"token": "hello"}),
            },
            ["-c", "ws://127.0.0.1:8000/api?token=hello"],
            id="an example of a query alone",
        ),
        pytest.param(
            {
                "authorizer": Authorizer("authorize", SOURCES[:1]),
                "example": Example(message={"action": "hi"}),
            },
            ["-c", "ws://127.0.0.1:8000/api", "-H", "Authorization:VALUE"],
            id="an example of a message alone",
        ),
        pytest.param(
            {"example": Example(headers={"A": "1", "B": "2"})},
            ["-c", "ws://127.0.0.1:8000/api", "-H", "A:1", "-H", "B:2"],
            id="two headers",
        ),
    ],
)
def test_the_command_opens_a_connection(members: dict[str, Any], expected: list[str]) -> None:
    assert command(text(**members)) == ["npx", "wscat", *expected]


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        pytest.param(text(has_http=False), "  HTTP", id="no HTTP routes"),
        pytest.param(text(database_url=None), "  Database", id="no database"),
        pytest.param(text(routes={}), "  WebSocket", id="no WebSocket API"),
        pytest.param(text(routes={}), "  Management API", id="no WebSocket API to manage"),
        pytest.param(text(routes={}), "wscat", id="no WebSocket API to connect to"),
    ],
)
def test_what_a_project_does_not_have_is_not_shown(shown: str, missing: str) -> None:
    assert missing in text()
    assert missing not in shown
    assert shown.endswith("\n  Ctrl-C stops everything.\n")


def test_without_credentials_none_are_shown() -> None:
    shown = text(example=Example(message={"action": "hi"}))
    assert "Demonstration" not in shown
    assert "then type:" in shown
    assert "then type:" not in text()


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["C"]))
NON_EMPTY = st.dictionaries(PRINTABLE, PRINTABLE, min_size=1, max_size=2)


@given(NON_EMPTY, NON_EMPTY, st.dictionaries(PRINTABLE, PRINTABLE, min_size=1))
def test_what_is_pasted_is_what_was_meant(
    headers: dict[str, str], query: dict[str, str], message: dict[str, str]
) -> None:
    shown = text(example=Example(headers, query, message))
    _, _, _, url, *options = command(shown)
    assert options[::2] == ["-H"] * len(headers)
    assert options[1::2] == [f"{name}:{value}" for name, value in headers.items()]
    assert dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)) == query
    line = shown.splitlines()[shown.splitlines().index("  then type:") + 1]
    assert json.loads(line) == message
