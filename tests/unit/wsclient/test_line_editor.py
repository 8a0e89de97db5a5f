from __future__ import annotations

import pytest

from wsclient.line_editor import LineEditor

LEFT, RIGHT, UP, DOWN = "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B"


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        pytest.param("hello\r", "hello", id="typed"),
        pytest.param("hello\n", "hello", id="typed, another Enter"),
        pytest.param("né ☃ 🎉\r", "né ☃ 🎉", id="any character"),
        pytest.param("helo" + LEFT + "l\r", "hello", id="inserted"),
        pytest.param("a" + LEFT * 5 + "b\r", "ba", id="left has an end"),
        pytest.param("a" + RIGHT * 5 + "b\r", "ab", id="right has an end"),
        pytest.param("ab" + LEFT + RIGHT + "c\r", "abc", id="left and right"),
        pytest.param("b\x01a\x05c\r", "abc", id="Ctrl-A, Ctrl-E"),
        pytest.param("b\x1b[Ha\x1b[Fc\r", "abc", id="Home, End"),
        pytest.param("abc\x7f\x7f\r", "a", id="backspace"),
        pytest.param("\x7fa\r", "a", id="backspace at the start"),
        pytest.param("abc" + LEFT + "\x1b[3~\r", "ab", id="delete"),
        pytest.param("one two  \x17three\r", "one three", id="Ctrl-W"),
        pytest.param("one\x17two\r", "two", id="Ctrl-W on the first word"),
        pytest.param("wrong\x15right\r", "right", id="Ctrl-U"),
        pytest.param("rightwrong" + LEFT * 5 + "\x0b\r", "right", id="Ctrl-K"),
        pytest.param("a\x1b[15~\x1bOPb\x1bxc\x00\r", "abc", id="other keys do nothing"),
        pytest.param("a\x04b\r", "ab", id="Ctrl-D within a line does nothing"),
    ],
)
def test_keys_make_a_line(keys: str, line: str) -> None:
    editor = LineEditor()
    assert editor.feed(keys) == [line]
    assert (editor.text, editor.cursor, editor.ended) == ("", 0, False)


@pytest.mark.parametrize("keys", ["helo" + LEFT + "l\r", "a\x1bOHb\r", "ab\x1b[3~\r"])
def test_keys_that_come_in_pieces_are_the_same_keys(keys: str) -> None:
    whole, pieces = LineEditor(), LineEditor()
    lines = [line for key in keys for line in pieces.feed(key)]
    assert lines == whole.feed(keys)


def test_several_lines_pasted_are_several_lines() -> None:
    editor = LineEditor()
    assert editor.feed("one\ntwo\nthr") == ["one", "two"]
    assert editor.text == "thr"


def test_lines_are_recalled() -> None:
    editor = LineEditor()
    editor.feed("one\rtwo\rtwo\r")
    assert editor.feed(UP + "\r") == ["two"]
    assert editor.feed(UP + UP + "\r") == ["one"]
    assert editor.feed(UP * 9 + "\r") == ["one"]
    assert editor.feed(UP + DOWN + DOWN + "new\r") == ["new"]


def test_ctrl_d_ends_an_empty_line_only() -> None:
    editor = LineEditor()
    editor.feed("a\x04")
    assert not editor.ended
    editor.feed("\x7f\x04")
    assert editor.ended


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        pytest.param("", "\r\x1b[K> ", id="nothing yet"),
        pytest.param("hi", "\r\x1b[K> hi", id="cursor behind the text"),
        pytest.param("hi" + LEFT, "\r\x1b[K> hi\x1b[1D", id="cursor within"),
        pytest.param("日本" + LEFT, "\r\x1b[K> 日本\x1b[2D", id="wide characters"),
        pytest.param("e\u0301" + LEFT + LEFT, "\r\x1b[K> e\u0301\x1b[1D", id="no width"),
        pytest.param("abcdefghij", "\r\x1b[K> defghij", id="the end of a long line"),
        pytest.param("abcdefghij\x01", "\r\x1b[K> abcdefg\x1b[7D", id="its start"),
        pytest.param("日本語日本", "\r\x1b[K> 語日本", id="a long line that is wide"),
    ],
)
def test_the_row_is_redrawn_with_the_cursor_in_place(keys: str, shown: str) -> None:
    editor = LineEditor()
    editor.feed(keys)
    assert editor.shown("> ", 10) == shown
