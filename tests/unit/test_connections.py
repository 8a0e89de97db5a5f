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
    ("text", "kind", "name"),
    [
        ("everyone", "everyone", ""),
        ("principal:alice", "principal", "alice"),
        ("principal:auth0|5f7c8ec7", "principal", "auth0|5f7c8ec7"),
        ("principal:everyone", "principal", "everyone"),
        ("principal:channel:news", "principal", "channel:news"),
        ("principal:Zo\u00eb \u65e5\u672c", "principal", "Zo\u00eb \u65e5\u672c"),
        ("principal: ", "principal", " "),
        ("principal:*", "principal", "*"),
        ("principal:" + "\u00e9" * 512, "principal", "\u00e9" * 512),
        ("channel:news", "channel", "news"),
        ("channel:NEWS", "channel", "NEWS"),
        ("channel:team-7/a.b_c:d@e", "channel", "team-7/a.b_c:d@e"),
        ("channel:everyone", "channel", "everyone"),
        ("channel:../..", "channel", "../.."),
        ("channel:" + "x" * 128, "channel", "x" * 128),
        ("connection:L0SM9cOFvHcCIhw=", "connection", "L0SM9cOFvHcCIhw="),
        ("connection:a+b/c", "connection", "a+b/c"),
    ],
)
def test_an_audience_has_a_kind_and_a_name(text: str, kind: str, name: str) -> None:
    assert Audience.parse(text) == Audience(kind, name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(":", id="a colon"),
        pytest.param("*", id="a star"),
        pytest.param("Everyone", id="another case"),
        pytest.param(" everyone", id="a blank before"),
        pytest.param("everyone ", id="a blank after"),
        pytest.param("everyone\n", id="a new line after"),
        pytest.param("everyone\0", id="a zero after"),
        pytest.param("everyone:", id="everyone of nothing"),
        pytest.param("everyone:x", id="everyone of something"),
        pytest.param("everyone,channel:news", id="two"),
        pytest.param("\uff45veryone", id="a full-width letter"),
        pytest.param("nobody", id="an unknown kind"),
        pytest.param("ticket:x", id="a kind of item that is no audience"),
        pytest.param("Principal:alice", id="another case of a kind"),
        pytest.param("principal", id="a kind without a name"),
        pytest.param("principal:", id="a principal without a name"),
        pytest.param("principal:" + "x" * 1025, id="a principal of too many bytes"),
        pytest.param("principal:" + "\u00e9" * 513, id="a principal of too many bytes in UTF-8"),
        pytest.param("principal:\ud800", id="half a character"),
        pytest.param("channel:", id="a channel without a name"),
        pytest.param("channel :news", id="a blank before the colon"),
        pytest.param("channel:two words", id="a blank in a channel"),
        pytest.param("channel:news ", id="a blank after a channel"),
        pytest.param("channel:news\n", id="a new line after a channel"),
        pytest.param("channel:*", id="all channels"),
        pytest.param("channel:news*", id="channels that begin so"),
        pytest.param("channel:a,b", id="two channels"),
        pytest.param("channel:a#0", id="a shard of a channel"),
        pytest.param("channel:n\u0435ws", id="a Cyrillic letter"),
        pytest.param("channel:n\u00e9", id="a letter with an accent"),
        pytest.param("channel:" + "x" * 129, id="a channel that is too long"),
        pytest.param("channel/news", id="a slash for the colon"),
        pytest.param("connection:", id="a connection without an id"),
        pytest.param("connection:a#b", id="a connection's item"),
        pytest.param("connection:a%3D", id="an escaped id"),
        pytest.param("connection:" + "x" * 129, id="an id that is too long"),
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
