from __future__ import annotations

import pytest

from wsclient import words


@pytest.mark.parametrize("status", [400, 401, 403, 404, 426, 429, 500, 502, 503, 504])
def test_each_refusal_is_said_in_words_of_its_own(status: int) -> None:
    text = words.refusal(status)
    assert text.startswith(f"refused with {status}: ")
    others = {words.refusal(other).partition(": ")[2] for other in (418, 301)}
    assert text.partition(": ")[2] not in others


def test_401_says_how_to_give_a_token() -> None:
    assert "--token-file" in words.refusal(401)


def test_a_redirect_is_not_followed_and_says_why() -> None:
    assert "elsewhere" in words.refusal(302)


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        pytest.param(1009, "", "128 KiB, in frames of 32 KiB", id="too long names the limits"),
        pytest.param(
            1001, "Going away", "(Going away): going away: idle for 10 minutes", id="idle"
        ),
        pytest.param(1006, "", "lost without a close frame", id="lost"),
        pytest.param(4401, "expired", "closed with 4401: expired.", id="the application's own"),
        pytest.param(4000, "", "closed with 4000: closed by the server.", id="without a reason"),
        pytest.param(1000, "kicked", "closed with 1000: kicked.", id="a reason beats 1000"),
    ],
)
def test_close_codes_are_said_in_words(code: int, reason: str, text: str) -> None:
    assert text in words.closing(code, reason)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("né ☃ 🎉 👩‍👩‍👧", "né ☃ 🎉 👩‍👩‍👧", id="what can be read stays"),
        pytest.param("a\nb\r\tc", "a\\nb\\r\\tc", id="one line"),
        pytest.param("\x1b[2J\x07\x9b", "\\x1b[2J\\x07\\x9b", id="no command of a terminal"),
        pytest.param("a\u202eb\u2066", "a\\u202eb\\u2066", id="no other order"),
        pytest.param("\u2028\ud800", "\\u2028\\ud800", id="no line separator, no half a pair"),
    ],
)
def test_text_of_others_is_made_printable(text: str, shown: str) -> None:
    assert words.printable(text) == shown


def test_a_reason_cannot_command_the_terminal() -> None:
    assert "\x1b" not in words.closing(4000, "\x1b[2J")
