"""The small client of SQS's protocol, against servers that answer as engines may."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from localgateway.errors import QueueCallFailed, StartError
from localgateway.sqs import Sqs
from tests.fakes import refusing_port

Connection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'
ERROR = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 57\r\n\r\n"
    b'{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message"'
)


class Server:
    """Answers each request with the next of some answers; counts connections and requests."""

    def __init__(self, *answers: bytes, keep: bool = True) -> None:
        self.answers = list(answers)
        self.keep = keep
        self.connections = self.open = 0
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        while data := await reader.read(65_536):
            self.requests.append(data)
            writer.write(self.answers.pop(0) if self.answers else OK)
            if not self.keep:
                break
        writer.close()
        self.open -= 1


def asked(server: Server, *, calls: int = 1, seconds: float = 30.0) -> list[Any]:
    """Return what calls to a server come to, or the error that ends them."""

    async def main() -> list[Any]:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        sqs = Sqs(f"http://127.0.0.1:{port}", "eu-west-1")
        try:
            answers = []
            for _ in range(calls):
                answers.append(await sqs.call("ListQueues", {"MaxResults": 1}, seconds))
                while server.open and not server.keep:
                    await asyncio.sleep(0.001)
            return answers
        finally:
            await sqs.close()
            listening.close()
            while server.open:
                await asyncio.sleep(0.001)

    return asyncio.run(main())


def test_a_call_is_one_of_sqss_protocol_in_its_region() -> None:
    server = Server()
    assert asked(server) == [{}]
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST / HTTP/1.1"
    assert b"X-Amz-Target: AmazonSQS.ListQueues" in lines
    assert b"/eu-west-1/sqs/aws4_request" in head
    assert body == b'{"MaxResults": 1}'


def test_an_answer_may_come_in_chunks() -> None:
    assert asked(Server(CHUNKED)) == [{"a": 1}]


def test_a_connection_is_kept() -> None:
    server = Server()
    asked(server, calls=3)
    assert (server.connections, len(server.requests)) == (1, 3)


def test_a_connection_the_server_closed_while_idle_costs_no_call() -> None:
    server = Server(keep=False)
    assert asked(server, calls=3) == [{}, {}, {}]
    assert server.connections == 3


def test_a_server_that_says_close_is_taken_by_its_word() -> None:
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    server = Server(closing, closing)
    asked(server, calls=2)
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (ERROR.replace(b"57", b"62") + b':"x"}', "QueueDoesNotExist", "ListQueues: x"),
        (OK.replace(b"200 OK", b"500 Oh"), "", "ListQueues: status 500"),
        (OK.replace(b"{}", b"[]"), "", "no JSON object"),
        (OK.replace(b"{}", b"{{"), "", "no answer"),
        (b"hello\r\n\r\n", "", "no answer"),
        (b"", "", "no answer: TimeoutError"),
    ],
)
def test_a_call_that_failed_says_why(answer: bytes, code: str, words: str) -> None:
    with pytest.raises(QueueCallFailed, match=words) as caught:
        asked(Server(answer), seconds=30 if answer else 0.3)
    assert caught.value.code == code


def test_nobody_there_is_a_failed_call() -> None:
    with refusing_port() as port:
        sqs = Sqs(f"http://127.0.0.1:{port}", "eu-west-1")
        with pytest.raises(QueueCallFailed, match="no answer"):
            asyncio.run(sqs.call("ListQueues", {}))


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "127.0.0.1:1", "http://", "queues"])
def test_another_kind_of_url_is_refused_at_start(url: str) -> None:
    with pytest.raises(StartError, match="write http://HOST:PORT"):
        Sqs(url, "eu-west-1")
