"""HTTP/1.1 as a client of AWS needs it, without I/O: requests to bytes, bytes to answers.

Refuses whatever two readers could take for two things, for connections are used again.
https://www.rfc-editor.org/rfc/rfc9112
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from chalicelib.errors import ConfigurationError, ServiceUnavailable

MAX_HEAD_BYTES = 32 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024

_TARGET = re.compile(r"[!-~]+")
_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t -~\x80-\xff]*+)?"
    rb"((?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*+)*+)"
)
_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding|connection):([^\r]*)")
_LENGTH = re.compile(rb"[0-9]{1,10}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[\t ]*(?:;[\t -~\x80-\xff]*)?")


class NotHTTP(ServiceUnavailable):
    """What was received is no answer, or one that is not safe to read."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of any status."""

    status: int
    body: bytes = field(default=b"", repr=False)


def header_lines(headers: Mapping[str, str]) -> str:
    """Return headers as they are sent; refuses what would begin a line of its own."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if not lines.count("\r") == lines.count("\n") == len(headers) or not lines.isascii():
        raise ConfigurationError("a header cannot be sent")  # its value may be a secret
    return lines


def request_head(method: str, path: str, lines: str) -> bytes:
    """Return the head of a request; ``lines`` are those of ``header_lines``."""
    if not _TARGET.fullmatch(path):
        raise ConfigurationError("a path is not percent-encoded")
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("ascii")


class ResponseParser:
    """Reads one answer, however its bytes are cut; not those to HEAD, which only say a length."""

    __slots__ = ("_body", "_head", "_max_body", "_status", "keep_alive", "started")

    def __init__(self, max_body: int = MAX_BODY_BYTES) -> None:
        """Refuse an answer whose body has more than ``max_body`` bytes, before it is whole."""
        self._max_body = max_body
        self.started = False
        self.keep_alive = False
        """Whether the connection can be used again; known once the answer is whole."""
        self._head = bytearray()
        self._status = 0
        self._body: _Body | None = None

    def feed(self, data: bytes) -> Response | None:
        """Take what was received; return the answer once it is whole. Raises NotHTTP."""
        self.started = True
        while self._body is None:
            self._head += data
            end = self._head.find(b"\r\n\r\n", max(0, len(self._head) - len(data) - 3))
            if max(end, len(self._head) if end < 0 else 0) > MAX_HEAD_BYTES:
                raise NotHTTP("the head is too long")
            if end < 0:
                return None
            head, data = bytes(self._head[:end]), bytes(self._head[end + 4 :])
            self._head.clear()
            self._read_head(head)
        surplus = self._body.feed(data)
        if surplus is None:
            return None
        if surplus:
            self.keep_alive = False
        return Response(self._status, self._body.content())

    def eof(self) -> Response | None:
        """Return the answer if the end of the connection is what ends it."""
        if isinstance(self._body, _UntilClose):
            return Response(self._status, self._body.content())
        return None

    def _read_head(self, head: bytes) -> None:
        match = _HEAD.fullmatch(head)
        if match is None:
            raise NotHTTP("not an HTTP/1.1 head")
        self._status = int(match[2])
        if self._status == 101:
            raise NotHTTP("another protocol")
        if self._status >= 200:  # else the answer is still to come
            self._read_framing(match[3], is_1_0=match[1] == b"0")

    def _read_framing(self, fields: bytes, *, is_1_0: bool) -> None:
        framing: dict[bytes, bytes] = {}
        for name, value in _FRAMING.findall(fields.lower()):
            # Two lines are one with a comma, which is neither a length nor a coding we know.
            framing[name] = framing[name] + b"," + value if name in framing else value
        options = framing.get(b"connection", b"").split(b",")
        self.keep_alive = not is_1_0 and b"close" not in map(bytes.strip, options)
        self._body = _body(self._status, framing, self._max_body, is_1_0=is_1_0)
        if isinstance(self._body, _UntilClose):
            self.keep_alive = False


class _Body(Protocol):
    def feed(self, data: bytes) -> bytes | None:
        """Return what is left over once the body is whole."""

    def content(self) -> bytes: ...


def _body(status: int, framing: Mapping[bytes, bytes], max_body: int, *, is_1_0: bool) -> "_Body":
    """By the rules of https://www.rfc-editor.org/rfc/rfc9112#section-6.3 ."""
    length = framing.get(b"content-length")
    coding = framing.get(b"transfer-encoding")
    if status in (204, 304):
        return _Sized(0)
    if coding is not None:
        if length is not None or is_1_0 or coding.strip() != b"chunked":
            raise NotHTTP("how long the body is cannot be told")
        return _Chunked(max_body)
    if length is None:
        return _UntilClose(max_body)
    if not _LENGTH.fullmatch(length.strip()) or int(length) > max_body:
        raise NotHTTP("not a length")
    return _Sized(int(length))


class _Sized:
    __slots__ = ("_missing", "_parts")

    def __init__(self, length: int) -> None:
        self._missing = length
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes | None:
        part = data[: self._missing]
        self._parts.append(part)
        surplus = data[self._missing :]
        self._missing -= len(part)
        return None if self._missing else surplus

    def content(self) -> bytes:
        return b"".join(self._parts)


class _UntilClose:
    __slots__ = ("_max_body", "_received")

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._received = bytearray()

    def feed(self, data: bytes) -> bytes | None:
        self._received += data
        if len(self._received) > self._max_body:
            raise NotHTTP("the body is too long")
        return None

    def content(self) -> bytes:
        return bytes(self._received)


class _Chunked:
    """Passes over extensions and trailers, https://www.rfc-editor.org/rfc/rfc9112#section-7.1 ."""

    __slots__ = ("_content", "_max_body", "_missing", "_received", "_trailers")

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._content = bytearray()
        self._received = bytearray()
        self._missing = 0
        """Of the chunk that is being read, with the end of its line."""
        self._trailers: int | None = None

    def feed(self, data: bytes) -> bytes | None:
        self._received += data
        while True:
            if self._missing:
                if len(self._received) < self._missing:
                    return None
                self._take_chunk()
            line = self._take_line()
            if line is None:
                return None
            if self._trailers is None:
                self._begin_chunk(line)
            elif line:
                self._pass_over(line)
            else:
                return bytes(self._received)

    def content(self) -> bytes:
        return bytes(self._content)

    def _take_line(self) -> bytes | None:
        end = self._received.find(b"\r\n")
        if max(end, len(self._received) if end < 0 else 0) > MAX_HEAD_BYTES:
            raise NotHTTP("a line is too long")
        if end < 0:
            return None
        line = bytes(self._received[:end])
        del self._received[: end + 2]
        return line

    def _begin_chunk(self, line: bytes) -> None:
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise NotHTTP("not the size of a chunk")
        size = int(match[1], 16)
        if len(self._content) + size > self._max_body:
            raise NotHTTP("the body is too long")
        if size:
            self._missing = size + 2
        else:
            self._trailers = 0

    def _take_chunk(self) -> None:
        if self._received[self._missing - 2 : self._missing] != b"\r\n":
            raise NotHTTP("a chunk is longer than its size")
        self._content += self._received[: self._missing - 2]
        del self._received[: self._missing]
        self._missing = 0

    def _pass_over(self, trailer: bytes) -> None:
        self._trailers = (self._trailers or 0) + len(trailer)
        if self._trailers > MAX_HEAD_BYTES:
            raise NotHTTP("the trailers are too long")
