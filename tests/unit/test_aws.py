"""The signer against botocore's, and the signed call against servers that misbehave."""

import string
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws import Backoff, Credentials, HTTPPool, Response, SignedClient, Signer
from chalicelib.errors import ServiceUnavailable
from tests.factories import NOW
from tests.fakes import Clock, ScriptedServer, ThenReset

CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

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


def pool(server: ScriptedServer, read_timeout: float = 5.0) -> HTTPPool:
    return HTTPPool(server.origin, connect_timeout=1.0, read_timeout=read_timeout)


def get(pool: HTTPPool) -> Response:
    return pool.request("GET", "/", {"host": pool.host}, b"")


def test_a_connection_is_kept_and_used_again() -> None:
    with ScriptedServer([[OK, OK, OK]]) as server:
        kept = pool(server)
        assert [get(kept) for _ in range(3)] == [Response(200, b"ok")] * 3
        assert server.accepted == 1


def test_a_kept_connection_the_server_has_closed_is_replaced_once() -> None:
    with ScriptedServer([[OK], [OK]]) as server:
        kept = pool(server)
        assert [get(kept), get(kept)] == [Response(200, b"ok")] * 2
        assert server.accepted == 2


def test_a_new_connection_that_is_closed_without_an_answer_is_not_tried_again() -> None:
    with ScriptedServer([[b""], [OK]]) as server:
        with pytest.raises(ServiceUnavailable, match="no answer"):
            get(pool(server))
        assert len(server.requests) == 1


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf"


@pytest.mark.parametrize("broken", [HALF, ThenReset(HALF)], ids=["closed", "reset"])
def test_an_answer_that_breaks_off_is_not_asked_for_again(broken: bytes) -> None:
    with ScriptedServer([[OK, broken], [OK]]) as server:
        kept = pool(server)
        get(kept)
        with pytest.raises(ServiceUnavailable, match="no answer"):
            get(kept)
        assert len(server.requests) == 2


def test_a_connection_the_server_will_close_is_not_kept() -> None:
    with ScriptedServer([[LAST], [OK]]) as server:
        kept = pool(server)
        assert [get(kept), get(kept)] == [Response(200, b"ok")] * 2


def test_a_silent_server_is_given_up() -> None:
    with (
        ScriptedServer([[None]]) as server,
        pytest.raises(ServiceUnavailable, match="no answer"),
    ):
        get(pool(server, read_timeout=0.05))


def test_a_connection_that_timed_out_is_not_used_again() -> None:
    with ScriptedServer([[None], [OK]]) as server:
        kept = pool(server, read_timeout=0.05)
        with pytest.raises(ServiceUnavailable):
            get(kept)
        assert get(kept) == Response(200, b"ok")


def test_a_server_that_is_not_there_is_named() -> None:
    with ScriptedServer([]) as server:
        gone = pool(server)
    with pytest.raises(ServiceUnavailable, match=f"cannot connect to {gone.host}"):
        get(gone)


def test_a_server_that_does_not_speak_tls_is_not_spoken_to() -> None:
    with ScriptedServer([[OK]]) as server:
        plain = HTTPPool(
            server.origin.replace("http:", "https:"), connect_timeout=1.0, read_timeout=1.0
        )
        with pytest.raises(ServiceUnavailable, match="cannot connect"):
            get(plain)


@pytest.mark.parametrize("answer", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_not_http_is_no_answer(answer: bytes) -> None:
    with ScriptedServer([[answer]]) as server, pytest.raises(ServiceUnavailable):
        get(pool(server))


@pytest.mark.parametrize("status", [302, 307, 404, 500])
def test_any_status_is_an_answer_and_redirects_are_not_followed(status: int) -> None:
    answer = f"HTTP/1.1 {status} X\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer([[answer.encode()]]) as server:
        assert get(pool(server)) == Response(status)


def test_threads_do_not_share_a_connection() -> None:
    with ScriptedServer([[OK] * 50] * 8) as server:
        kept = pool(server)
        with ThreadPoolExecutor(8) as executor:
            answers = list(executor.map(lambda _: get(kept), range(50)))
        assert answers == [Response(200, b"ok")] * 50
        kept.close()


def request_lines(server: ScriptedServer) -> Sequence[bytes]:
    return server.requests[0].partition(b"\r\n\r\n")[0].split(b"\r\n")


def test_a_signed_call_is_sent_below_the_endpoints_path() -> None:
    with ScriptedServer([[OK]]) as server:
        client = SignedClient(
            f"{server.origin}/api/",
            Signer("us-east-1", "execute-api"),
            lambda: CREDENTIALS,
            Clock(NOW),
        )
        assert client.call("POST", "/@connections/a%3D", b"hello") == Response(200, b"ok")
        client.close()
    lines = request_lines(server)
    assert lines[0] == b"POST /api/@connections/a%3D HTTP/1.1"
    assert server.requests[0].endswith(b"\r\n\r\nhello")
    host = server.origin.removeprefix("http://")
    expected = Signer("us-east-1", "execute-api").sign(
        CREDENTIALS,
        NOW,
        method="POST",
        path="/api/@connections/a%3D",
        headers={"host": host},
        payload=b"hello",
    )
    assert {f"{name}: {value}".encode() for name, value in expected.items()} <= set(lines)


def test_an_error_does_not_repeat_what_was_sent() -> None:
    with ScriptedServer([[b""]]) as server:
        client = SignedClient(
            server.origin, Signer("us-east-1", "execute-api"), lambda: CREDENTIALS, Clock(NOW)
        )
        with pytest.raises(ServiceUnavailable) as caught:
            client.call("POST", "/", b"s3cret")
    assert "s3cret" not in repr(caught.value)
    assert CREDENTIALS.access_key_id not in repr(caught.value)


def test_pauses_grow_up_to_the_longest_and_end_before_the_deadline() -> None:
    clock = Clock(0)
    backoff = Backoff(clock.sleep, lambda: 1.0, clock, first=0.1, longest=0.5, deadline=2.0)
    attempts = list(backoff.attempts())
    assert attempts == list(range(len(attempts)))
    assert clock.slept == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])


def test_pauses_are_jittered_over_their_whole_length() -> None:
    clock = Clock(0)
    randoms = iter([0.0, 0.5, 1.0])
    backoff = Backoff(
        clock.sleep, lambda: next(randoms), clock, first=1.0, longest=9.0, deadline=9.0
    )
    for attempt in backoff.attempts():
        if attempt == 3:
            break
    assert clock.slept == pytest.approx([0.0, 1.0, 4.0])
