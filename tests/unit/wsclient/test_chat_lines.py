from __future__ import annotations

import pytest

from wsclient.chat_lines import HELP, Address, Meaning, Quit, Say, Send, SendRaw, meaning


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hello", Send("sendmessage", {"message": "hello", "to": "everyone"})),
        ("//hello", Send("sendmessage", {"message": "/hello", "to": "everyone"})),
        (" /to x", Send("sendmessage", {"message": " /to x", "to": "everyone"})),
        ("/join news", Send("join", {"channel": "news"})),
        ("/leave news", Send("leave", {"channel": "news"})),
        ("/whoami", Send("whoami", {})),
        ("/ping ", Send("ping", {})),
        ("/to channel:news", Address("channel:news")),
        ('/raw {"action": "x"}', SendRaw({"action": "x"})),
        ("/quit", Quit()),
        ("/exit", Quit()),
        ("/help", Say(HELP)),
    ],
)
def test_lines_mean_what_they_say(line: str, expected: Meaning) -> None:
    assert meaning(line, "everyone") == expected


@pytest.mark.parametrize(
    "line", ["/join", "/to", "/whoami x", "/raw", "/raw [", "/raw []", "/x", "/"]
)
def test_what_is_incomplete_is_said_and_not_sent(line: str) -> None:
    assert isinstance(meaning(line, "everyone"), Say)
