"""Frames are read strictly: what two readers could understand differently is refused."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import ClientError
from chalicelib.frames import MAX_DEPTH, MAX_FRAME_CHARACTERS, encode, parse_object


def nested(depth: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * depth + "1" + closing * depth


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param("", "malformed_json", id="nothing"),
        pytest.param("hello", "malformed_json", id="no JSON"),
        pytest.param('{"a":1', "malformed_json", id="half an object"),
        pytest.param('{"a":1}{"b":2}', "malformed_json", id="two objects"),
        pytest.param("{'a':1}", "malformed_json", id="single quotes"),
        pytest.param('{"a":"\n"}', "malformed_json", id="a bare line end in a text"),
        pytest.param('\ufeff{"a":1}', "malformed_json", id="a byte order mark"),
        pytest.param("[]", "not_an_object", id="an array"),
        pytest.param('"text"', "not_an_object", id="a text"),
        pytest.param("null", "not_an_object", id="null"),
        pytest.param("7", "not_an_object", id="a number"),
        pytest.param('{"a":1,"a":1}', "duplicate_key", id="a key twice"),
        pytest.param('{"a":1,"\\u0061":1}', "duplicate_key", id="a key twice, once escaped"),
        pytest.param('{"x":{"a":1,"a":2}}', "duplicate_key", id="a key twice, further down"),
        pytest.param('{"a":NaN}', "invalid_number", id="NaN"),
        pytest.param('{"a":-Infinity}', "invalid_number", id="infinity"),
        pytest.param('{"a":1e999}', "invalid_number", id="a number too large to hold"),
        pytest.param('{"a":' + "9" * 5000 + "}", "invalid_number", id="thousands of digits"),
        pytest.param(nested(MAX_DEPTH + 1), "too_deep", id="one object too deep"),
        pytest.param(nested(MAX_DEPTH + 1, "[", "]"), "too_deep", id="one array too deep"),
        pytest.param(nested(20_000), "too_deep", id="deeper than the interpreter can go"),
        pytest.param("[" * 100_000, "too_deep", id="deep and never closed"),
        pytest.param(f'"{"x" * MAX_FRAME_CHARACTERS}"', "frame_too_long", id="too long"),
    ],
)
def test_a_frame_that_is_not_one_plain_object_is_refused(body: str, code: str) -> None:
    with pytest.raises(ClientError) as caught:
        parse_object(body)
    assert caught.value.code == code


def test_an_object_at_the_limits_is_read() -> None:
    assert parse_object(nested(MAX_DEPTH)) == json.loads(nested(MAX_DEPTH))
    longest = json.dumps({"a": "x" * (MAX_FRAME_CHARACTERS - 9)})
    assert len(longest) == MAX_FRAME_CHARACTERS
    assert parse_object(longest) == json.loads(longest)


@given(
    st.dictionaries(
        st.text(), st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
    )
)
def test_plain_objects_are_read_as_json_reads_them(value: dict[str, object]) -> None:
    assert parse_object(json.dumps(value)) == value


@given(st.text())
def test_any_text_is_an_object_or_the_senders_fault(body: str) -> None:
    with suppress(ClientError):
        assert isinstance(parse_object(body), dict)


def test_frames_are_written_in_utf_8_without_blanks() -> None:
    assert encode({"a": "é", "b": [1, 2]}) == '{"a":"é","b":[1,2]}'.encode()
