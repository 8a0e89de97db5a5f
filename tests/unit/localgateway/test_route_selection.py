"""Which route a message takes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from localgateway.errors import StartError
from localgateway.route_selection import evaluate, parse_expression, select_route

ACTION = "$request.body.action"
ROUTE_KEYS = frozenset(
    {"$connect", "$disconnect", "$default", "hello", "1", "1.5", "true", "NaN", "[a, b]", "{k=v}"}
)


@pytest.mark.parametrize(
    ("frame", "route_key"),
    [
        pytest.param('{"action": "hello"}', "hello", id="a route's key"),
        pytest.param('{"action": "hello", "action": "1"}', "1", id="the last of two actions"),
        pytest.param('{"\\u0061ction": "hell\\u006f"}', "hello", id="escaped letters"),
        pytest.param(' \t\r\n{"action": "hello"}\n', "hello", id="white space around it"),
        pytest.param('{"action": 1}', "1", id="an integer"),
        pytest.param('{"action": 1.5}', "1.5", id="a fraction"),
        pytest.param('{"action": true}', "true", id="a boolean"),
        pytest.param('{"action": ["a", "b"]}', "[a, b]", id="a list"),
        pytest.param('{"action": {"k": "v"}}', "{k=v}", id="an object"),
        pytest.param('{"action": "Hello"}', "$default", id="another case"),
        pytest.param('{"action": "hello "}', "$default", id="a space after it"),
        pytest.param('{"action": "hell"}', "$default", id="a beginning of it"),
        pytest.param('{"action": "unknown"}', "$default", id="no route's key"),
        pytest.param('{"action": null}', "$default", id="null"),
        pytest.param('{"action": ""}', "$default", id="empty"),
        pytest.param('{"Action": "hello"}', "$default", id="the action's own case"),
        pytest.param('{"data": {"action": "hello"}}', "$default", id="too deep"),
        pytest.param("{}", "$default", id="no action"),
        pytest.param("[]", "$default", id="a list for a message"),
        pytest.param('"hello"', "$default", id="a string for a message"),
        pytest.param("1", "$default", id="a number for a message"),
        pytest.param("null", "$default", id="null for a message"),
        pytest.param("hello", "$default", id="no JSON"),
        pytest.param("", "$default", id="nothing"),
        pytest.param('{"action": "hello"', "$default", id="JSON cut short"),
        pytest.param('{"action": "hello"} {}', "$default", id="JSON and more"),
        pytest.param("{'action': 'hello'}", "$default", id="single quotes"),
        pytest.param('\ufeff{"action": "hello"}', "$default", id="a byte order mark"),
        pytest.param('{"action": NaN}', "$default", id="a number that JSON does not have"),
        pytest.param('{"action": "hello", "x": Infinity}', "$default", id="another beside it"),
        pytest.param('{"action": "$connect"}', "$default", id="$connect"),
        pytest.param('{"action": "$disconnect"}', "$default", id="$disconnect"),
        pytest.param('{"action": "$default"}', "$default", id="$default"),
        pytest.param("[" * 100_000, "$default", id="a hundred thousand brackets"),
        pytest.param(
            f'{{"action": {"[" * 450}{"]" * 450}}}', "$default", id="an action of many lists"
        ),
        pytest.param(
            '{"action":' * 450 + "1" + "}" * 450, "$default", id="an action of many objects"
        ),
        pytest.param(f'{{"action": {"9" * 5000}}}', "$default", id="five thousand digits"),
        pytest.param('{"action": "\\ud800"}', "$default", id="half a character"),
        pytest.param('{"action": "hello\\u0000"}', "$default", id="a zero character"),
    ],
)
def test_a_message_takes_the_route_its_action_names(frame: str, route_key: str) -> None:
    assert select_route(ACTION, frame, ROUTE_KEYS) == route_key


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param('{"action": "unknown"}', id="no route's key"),
        pytest.param('{"action": "$connect"}', id="a predefined route"),
        pytest.param("{}", id="no action"),
        pytest.param("hi", id="no JSON"),
    ],
)
def test_without_a_default_route_there_is_none(frame: str) -> None:
    assert select_route(ACTION, frame, {"$connect", "$disconnect", "hello"}) is None


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        pytest.param("$request.body.action", "join", id="a key"),
        pytest.param("${request.body.action}", "join", id="a key in braces"),
        pytest.param("$request.body.room.name", "blue", id="a key of a key"),
        pytest.param("$request.body.tags[1]", "b", id="an index"),
        pytest.param("${request.body.room['a.b']}", "dotted", id="a quoted key"),
        pytest.param("$request.body.room['name']", "blue", id="a quoted key without braces"),
        pytest.param("$request.body.a-b", "hyphen", id="a hyphen"),
        pytest.param("${request.body.service}/${request.body.action}", "chat/join", id="two keys"),
        pytest.param("$request.body.service/$request.body.action", "chat/join", id="two, bare"),
        pytest.param("v1:${request.body.action}!", "v1:join!", id="text around a key"),
        pytest.param("static", "static", id="text alone"),
        pytest.param("\\$default", "$default", id="an escaped dollar"),
        pytest.param("\\${request.body.action}", "${request.body.action}", id="escaped braces"),
        pytest.param("$request.body.other", "", id="a missing key"),
        pytest.param("a${request.body.other}b", "ab", id="a missing key between text"),
        pytest.param("$request.body.nothing", "", id="null"),
        pytest.param("$request.body.tags", "[a, b, 1, true, ]", id="a list"),
        pytest.param("$request.body.room", "{name=blue, a.b=dotted, n={x=[]}}", id="an object"),
        pytest.param("$request.body.trap", "${request.body.action}", id="evaluated only once"),
    ],
)
def test_an_expression_is_text_and_keys(expression: str, value: str) -> None:
    body = {
        "service": "chat",
        "action": "join",
        "room": {"name": "blue", "a.b": "dotted", "n": {"x": []}},
        "tags": ["a", "b", 1, True, None],
        "a-b": "hyphen",
        "nothing": None,
        "trap": "${request.body.action}",
    }
    assert evaluate(expression, json.dumps(body)) == value


def test_an_expression_has_no_value_for_what_is_not_json() -> None:
    assert evaluate("static", "hello") is None


def test_static_text_can_name_the_default_route_only() -> None:
    assert select_route("hello", "{}", ROUTE_KEYS) == "hello"
    assert select_route("\\$default", "{}", ROUTE_KEYS) == "$default"
    assert select_route("\\$connect", "{}", ROUTE_KEYS) == "$default"


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("$", id="a lone dollar"),
        pytest.param("$default", id="a dollar that is not escaped"),
        pytest.param("$request.header.action", id="a header"),
        pytest.param("$request.querystring.action", id="a query parameter"),
        pytest.param("$context.routeKey", id="the context"),
        pytest.param("$request.body", id="the body itself"),
        pytest.param("$request.body.", id="no key"),
        pytest.param("${request.body.}", id="no key in braces"),
        pytest.param("${request.body.action", id="an open brace"),
        pytest.param("$Request.body.action", id="another case"),
        pytest.param("\\n", id="an escape of something else"),
        pytest.param("a\\", id="a backslash at the end"),
        pytest.param("$request.body.a[", id="an open bracket"),
        pytest.param("${request.body.a[}", id="an open bracket in braces"),
        pytest.param("$request.body.a.", id="a dot at the end"),
        pytest.param("$request.body.it's", id="a quote"),
        pytest.param("${request.body.a[*]}", id="every element of a list"),
    ],
)
def test_an_expression_that_is_none_is_refused_at_the_start(expression: str) -> None:
    with pytest.raises(StartError) as raised:
        parse_expression(expression)
    assert repr(expression) in str(raised.value)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["$a"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["action", "a"]), inner),
)
MESSAGES = st.fixed_dictionaries({"action": st.sampled_from(sorted(ROUTE_KEYS)) | JSON}) | JSON
FRAMES = st.text() | MESSAGES.map(json.dumps)


@given(FRAMES, st.frozensets(st.sampled_from(sorted(ROUTE_KEYS))))
def test_no_frame_reaches_a_predefined_route_but_default(
    frame: str, route_keys: frozenset[str]
) -> None:
    route_key = select_route(ACTION, frame, route_keys)
    assert route_key is None or route_key in route_keys
    assert route_key == "$default" or not (route_key or "").startswith("$")
    assert (route_key is None) <= ("$default" not in route_keys)


@given(st.text("$.[]{}'\\ab0*") | st.text("$.[]{}'ab0*").map("$request.body.{}".format))
def test_an_expression_once_accepted_always_has_a_value(expression: str) -> None:
    try:
        parse_expression(expression)
    except StartError:
        return
    assert evaluate(expression, '{"a": {"b": ["0"]}, "b": 0}') is not None


@given(st.text(), st.text())
@example("$connect", "$default")
def test_a_string_is_matched_exactly(action: str, other: str) -> None:
    routes = {action, other}
    chosen = select_route(ACTION, json.dumps({"action": action}), routes)
    default = "$default" if "$default" in routes else None
    assert chosen == (default if action.startswith("$") else action)
