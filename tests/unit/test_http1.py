"""Requests that hold nothing but what they should, and answers however they are cut."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib.errors import ConfigurationError
from chalicelib.http1 import NotHTTP, Response, ResponseParser, header_lines, request_head

START = b"HTTP/1.1 200 OK\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"


def parse(*parts: bytes) -> tuple[Response | None, ResponseParser]:
    parser = ResponseParser()
    response = None
    for part in parts:
        assert response is None
        response = parser.feed(part)
    return response, parser


def test_a_request_is_a_line_its_headers_and_an_empty_line() -> None:
    lines = header_lines({"host": "localhost", "x-amz-date": "20261120T100000Z"})
    assert request_head("POST", "/api/@connections/a%3D", lines) == (
        b"POST /api/@connections/a%3D HTTP/1.1\r\n"
        b"host: localhost\r\nx-amz-date: 20261120T100000Z\r\n\r\n"
    )


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nx: y", "a\rx: y", "a\r\n", "é"])
@pytest.mark.parametrize("place", ["name", "value"])
def test_a_header_cannot_begin_another_line_and_is_not_repeated(place: str, value: str) -> None:
    headers: Mapping[str, str] = {"host": value} if place == "value" else {value: "x"}
    with pytest.raises(ConfigurationError) as caught:
        header_lines(headers)
    assert value not in str(caught.value)


@pytest.mark.parametrize("path", ["", "/a b", "/a\r\nx: y", "/a\n", "/é", "/a\t", "/\x7f"])
def test_a_path_must_be_percent_encoded(path: str) -> None:
    with pytest.raises(ConfigurationError):
        request_head("POST", path, "")


@pytest.mark.parametrize(
    ("received", "response", "keep_alive"),
    [
        pytest.param(
            START + b"Content-Length: 2\r\n\r\nok", Response(200, b"ok"), True, id="a length"
        ),
        pytest.param(START + b"content-length:2\r\n\r\nok", Response(200, b"ok"), True, id="tight"),
        pytest.param(
            START + b"Content-Length: \t2 \r\nA:\r\n\r\nok",
            Response(200, b"ok"),
            True,
            id="padded",
        ),
        pytest.param(
            b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", Response(410), True, id="empty"
        ),
        pytest.param(b"HTTP/1.1 204 \r\n\r\n", Response(204), True, id="no content"),
        pytest.param(
            b"HTTP/1.1 304\r\nContent-Length: 9\r\n\r\n", Response(304), True, id="not modified"
        ),
        pytest.param(CHUNKED + b"2\r\nok\r\n0\r\n\r\n", Response(200, b"ok"), True, id="one chunk"),
        pytest.param(
            CHUNKED + b"a;x=y\r\n0123456789\r\n01 \r\nx\r\n000\r\nA: b\r\nC: d\r\n\r\n",
            Response(200, b"0123456789x"),
            True,
            id="chunks with extensions and trailers",
        ),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n"
            + START
            + b"Content-Length: 2\r\n\r\nok",
            Response(200, b"ok"),
            True,
            id="interim answers before it",
        ),
        pytest.param(
            START + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
            Response(200, b"ok"),
            False,
            id="the last one",
        ),
        pytest.param(
            START + b"Connection: x\r\nConnection: y , Close\r\nContent-Length: 0\r\n\r\n",
            Response(200),
            False,
            id="the last one, among other options",
        ),
        pytest.param(
            START + b"Connection: keep-alive\r\nContent-Length: 0\r\n\r\n",
            Response(200),
            True,
            id="one of many",
        ),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Response(200, b"ok"),
            False,
            id="HTTP/1.0",
        ),
        pytest.param(
            START + b"Content-Length: 2\r\n\r\nokHTTP/1.1",
            Response(200, b"ok"),
            False,
            id="more than was asked for",
        ),
        pytest.param(
            CHUNKED + b"0\r\n\r\nx", Response(200), False, id="more than was asked for, in chunks"
        ),
    ],
)
def test_an_answer_is_read_to_its_end(
    received: bytes, response: Response, keep_alive: bool
) -> None:
    read, parser = parse(received)
    assert (read, parser.keep_alive) == (response, keep_alive)
    if keep_alive:
        for end in range(len(received)):
            assert parse(received[:end])[0] is None


def test_without_a_length_the_end_of_the_connection_ends_the_answer() -> None:
    response, parser = parse(START + b"A: b\r\n\r\nall ", b"of it")
    assert response is None
    assert parser.eof() == Response(200, b"all of it")
    assert not parser.keep_alive


@pytest.mark.parametrize(
    "received",
    [b"", b"HTTP", START + b"\r", START + b"Content-Length: 2\r\n\r\no", CHUNKED + b"0\r\n"],
)
def test_an_answer_that_breaks_off_is_none(received: bytes) -> None:
    response, parser = parse(received) if received else (None, ResponseParser())
    assert response is None
    assert parser.eof() is None
    assert parser.started is bool(received)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"SSH-2.0-OpenSSH", id="another protocol"),
        pytest.param(b"HTTP/2 200", id="another version"),
        pytest.param(b"HTTP/1.1 abc", id="no status"),
        pytest.param(b"HTTP/1.1 099 X", id="a status too small"),
        pytest.param(b"HTTP/1.1 600 X", id="a status too great"),
        pytest.param(b"HTTP/1.1 2000 X", id="a status too long"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols", id="an upgrade nobody asked for"),
        pytest.param(b" HTTP/1.1 200 OK", id="a space before it"),
        pytest.param(b"HTTP/1.1 200 O\x00K", id="a NUL"),
        pytest.param(START + b"A: b\r\n c", id="a folded line"),
        pytest.param(START + b"Content-Length : 2", id="a space before the colon"),
        pytest.param(START + b"no colon", id="no colon"),
        pytest.param(START + b": x", id="no name"),
        pytest.param(START + b"A: b\nC: d", id="a bare line feed"),
        pytest.param(START + b"A: b\rC: d", id="a bare carriage return"),
        pytest.param(START + b"Content-Length: -2", id="a negative length"),
        pytest.param(START + b"Content-Length: +2", id="a sign"),
        pytest.param(START + b"Content-Length: 2_0", id="a number of Python's"),
        pytest.param(START + b"Content-Length: 0x2", id="a hexadecimal length"),
        pytest.param(START + b"Content-Length: ", id="an empty length"),
        pytest.param(START + b"Content-Length: 99999999999", id="a length out of reason"),
        pytest.param(START + b"Content-Length: 67108865", id="a length over the limit"),
        pytest.param(START + b"Content-Length: 2\r\nContent-Length: 3", id="two lengths"),
        pytest.param(
            START + b"Content-Length: 2\r\nTransfer-Encoding: chunked", id="a length and chunks"
        ),
        pytest.param(START + b"Transfer-Encoding: gzip, chunked", id="another coding"),
        pytest.param(
            START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", id="coded twice"
        ),
        pytest.param(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", id="chunks in HTTP/1.0"),
    ],
)
def test_a_head_that_could_be_read_in_two_ways_is_refused(head: bytes) -> None:
    with pytest.raises(NotHTTP):
        ResponseParser().feed(head + b"\r\n\r\n")


@pytest.mark.parametrize("chunk", [b"x", b"", b"-1", b"0x1", b" 1", b"1 2", b"123456789", b"1\n"])
def test_what_is_no_chunk_is_refused(chunk: bytes) -> None:
    with pytest.raises(NotHTTP):
        ResponseParser().feed(CHUNKED + chunk + b"\r\n")


def test_a_chunk_longer_than_its_size_is_refused() -> None:
    with pytest.raises(NotHTTP):
        ResponseParser().feed(CHUNKED + b"2\r\nlong\r\n")


def endless_head() -> Iterator[bytes]:
    yield START
    while True:
        yield b"X-Long: " + b"x" * 1000


def endless_trailers() -> Iterator[bytes]:
    yield CHUNKED + b"0\r\n"
    while True:
        yield b"X-Long: " + b"x" * 1000 + b"\r\n"


def endless_chunk_line() -> Iterator[bytes]:
    yield CHUNKED + b"1;"
    while True:
        yield b"x" * 1000


def endless_chunks() -> Iterator[bytes]:
    yield CHUNKED
    while True:
        yield b"1000\r\n" + b"x" * 0x1000 + b"\r\n"


def endless_body() -> Iterator[bytes]:
    yield START + b"\r\n"
    while True:
        yield b"x" * 4096


@pytest.mark.parametrize(
    "parts", [endless_head, endless_trailers, endless_chunk_line, endless_chunks, endless_body]
)
def test_nothing_is_gathered_without_end(parts: Callable[[], Iterator[bytes]]) -> None:
    parser = ResponseParser(max_body=100_000)
    feed_all = map(parser.feed, islice(parts(), 200))
    with pytest.raises(NotHTTP):
        list(feed_all)


bodies = st.binary(max_size=300)


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, Response]:
    """Return an answer as it is sent, and as it should be read."""
    status = draw(st.sampled_from([200, 201, 400, 410, 429, 500]))
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
    head = interim + f"HTTP/1.1 {status} X\r\nx-amzn-requestid: a\r\n".encode()
    parts = draw(st.lists(bodies.filter(bool), max_size=5))
    content = b"".join(parts)
    if draw(st.booleans()):
        head += f"Content-Length: {len(content)}\r\n\r\n".encode()
        return head + content, Response(status, content)
    chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts)
    return (
        head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n",
        Response(status, content),
    )


@given(answers(), st.data())
def test_an_answer_is_the_same_however_it_is_cut(
    answer: tuple[bytes, Response], data: st.DataObject
) -> None:
    sent, expected = answer
    places = data.draw(st.lists(st.integers(1, len(sent) - 1), max_size=10, unique=True))
    edges = [0, *sorted(places), len(sent)]
    parts = [sent[start:end] for start, end in pairwise(edges)]
    response, parser = parse(*parts)
    assert response == expected
    assert parser.keep_alive


pieces = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from(
            [START, CHUNKED, b"\r\n", b"\r\n\r\n", b"Content-Length: 3\r\n", b"3\r\n", b"0\r\n"]
        ),
    ),
    max_size=8,
)


@given(pieces)
@example([CHUNKED, b"\r\n"])
def test_whatever_is_received_is_an_answer_or_refused(received: list[bytes]) -> None:
    parser = ResponseParser()
    response = None
    try:
        for part in received:
            response = response or parser.feed(part)
        response = response or parser.eof()
    except NotHTTP:
        return
    assert response is None or 200 <= response.status < 600
