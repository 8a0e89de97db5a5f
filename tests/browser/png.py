"""As much of PNG as it takes to write into a picture what it is of, and to read that again.

https://www.w3.org/TR/png-3/: a signature, then chunks of length, type, data and checksum.
"""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEYWORD = b"Source\0"
_HEADER_END = len(SIGNATURE) + 8 + 13 + 4


def size(picture: bytes) -> tuple[int, int]:
    """Return width and height in pixels."""
    assert picture.startswith(SIGNATURE)
    width, height = struct.unpack(">II", picture[16:24])
    return width, height


def stamped(picture: bytes, text: str) -> bytes:
    """Return the picture with a text in it that says what it is of."""
    chunk = b"tEXt" + _KEYWORD + text.encode("latin-1")
    length, checksum = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return picture[:_HEADER_END] + length + chunk + checksum + picture[_HEADER_END:]


def stamp(picture: bytes) -> str | None:
    """Return that text, if there is one behind the header."""
    (length,) = struct.unpack(">I", picture[_HEADER_END : _HEADER_END + 4])
    chunk = picture[_HEADER_END + 4 : _HEADER_END + 8 + length]
    if not chunk.startswith(b"tEXt" + _KEYWORD):
        return None
    return chunk.removeprefix(b"tEXt" + _KEYWORD).decode("latin-1")
