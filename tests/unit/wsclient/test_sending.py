from __future__ import annotations

import os

from wsclient.sending import read_lines


def lines_of(*pieces: bytes) -> list[bytes]:
    """Return the lines of a pipe that is written piece by piece, each when it is waited for."""
    reading, writing = os.pipe()
    waiting = [*pieces, b""]

    def wait(_descriptor: int) -> None:
        piece = waiting.pop(0)
        if piece:
            os.write(writing, piece)
        else:
            os.close(writing)

    lines = list(read_lines(reading, wait))
    os.close(reading)
    return lines


def test_lines_come_whole_however_they_were_written() -> None:
    assert lines_of(b"a\nb", b"c\n\n", b"\xc3", b"\xa9\nd") == [b"a", b"bc", b"", b"\xc3\xa9", b"d"]


def test_nothing_is_no_line() -> None:
    assert lines_of() == []
    assert lines_of(b"a\n") == [b"a"]
