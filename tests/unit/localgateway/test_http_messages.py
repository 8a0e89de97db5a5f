"""An HTTP request and an HTTP response, as values."""

from __future__ import annotations

import json
from http.client import HTTPResponse
from io import BytesIO
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localgateway.events import Pairs
from localgateway.http_messages import (
    HttpRequest,
    HttpResponse,
    json_response,
    origin_form,
    reason_phrase,
)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        pytest.param("/api", "/api", (), id="a path"),
        pytest.param("/api/", "/api/", (), id="a slash at the end"),
        pytest.param("/api?", "/api", (), id="an empty query"),
        pytest.param("/api?token=x", "/api", (("token", "x"),), id="a pair"),
        pytest.param("/api?token=", "/api", (("token", ""),), id="a blank value"),
        pytest.param("/api?token", "/api", (("token", ""),), id="a name alone"),
        pytest.param(
            "/api?b=1&a=2&b=3", "/api", (("b", "1"), ("a", "2"), ("b", "3")), id="in their order"
        ),
        pytest.param("/api?a=b=c", "/api", (("a", "b=c"),), id="an equals sign in a value"),
        pytest.param("/api?a=b?c", "/api", (("a", "b?c"),), id="a question mark in a value"),
        pytest.param("/api?a=b;c=d", "/api", (("a", "b;c=d"),), id="a semicolon is no separator"),
        pytest.param("/api?a%20b=c+d%2B%C3%A9", "/api", (("a b", "c d+é"),), id="percent-encoded"),
        pytest.param("/api?a=%zz%", "/api", (("a", "%zz%"),), id="badly percent-encoded"),
        pytest.param(
            "/api/@connections/Qm3xTe7hoAMCKpw%3D",
            "/api/@connections/Qm3xTe7hoAMCKpw%3D",
            (),
            id="a path is not decoded yet",
        ),
        pytest.param("/?a=1", "/", (("a", "1"),), id="the root"),
        pytest.param("", "", (), id="nothing"),
    ],
)
def test_a_target_is_a_path_and_a_query(target: str, path: str, query: Pairs) -> None:
    request = HttpRequest("GET", target, ())
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("Authorization", "first", id="the first of two"),
        pytest.param("AUTHORIZATION", "first", id="whatever the case"),
        pytest.param("Empty", "", id="an empty value"),
        pytest.param("Other", None, id="none"),
    ],
)
def test_a_requests_header(name: str, expected: str | None) -> None:
    headers = (("authorization", "first"), ("Authorization", "second"), ("empty", ""))
    assert HttpRequest("GET", "/", headers).header(name) == expected


@pytest.mark.parametrize(
    ("response", "keep_alive", "expected"),
    [
        pytest.param(
            HttpResponse(200), True, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", id="empty"
        ),
        pytest.param(
            HttpResponse(200, (("A", "1"), ("A", "2")), b"hi"),
            True,
            b"HTTP/1.1 200 OK\r\nA: 1\r\nA: 2\r\nContent-Length: 2\r\n\r\nhi",
            id="headers in their order, and a body",
        ),
        pytest.param(
            HttpResponse(410, (("x-amzn-ErrorType", "GoneException"),)),
            True,
            b"HTTP/1.1 410 Gone\r\nx-amzn-ErrorType: GoneException\r\nContent-Length: 0\r\n\r\n",
            id="an error without a body",
        ),
        pytest.param(
            HttpResponse(204), True, b"HTTP/1.1 204 No Content\r\n\r\n", id="204 has no length"
        ),
        pytest.param(
            HttpResponse(200, (), b"hi"),
            False,
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
            id="the last of a connection",
        ),
        pytest.param(
            HttpResponse(599),
            True,
            b"HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n",
            id="a status without a name",
        ),
        pytest.param(
            HttpResponse(200, (("A", "é€"),)),
            True,
            b"HTTP/1.1 200 OK\r\nA: \xe9?\r\nContent-Length: 0\r\n\r\n",
            id="letters beyond Latin-1",
        ),
    ],
)
def test_a_response_serializes(response: HttpResponse, keep_alive: bool, expected: bytes) -> None:
    assert response.serialize(keep_alive=keep_alive) == expected


def test_an_answer_to_head_says_the_length_of_what_it_leaves_out() -> None:
    sent = HttpResponse(200, (), b"hi").serialize(keep_alive=True, with_body=False)
    assert sent == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(("A", "1\r\nB: 2"), id="in a value"),
        pytest.param(("A", "1\n"), id="a line feed"),
        pytest.param(("A", "1\r"), id="a carriage return"),
        pytest.param(("A\r\nB", "1"), id="in a name"),
        pytest.param(("A", "\r\n\r\n<html>"), id="a whole body"),
    ],
)
def test_a_line_break_in_a_header_is_refused(header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="line break"):
        HttpResponse(200, (header,)).serialize(keep_alive=True)


class Received:
    """Bytes that ``http.client`` reads as if from a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> BytesIO:
        return BytesIO(self._data)


TOKENS = st.from_regex(r"x-[a-z]{1,8}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@given(
    st.integers(200, 599).filter(lambda status: status not in {204, 304}),
    st.lists(st.tuples(TOKENS, VALUES), max_size=4),
    st.binary(max_size=300),
)
def test_an_http_client_reads_back_what_was_sent(
    status: int, headers: list[tuple[str, str]], body: bytes
) -> None:
    sent = HttpResponse(status, tuple(headers), body).serialize(keep_alive=True)
    response = HTTPResponse(cast("Any", Received(sent)))
    response.begin()
    assert response.status == status
    assert response.getheaders() == [*headers, ("Content-Length", str(len(body)))]
    assert response.read() == body


def test_a_json_response_says_what_it_is() -> None:
    response = json_response(403, {"message": "größe"}, ("x-amzn-ErrorType", "Forbidden"))
    assert response.status == 403
    assert response.headers == (
        ("Content-Type", "application/json"),
        ("x-amzn-ErrorType", "Forbidden"),
    )
    assert json.loads(response.body) == {"message": "größe"}


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        pytest.param(101, "Switching Protocols", id="informational"),
        pytest.param(200, "OK", id="well"),
        pytest.param(502, "Bad Gateway", id="not well"),
        pytest.param(599, "", id="not registered"),
        pytest.param(0, "", id="no status at all"),
        pytest.param(-1, "", id="less than none"),
    ],
)
def test_a_status_has_a_reason_phrase(status: int, phrase: str) -> None:
    assert reason_phrase(status) == phrase


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("/api?a=1", "/api?a=1", id="what it is already"),
        pytest.param("http://127.0.0.1:8000/api?a=1", "/api?a=1", id="a URL"),
        pytest.param("HTTPS://host/a/b", "/a/b", id="another scheme, in capitals"),
        pytest.param("http://host", "/", id="no path"),
        pytest.param("http://host?a=1", "/?a=1", id="a query alone"),
        pytest.param("/http://host/api", "/http://host/api", id="a path that looks like one"),
        pytest.param("*", "*", id="the server as a whole"),
    ],
)
def test_a_target_has_no_scheme_and_no_authority(target: str, expected: str) -> None:
    assert origin_form(target) == expected
