"""The signer against botocore's, and what a signed call sends."""

import string
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.errors import ConfigurationError, ServiceUnavailable
from chalicelib.exchanges import Limits, NoAnswer, Repeated
from chalicelib.http1 import Response
from tests.factories import NOW
from tests.fakes import Clock, ScriptedServer, refusing_port

CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

HOST = "abcdef1234.execute-api.eu-central-1.amazonaws.com"

printable = st.text(string.ascii_letters + string.digits + "/+= ._-", min_size=1, max_size=60)
headers = st.fixed_dictionaries(
    {"host": st.just(HOST)},
    optional={
        "content-type": st.just("application/x-amz-json-1.0"),
        "x-amz-target": st.just("DynamoDB_20120810.PutItem"),
        "x-portcullis": printable,
    },
)


@dataclass
class Unsigned:
    """A request before it is signed."""

    method: str = "POST"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=lambda: {"host": HOST})
    payload: bytes = b"{}"


requests = st.builds(
    Unsigned,
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    path=st.text(string.ascii_letters + string.digits + "=/+é ~!'(").map(
        lambda connection_id: f"/api/@connections/{quote(connection_id, safe='')}"
    ),
    headers=headers,
    payload=st.binary(max_size=200),
)


@given(
    request=requests,
    service=st.sampled_from(["dynamodb", "execute-api", "ssm"]),
    token=st.none() | printable.filter(str.strip),
    now=st.integers(0, 4_000_000_000),
)
def test_the_signature_is_botocores(
    request: Unsigned, service: str, token: str | None, now: int
) -> None:
    credentials = Credentials("AKIDEXAMPLE", "secret/+key", token)
    signed = Signer("eu-central-1", service).sign(credentials, now, **vars(request))
    assert signed == botocore_signed(credentials, service, now, request)


def botocore_signed(
    credentials: Credentials, service: str, now: int, unsigned: Unsigned
) -> dict[str, str]:
    """Sign as ``SigV4Auth.add_auth`` does, but for the clock that it reads."""
    request = AWSRequest(
        unsigned.method, f"https://{HOST}{unsigned.path}", unsigned.headers, unsigned.payload
    )
    botocore_credentials = BotocoreCredentials(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token
    )
    auth = SigV4Auth(botocore_credentials, service, "eu-central-1")
    request.context["timestamp"] = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    auth._modify_request_before_signing(request)
    string_to_sign = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(string_to_sign, request))
    return {name.lower(): value for name, value in request.headers.items()}


def test_a_signer_follows_new_days_and_new_keys() -> None:
    signer = Signer("eu-central-1", "dynamodb")
    others = Credentials("AKIDOTHER", "another secret")
    for credentials, now in [(CREDENTIALS, 0), (CREDENTIALS, 86_400), (others, 86_400)] * 2:
        signed = signer.sign(credentials, now, **vars(Unsigned()))
        assert signed == botocore_signed(credentials, "dynamodb", now, Unsigned())


def test_credentials_are_not_shown() -> None:
    shown = repr(Credentials("AKIDEXAMPLE", "s3cret", "t0ken"))
    assert "AKIDEXAMPLE" in shown
    assert "s3cret" not in shown
    assert "t0ken" not in shown


def request_lines(server: ScriptedServer, number: int = 0) -> Sequence[bytes]:
    return server.requests[number].partition(b"\r\n\r\n")[0].split(b"\r\n")


def client_of(
    server: ScriptedServer, credentials: Callable[[], Credentials], clock: Clock
) -> SignedClient:
    signer = Signer("us-east-1", "execute-api")
    return SignedClient(f"{server.origin}/api/", signer, credentials, clock)


def header_lines_of(expected: Mapping[str, str]) -> set[bytes]:
    return {f"{name}: {value}".encode() for name, value in expected.items()}


def test_a_signed_call_is_sent_below_the_endpoints_path() -> None:
    with ScriptedServer([[OK]]) as server:
        client = client_of(server, lambda: CREDENTIALS, Clock(NOW))
        assert client.call("POST", "/@connections/a%3D", b"hello") == Response(200, b"ok")
        client.close()
    lines = request_lines(server)
    assert lines[0] == b"POST /api/@connections/a%3D HTTP/1.1"
    assert server.requests[0].endswith(b"\r\n\r\nhello")
    unsigned = Unsigned(
        path="/api/@connections/a%3D",
        headers={"host": server.origin.removeprefix("http://")},
        payload=b"hello",
    )
    expected = Signer("us-east-1", "execute-api").sign(CREDENTIALS, NOW, **vars(unsigned))
    assert sorted(lines[1:]) == sorted(header_lines_of({**expected, "content-length": "5"}))


@pytest.mark.parametrize(
    ("method", "length"), [("GET", None), ("DELETE", None), ("POST", b"content-length: 0")]
)
def test_only_a_post_has_a_length_without_a_body(method: str, length: bytes | None) -> None:
    with ScriptedServer([[OK]]) as server:
        client = client_of(server, lambda: CREDENTIALS, Clock(NOW))
        client.call(method, "/")
        client.close()
    told = [line for line in request_lines(server) if line.startswith(b"content-length")]
    assert told == ([length] if length else [])


def test_a_call_gives_up_a_silent_server() -> None:
    with ScriptedServer([[None]]) as server:
        client = SignedClient(
            server.origin,
            Signer("us-east-1", "dynamodb"),
            lambda: CREDENTIALS,
            time.time,
            read_timeout=0.05,
        )
        with pytest.raises(ServiceUnavailable, match="no answer"):
            client.call("POST", "/")


@given(
    ids=st.lists(st.text(string.ascii_letters + string.digits + "=/+é ~", min_size=1), max_size=5),
    token=st.none() | st.just("t0ken"),
    now=st.integers(0, 4_000_000_000),
    payload=st.binary(max_size=50),
)
def test_what_is_prepared_for_many_paths_signs_each_of_them_as_botocore_does(
    ids: list[str], token: str | None, now: int, payload: bytes
) -> None:
    credentials = Credentials("AKIDEXAMPLE", "secret/+key", token)
    signer = Signer("eu-central-1", "execute-api")
    prepared = signer.prepare(
        credentials, now, method="POST", headers={"host": HOST}, payload=payload
    )
    for connection_id in ids:
        path = f"/api/@connections/{quote(connection_id, safe='')}"
        signed = {**prepared.headers, "authorization": prepared.authorization(path)}
        unsigned = Unsigned(path=path, payload=payload)
        assert signed == botocore_signed(credentials, "execute-api", now, unsigned)


def test_each_of_many_posts_is_signed_and_answered() -> None:
    answers = [OK, OK.replace(b"200 OK", b"410 Gone"), OK]
    with ScriptedServer([answers[:1], answers[1:]]) as server:
        client = SignedClient(
            f"{server.origin}/api",
            Signer("us-east-1", "execute-api"),
            lambda: CREDENTIALS,
            Clock(NOW),
            limits=Limits(sockets=1),
        )
        results = list(client.post_each([1, 2, 3], lambda item: f"/{item}%3D", b"hello", 60.0))
        client.close()
    assert results == [
        (1, Response(200, b"ok")),
        (2, Repeated(Response(410, b"ok"))),  # the connection was closed, who knows when
        (3, Response(200, b"ok")),
    ]
    sent = [request_lines(server, number) for number in range(len(server.requests))]
    assert [lines[0] for lines in sent] == [
        f"POST /api/{item}%3D HTTP/1.1".encode() for item in (1, 2, 3)
    ]
    for lines in sent:
        unsigned = Unsigned(
            path=lines[0].split(b" ")[1].decode(),
            headers={"host": server.origin.removeprefix("http://")},
            payload=b"hello",
        )
        expected = Signer("us-east-1", "execute-api").sign(CREDENTIALS, NOW, **vars(unsigned))
        assert sorted(lines[1:]) == sorted(header_lines_of({**expected, "content-length": "5"}))


def test_many_posts_take_up_new_credentials_and_the_time() -> None:
    clock = Clock(NOW)
    keys = iter(["AKIDFIRST", "AKIDSECOND"])
    with ScriptedServer([[OK, OK, OK]]) as server:
        client = SignedClient(
            server.origin,
            Signer("us-east-1", "execute-api"),
            lambda: Credentials(next(keys), "secret"),
            clock,
            limits=Limits(sockets=1),
        )
        for number, _ in client.post_each([1, 2, 3], str, b"hello", 60.0):
            clock.now += 0.6
            assert number
        client.close()
    sent = [request.partition(b"Credential=")[2].partition(b"/")[0] for request in server.requests]
    assert sent == [b"AKIDFIRST", b"AKIDFIRST", b"AKIDSECOND"]


def test_many_posts_to_where_nobody_is_have_no_answer() -> None:
    with refusing_port() as port:
        signer = Signer("us-east-1", "execute-api")
        client = SignedClient(f"http://127.0.0.1:{port}", signer, lambda: CREDENTIALS, Clock(NOW))
        ((_, result),) = client.post_each(["a"], str, b"s3cret", 60.0)
    assert isinstance(result, NoAnswer)
    assert "s3cret" not in result.reason


@pytest.mark.parametrize("token", ["t0ken\n", "t0ken\r\nx: y"])
def test_credentials_that_would_begin_a_header_are_refused_and_not_shown(token: str) -> None:
    with ScriptedServer([]) as server:
        client = client_of(server, lambda: Credentials("a", "b", token), Clock(NOW))
    with pytest.raises(ConfigurationError) as caught:
        client.call("POST", "/")
    assert "t0ken" not in repr(caught.value)


def test_an_error_does_not_repeat_what_was_sent() -> None:
    with ScriptedServer([[b""]]) as server:
        client = SignedClient(
            server.origin, Signer("us-east-1", "execute-api"), lambda: CREDENTIALS, Clock(NOW)
        )
        with pytest.raises(ServiceUnavailable) as caught:
            client.call("POST", "/", b"s3cret")
    assert "s3cret" not in repr(caught.value)
    assert CREDENTIALS.access_key_id not in repr(caught.value)
