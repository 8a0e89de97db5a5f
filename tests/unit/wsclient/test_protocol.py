from __future__ import annotations

import json

import pytest

from wsclient.protocol import answers, decode, encode, error_of, is_error

FORBIDDEN = {"message": "Forbidden", "connectionId": "c=", "requestId": "r="}
BAD_BODY = {"message": "Bad request body", "connectionId": "c=", "messageId": "m="}


@pytest.mark.parametrize("text", ["né ☃ 🎉", 'a "quote"', "two\nlines", "half \ud800"])
def test_what_is_encoded_is_utf8_and_comes_back(text: str) -> None:
    encoded = encode({"message": text})
    assert json.loads(encoded.encode().decode()) == {"message": text}


def test_text_is_not_made_longer_than_it_is() -> None:
    assert encode({"message": "☃"}) == '{"message":"☃"}'


@pytest.mark.parametrize(
    "text", ["", "hello", "[]", "5", "null", '{"a": NaN}', '{"a": 1e999}', "[" * 100_000]
)
def test_what_is_no_json_object_is_kept_as_text(text: str) -> None:
    assert decode(text) == {"type": "unreadable", "text": text}


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        pytest.param({"type": "reply", "id": "7"}, True, id="its reply"),
        pytest.param({"type": "error", "id": "7"}, True, id="its error"),
        pytest.param({"type": "error", "id": None}, True, id="what could not be read"),
        pytest.param(FORBIDDEN, True, id="API Gateway's own"),
        pytest.param(BAD_BODY, True, id="API Gateway's validation"),
        pytest.param({"type": "reply", "id": "8"}, False, id="another's reply"),
        pytest.param({"type": "reply", "id": None}, False, id="a reply to a frame without id"),
        pytest.param({"type": "error", "id": "8"}, False, id="another's error"),
        pytest.param({"type": "message", "id": "7", "message": "x"}, False, id="a message"),
        pytest.param({"type": "closing"}, False, id="closing"),
    ],
)
def test_what_answers_a_request(frame: dict[str, object], answer: bool) -> None:
    assert answers(frame, "7") is answer


def test_errors_of_both_kinds_are_told() -> None:
    error = {"type": "error", "id": None, "error": {"code": "too_deep", "message": "No."}}
    assert is_error(error)
    assert error_of(error) == ("too_deep", "No.")
    assert is_error(FORBIDDEN)
    assert error_of(FORBIDDEN) == ("", "Forbidden")
    assert not is_error({"type": "message", "message": "x", "connectionId": "y"})
