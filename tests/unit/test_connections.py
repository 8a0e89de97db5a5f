"""Audiences, shards, and what a connect event says of a connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.connections import (
    EVERYONE,
    Audience,
    Connection,
    authorized_principal,
    request_context,
    shard_of,
)
from chalicelib.errors import UnexpectedEvent
from tests.factories import (
    CONNECTION_ID,
    NOW,
    STAGE,
    connect_event,
    disconnect_event,
    message_event,
)

AUTHORIZER = {"token": "shared_token", "expiresAt": str(int(NOW) + 99), "principalId": "alice"}

audiences = st.one_of(
    st.just(EVERYONE),
    st.builds(Audience, st.just("principal"), st.text(min_size=1, max_size=200)),
    st.builds(
        Audience, st.just("channel"), st.from_regex(r"[A-Za-z0-9_.:/@-]{1,128}", fullmatch=True)
    ),
    st.builds(
        Audience, st.just("connection"), st.from_regex(r"[A-Za-z0-9_=+/-]{1,128}", fullmatch=True)
    ),
)


@given(audiences)
def test_an_audience_is_written_as_it_is_read(audience: Audience) -> None:
    assert Audience.parse(str(audience)) == audience


@given(st.text())
def test_any_text_is_an_audience_or_refused(text: str) -> None:
    try:
        audience = Audience.parse(text)
    except ValueError:
        return
    assert str(audience) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Everyone",
        "everyone:",
        "everyone:x",
        "nobody",
        "principal",
        "principal:",
        "principal:" + "x" * 1025,
        "principal:\ud800",
        "channel:",
        "channel:two words",
        "channel:" + "x" * 129,
        "connection:",
        "connection:a#b",
        "ticket:x",
    ],
)
def test_what_is_no_audience_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an audience"):
        Audience.parse(text)


def test_the_shard_of_a_connection_never_changes() -> None:
    # Written down, for items are in the table under them.
    assert [shard_of(name, 16) for name in ("a", CONNECTION_ID, "é")] == [3, 2, 14]


@given(st.text(alphabet=st.characters(codec="utf-8")), st.integers(1, 256))
def test_a_shard_is_one_of_them(connection_id: str, shards: int) -> None:
    assert shard_of(connection_id, shards) in range(shards)


def test_a_connect_event_says_all_of_a_connection() -> None:
    assert Connection.from_event(connect_event(AUTHORIZER), ttl=7200) == Connection(
        connection_id=CONNECTION_ID,
        principal_id="alice",
        connected_at=int(NOW * 1000),
        expires_at=int(NOW) + 99,
        source_ip="192.0.2.7",
        api_id=STAGE.api_id,
        stage=STAGE.name,
        context={"token": "shared_token", "expiresAt": str(int(NOW) + 99)},
    )


@pytest.mark.parametrize(
    ("told", "expires_in"),
    [
        pytest.param(str(int(NOW) + 99), 99, id="the credential ends first"),
        pytest.param(str(int(NOW) + 9999), 7200, id="the connection ends first"),
        pytest.param(None, 7200, id="the credential has no end"),
        pytest.param("soon", 7200, id="no number"),
    ],
)
def test_a_connection_ends_with_its_credential_or_its_own_time(
    told: str | None, expires_in: int
) -> None:
    connection = Connection.from_event(connect_event({**AUTHORIZER, "expiresAt": told}), ttl=7200)
    assert connection is not None
    assert connection.expires_at == int(NOW) + expires_in


@pytest.mark.parametrize(
    "authorizer",
    [
        pytest.param(None, id="an API without an authorizer"),
        pytest.param({"token": "x"}, id="no principal"),
        pytest.param({"principalId": ""}, id="an empty principal"),
        pytest.param({"principalId": None}, id="a null principal"),
    ],
)
def test_a_connection_no_authorizer_has_let_in_is_none(
    authorizer: dict[str, str | None] | None,
) -> None:
    assert Connection.from_event(connect_event(authorizer), ttl=7200) is None


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(message_event('{"action": "$connect"}', "$connect"), id="a message"),
        pytest.param(disconnect_event(), id="a disconnect"),
        pytest.param({}, id="nothing"),
        pytest.param({"requestContext": None}, id="null"),
    ],
)
def test_only_a_connect_event_makes_a_connection(event: dict[str, object]) -> None:
    with pytest.raises(UnexpectedEvent):
        Connection.from_event(event, ttl=7200)


def test_a_request_context_is_that_of_its_event_type() -> None:
    event = disconnect_event()
    assert request_context(event, "DISCONNECT") == event["requestContext"]


@pytest.mark.parametrize("authorizer", [None, "alice", {}, {"principalId": 7}])
def test_a_principal_is_never_guessed(authorizer: object) -> None:
    assert authorized_principal({"authorizer": authorizer}) is None
