from __future__ import annotations

from pathlib import Path

import pytest

from wsclient.credentials import TokenSource
from wsclient.errors import WrongInput

SECRET = "canary-s3cret"
NOTHING: dict[str, str] = {}


def never() -> str:
    raise AssertionError("asked")


def test_each_source_gives_the_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    assert TokenSource(token=SECRET).read(NOTHING, never) == SECRET
    assert TokenSource(file=file).read(NOTHING, never) == SECRET
    assert TokenSource(ask=True).read(NOTHING, lambda: SECRET) == SECRET
    assert TokenSource().read({"WSCLIENT_TOKEN": SECRET}, never) == SECRET


def test_nothing_named_is_no_token() -> None:
    assert TokenSource().read(NOTHING, never) is None
    assert TokenSource().read({"WSCLIENT_TOKEN": ""}, never) is None


def test_an_option_beats_the_environment() -> None:
    assert TokenSource(token="a").read({"WSCLIENT_TOKEN": "b"}, never) == "a"


def test_two_options_are_one_too_many() -> None:
    with pytest.raises(WrongInput) as caught:
        TokenSource(token=SECRET, ask=True).read(NOTHING, never)
    assert SECRET not in str(caught.value)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="cannot be read"):
        TokenSource(file=tmp_path / "missing").read(NOTHING, never)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(WrongInput, match="cannot be read"):
        TokenSource(file=tmp_path / "binary").read(NOTHING, never)


def test_a_token_is_not_in_the_repr() -> None:
    assert SECRET not in repr(TokenSource(token=SECRET))
