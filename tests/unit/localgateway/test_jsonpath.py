"""The part of JSONPath that selection expressions and templates use."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localgateway.jsonpath import MISSING, find, parse

DOCUMENT = {
    "action": "sendmessage",
    "data": {"to": ["ann", "bob"], "a.b": "dotted", "it's": "quoted", "": "nameless"},
    "count": 0,
    "flag": False,
    "nothing": None,
    "0": "a key of digits",
    "a b": "with a space",
    "größe": 3,
    "a\nb": "two lines",
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("$", DOCUMENT, id="the root"),
        pytest.param("", DOCUMENT, id="an empty path is the root"),
        pytest.param("$.action", "sendmessage", id="a key"),
        pytest.param("action", "sendmessage", id="a key without the root"),
        pytest.param("$.data.to", ["ann", "bob"], id="a key of a key"),
        pytest.param("$.data.to[1]", "bob", id="an index"),
        pytest.param("$['data']['to'][0]", "ann", id="keys in single quotes"),
        pytest.param('$["data"]["to"]', ["ann", "bob"], id="keys in double quotes"),
        pytest.param("$.data['a.b']", "dotted", id="a quoted key with a dot"),
        pytest.param('$.data["it\'s"]', "quoted", id="a quoted key with an apostrophe"),
        pytest.param("$.data['']", "nameless", id="an empty key"),
        pytest.param("$['0']", "a key of digits", id="quoted digits are a key"),
        pytest.param("$.0", "a key of digits", id="dotted digits are a key"),
        pytest.param("$.a b", "with a space", id="a space"),
        pytest.param("$.größe", 3, id="letters of any language"),
        pytest.param("$['a\nb']", "two lines", id="a quoted key with a line break"),
        pytest.param("$.count", 0, id="a zero is there"),
        pytest.param("$.flag", False, id="a false is there"),
        pytest.param("$.nothing", None, id="a null is there"),
    ],
)
def test_a_path_finds_what_stands_there(path: str, expected: Any) -> None:
    assert find(DOCUMENT, path) == expected


@pytest.mark.parametrize(
    ("document", "path"),
    [
        pytest.param(DOCUMENT, "$.other", id="no such key"),
        pytest.param(DOCUMENT, "$.Action", id="a key of another case"),
        pytest.param(DOCUMENT, "$.data.to[2]", id="an index past the end"),
        pytest.param(DOCUMENT, "$[0]", id="an index into an object"),
        pytest.param(DOCUMENT, "$.data.to.length", id="a key of a list"),
        pytest.param(DOCUMENT, "$.action.length", id="a key of a string"),
        pytest.param(DOCUMENT, "$.action[0]", id="an index into a string"),
        pytest.param(DOCUMENT, "$.nothing.more", id="a key of null"),
        pytest.param(None, "$.action", id="a null document"),
        pytest.param(5, "$.action", id="a number for a document"),
        pytest.param([], "$[0]", id="an empty list"),
        pytest.param("action", "$.action", id="a string for a document"),
    ],
)
def test_a_path_to_nothing_is_missing(document: Any, path: str) -> None:
    assert find(document, path) is MISSING


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("$.", id="a dot and no key"),
        pytest.param("$.a.", id="a dot at the end"),
        pytest.param("$..a", id="descent"),
        pytest.param("$.*", id="every key"),
        pytest.param("$.a[*]", id="every index"),
        pytest.param("$.a[0:2]", id="a slice"),
        pytest.param("$.a[-1]", id="an index from the end"),
        pytest.param("$.a[?(@.b)]", id="a filter"),
        pytest.param("$.a[b]", id="a key without quotes"),
        pytest.param("$.a[", id="an open bracket"),
        pytest.param("$.a]", id="a closing bracket"),
        pytest.param("$['a]", id="an open quote"),
        pytest.param("$['a\"]", id="quotes that differ"),
        pytest.param("$.a['b'", id="a quoted key without its bracket"),
        pytest.param(f"$[{'9' * 5000}]", id="an index of five thousand digits"),
    ],
)
def test_what_this_part_cannot_say_is_an_error(path: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(path)


@given(st.text() | st.text("$.[]'\"*0ab \n"))
def test_any_text_is_a_path_or_a_value_error(path: str) -> None:
    try:
        steps = parse(path)
    except ValueError:
        return
    assert all(isinstance(step, str | int) for step in steps)


PLAIN = st.text(st.characters(codec="utf-8", exclude_characters=".[]'\"*"), min_size=1, max_size=8)
STEPS = st.lists(st.integers(0, 3) | PLAIN, max_size=5)


@given(STEPS, st.data())
def test_keys_and_indexes_however_written_lead_to_the_value(
    steps: list[str | int], data: st.DataObject
) -> None:
    document: Any = "the value"
    for step in reversed(steps):
        document = [None] * step + [document] if isinstance(step, int) else {step: document}
    path = "$"
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += data.draw(st.sampled_from([f".{step}", f"['{step}']", f'["{step}"]']))
    assert find(document, path) == "the value"
