"""The log of decisions: one line each, whatever is in a name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.decisions import decision_line, source_ip

HOSTILE = [
    pytest.param("two\nlines\r\n", id="new lines"),
    pytest.param('"}\n{"decision":"authorize","reason":"ok"', id="a line of its own"),
    pytest.param("\x1b[2J\x1b]0;title\x07", id="commands for a terminal"),
    pytest.param("\x00\x08\x7f", id="control characters"),
    pytest.param("\x85\x9b31m", id="C1 control characters"),
    pytest.param("\u2028\u2029", id="line separators"),
    pytest.param("\u202eecila\u2066\u200f", id="marks that turn text around"),
    pytest.param("\ufeff\u200b", id="characters nobody sees"),
    pytest.param("\ud800", id="half a character"),
    pytest.param("日本 😀", id="letters of the world"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_line_is_one_line_of_printable_ascii_and_says_what_was_given(text: str) -> None:
    line = decision_line("authorize", "ok", text, text, text)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["principalId"] == text


@given(text=st.text(max_size=300))
def test_any_text_is_one_line(text: str) -> None:
    line = decision_line("authorize", "ok", text)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["principalId"] == text[:256]


def test_long_texts_are_cut() -> None:
    line = json.loads(decision_line("authorize", "ok", "a" * 257, "b" * 10_000))
    assert (len(line["principalId"]), len(line["connectionId"])) == (256, 256)


@pytest.mark.parametrize(
    "credential",
    [
        pytest.param(f"pk_{'0' * 16}_{'s3cret-_' * 6}"[:63], id="an API key"),
        pytest.param(f"eyJhbGciOiJub25lIn0.{'e30s' * 100}.c2ln", id="a token longer than a line"),
    ],
)
def test_a_credential_taken_for_a_name_is_not_shown(credential: str) -> None:
    line = decision_line("revoke", "ok", of=f"Bearer {credential} ", connection_id=credential)
    assert json.loads(line)["of"] == "Bearer (a credential) "
    assert json.loads(line)["connectionId"] == "(a credential)"


def test_a_line_may_say_more() -> None:
    line = json.loads(decision_line("jwks", "fetch_failed", problem="no\nanswer" + "!" * 300))
    assert line["problem"] == "no\nanswer" + "!" * 247


def test_what_is_unknown_is_null() -> None:
    assert json.loads(decision_line("authorize", "no_credentials")) == {
        "decision": "authorize",
        "reason": "no_credentials",
        "principalId": None,
        "connectionId": None,
        "sourceIp": None,
    }


@pytest.mark.parametrize(
    ("context", "address"),
    [
        ({"identity": {"sourceIp": "192.0.2.7"}}, "192.0.2.7"),
        ({"sourceIp": "192.0.2.7"}, "192.0.2.7"),
        ({"identity": {}, "sourceIp": "192.0.2.8"}, None),
        ({"identity": {"sourceIp": None}}, None),
        ({"identity": {"sourceIp": ["192.0.2.7"]}}, None),
        ({"identity": None}, None),
        ({}, None),
    ],
)
def test_the_source_address_is_that_of_the_request(
    context: dict[str, object], address: str | None
) -> None:
    assert source_ip(context) == address
