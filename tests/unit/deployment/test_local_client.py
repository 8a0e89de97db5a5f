"""A step of the transcript is right for the answers that are right, and for no others."""

import pytest

from deployment.local_client import Credentials, LocalClient, Step, _is_answer
from tests.fakes import refusing_port
from tests.wsclient_fakes import ScriptedWebSocketServer

SOURCES = [
    "route.request.header.token",
    "route.request.querystring.QueryString1",
    "stageVariables.StageVar1",
]


def test_a_credential_is_put_where_the_api_looks_for_it() -> None:
    assert Credentials.at(SOURCES, "x") == Credentials({"token": "x"}, {"QueryString1": "x"})


def test_an_origin_changes_nothing_else() -> None:
    sent = Credentials.at(SOURCES, "x").from_origin("https://a")
    assert sent == Credentials({"token": "x", "Origin": "https://a"}, {"QueryString1": "x"})


def test_a_line_says_whether_it_is_as_it_should_be() -> None:
    assert Step("handshake", "401", True).line() == "ok   handshake: 401"
    assert Step("handshake", "101", False).line() == "NOT  handshake: 101"


@pytest.mark.parametrize(
    ("frame", "is_answer"),
    [
        ('{"type":"reply","result":{}}', True),
        ('{"type":"message","message":"hello"}', True),
        ('{"type":"error","error":{"code":"x"}}', False),
        ("ServiceUnavailable: the table", False),  # a handler's fault, in the emulator's words
        ('{"message":"Internal server error","error":"x"}', False),
        ("[]", False),
    ],
)
def test_words_of_a_handler_that_fails_are_no_answer(frame: str, is_answer: bool) -> None:
    assert _is_answer(frame) is is_answer


def test_it_connects_without_the_proxy_that_packages_come_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with refusing_port() as port, ScriptedWebSocketServer(lambda it: None) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        first = next(LocalClient(server.url, (), (), "x").steps("hello", None))
    assert first.outcome == "101"
