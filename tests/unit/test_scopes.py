"""Scopes: what is granted, and nothing near it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.scopes import Scopes, is_scope


@pytest.mark.parametrize(
    "text",
    [
        "connect",
        "publish",
        "admin",
        "admin:keys",
        "sendmessage",
        "sendmessage:everyone",
        "sendmessage:*",
        "sendmessage:channel:news",
        "sendmessage:channel:*",
        "sendmessage:channel:team-7*",
        "sendmessage:principal:auth0|5f7c8e",
        "sendmessage:principal:*",
        "sendmessage:connection:*",
        "sendmessage:connection:L0SM9cOFvHcCIhw=",
        "join:channel:news",
        "join:channel:*",
        "join:*",
    ],
)
def test_these_are_scopes(text: str) -> None:
    assert is_scope(text)
    assert str(Scopes.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("openid", id="another's"),
        pytest.param("Connect", id="another case"),
        pytest.param("connect:*", id="a connect of something"),
        pytest.param("admin:*", id="an admin of something"),
        pytest.param("admin:", id="an admin of nothing"),
        pytest.param("admin:key", id="an admin of something near"),
        pytest.param("admin:keys*", id="an admin of more"),
        pytest.param("sendmessage:", id="an audience left out"),
        pytest.param("sendmessage:channel:", id="a channel left out"),
        pytest.param("sendmessage:nobody", id="an unknown audience"),
        pytest.param("sendmessage:everyone*", id="everyone and more"),
        pytest.param("sendmessage:channel:*news", id="a star in front"),
        pytest.param("sendmessage:channel:a*b", id="a star within"),
        pytest.param("sendmessage:channel:a**", id="two stars"),
        pytest.param("sendmessage:chan*", id="a star within the kind"),
        pytest.param("join", id="a join of nothing"),
        pytest.param("join:everyone", id="joining what all are in"),
        pytest.param("join:principal:bob", id="joining a principal"),
        pytest.param("join:principal:*", id="joining principals"),
        pytest.param('join:channel:"', id="a quote"),
        pytest.param("join:channel:\\", id="a backslash"),
        pytest.param("join:channel:né", id="a letter no scope can hold"),
        pytest.param("connect\n", id="a new line"),
        pytest.param("join:channel:" + "a" * 129, id="too long"),
        pytest.param(" connect", id="a blank before"),
        pytest.param("connect,publish", id="two with a comma"),
        pytest.param("*", id="everything"),
        pytest.param("*:*", id="everything of everything"),
        pytest.param("publish:everyone", id="publishing to one audience"),
        pytest.param("admin:principals", id="a part of what operators do"),
        pytest.param("sendmessage:everyone:a", id="everyone of something"),
        pytest.param("sendmessage::everyone", id="two colons"),
        pytest.param("sendmessage:Channel:a", id="another case of a kind"),
        pytest.param("\uff43onnect", id="a full-width letter"),
        pytest.param("connect\u200b", id="a space of no width"),
    ],
)
def test_these_are_none(text: str) -> None:
    assert not is_scope(text)
    assert Scopes.granted([text]) == Scopes()


def test_what_is_written_by_hand_must_be_right() -> None:
    assert Scopes.parse("  connect   publish ") == Scopes(frozenset({"connect", "publish"}))
    with pytest.raises(ValueError, match="openid"):
        Scopes.parse("connect openid")


def test_an_issuers_other_scopes_are_passed_over() -> None:
    granted = ["openid", "connect", "email", "sendmessage:channel:news", "aws.cognito.signin"]
    assert str(Scopes.granted(granted)) == "connect sendmessage:channel:news"


def test_with_a_prefix_only_what_bears_it_counts() -> None:
    granted = ["portcullis/connect", "publish", "other/admin", "portcullis/openid"]
    assert str(Scopes.granted(granted, "portcullis/")) == "connect"


@pytest.mark.parametrize(
    ("scopes", "action", "audience", "allowed"),
    [
        pytest.param("connect", "connect", "", True, id="the action itself"),
        pytest.param("admin", "connect", "", False, id="another action"),
        pytest.param("", "connect", "", False, id="nothing granted"),
        pytest.param("admin", "admin:keys", "", False, id="keys are more than the rest"),
        pytest.param("admin:keys", "admin", "", False, id="keys alone"),
        pytest.param("admin:keys", "admin:keys", "", True, id="keys"),
        pytest.param("sendmessage:*", "sendmessage", "", False, id="audiences, not the action"),
        pytest.param("sendmessage", "sendmessage", "everyone", False, id="the action alone"),
        pytest.param("sendmessage:*", "sendmessage", "everyone", True, id="every audience"),
        pytest.param("sendmessage:*", "join", "channel:a", False, id="every audience of another"),
        pytest.param("join:channel:a", "join", "channel:a", True, id="that channel"),
        pytest.param("join:channel:a", "join", "channel:ab", False, id="a longer name"),
        pytest.param("join:channel:ab", "join", "channel:a", False, id="a shorter name"),
        pytest.param("join:channel:a*", "join", "channel:ab", True, id="a name that begins so"),
        pytest.param("join:channel:a*", "join", "channel:b", False, id="one that does not"),
        pytest.param("join:channel:*", "join", "channel:x", True, id="every channel"),
        pytest.param("join:channel:*", "join", "everyone", False, id="what is no channel"),
        pytest.param("join:channel:a", "join", "channel:A", False, id="another case"),
        pytest.param("join:channel:a*", "join", "channel:a", True, id="nothing for the star"),
        pytest.param("join:channel:a*", "join", "channel:a*", True, id="the star itself"),
        pytest.param("join:channel:a.c", "join", "channel:abc", False, id="a dot is a dot"),
        pytest.param("sendmessage:everyone", "sendmessage", "channel:everyone", False, id="a kind"),
        pytest.param(
            "sendmessage:principal:a*", "sendmessage", "channel:a", False, id="another kind"
        ),
        pytest.param("publish", "sendmessage", "everyone", False, id="publishing is not sending"),
        pytest.param("admin", "publish", "", False, id="operators do not publish"),
        pytest.param("publish", "admin", "", False, id="publishers are no operators"),
        pytest.param("sendmessage:*", "connect", "", False, id="sending is not connecting"),
    ],
)
def test_what_is_granted(scopes: str, action: str, audience: str, allowed: bool) -> None:
    assert Scopes.parse(scopes).allow(action, audience) is allowed


@pytest.mark.parametrize(
    ("own", "others", "covered"),
    [
        pytest.param("connect publish", "connect", True, id="some of them"),
        pytest.param("connect publish", "connect publish", True, id="all of them"),
        pytest.param("connect", "connect publish", False, id="one more"),
        pytest.param("connect", "", True, id="nothing"),
        pytest.param("", "connect", False, id="of nothing"),
        pytest.param("admin", "admin:keys", False, id="keys of an operator"),
        pytest.param("admin:keys", "admin", False, id="an operator of keys"),
        pytest.param("join:channel:*", "join:channel:news", True, id="one of all channels"),
        pytest.param("join:channel:*", "join:channel:team-*", True, id="some of all channels"),
        pytest.param("join:channel:team-*", "join:channel:team-7*", True, id="fewer"),
        pytest.param("join:channel:team-7*", "join:channel:team-*", False, id="more channels"),
        pytest.param("join:channel:team-*", "join:channel:*", False, id="all channels"),
        pytest.param("join:channel:news", "join:channel:news*", False, id="a name, and all after"),
        pytest.param("join:channel:*", "join:*", False, id="whatever can be joined"),
        pytest.param("join:*", "join:channel:*", True, id="of whatever can be joined"),
        pytest.param("join:*", "sendmessage:channel:news", False, id="another action"),
        pytest.param("sendmessage:*", "sendmessage:everyone", True, id="everyone of all"),
        pytest.param("sendmessage:*", "sendmessage", False, id="the action alone"),
        pytest.param("sendmessage", "sendmessage:everyone", False, id="an audience"),
        pytest.param("sendmessage:channel:*", "sendmessage:principal:bob", False, id="a person"),
    ],
)
def test_what_covers_what(own: str, others: str, covered: bool) -> None:
    assert Scopes.parse(own).cover(Scopes.parse(others)) is covered


_AUDIENCES = [
    "everyone",
    *(f"{kind}:{name}" for kind in ("channel", "principal") for name in ("a", "ab", "abc", "b")),
]
_PATTERNS = st.sampled_from(
    ["*", "everyone", *_AUDIENCES[1:], *(f"{audience}*" for audience in _AUDIENCES[1:])]
)
_SCOPES = st.frozensets(
    st.one_of(
        st.sampled_from(["connect", "publish", "admin", "admin:keys", "sendmessage"]),
        _PATTERNS.map(lambda pattern: f"sendmessage:{pattern}"),
        st.sampled_from(["join:*", "join:channel:a", "join:channel:a*", "join:channel:ab*"]),
    ),
    max_size=4,
)


@given(_SCOPES, _SCOPES)
def test_who_holds_what_covers_others_may_do_all_that_they_allow(
    own: frozenset[str], others: frozenset[str]
) -> None:
    if not Scopes(own).cover(Scopes(others)):
        return
    for action in ("sendmessage", "join", "connect", "publish", "admin", "admin:keys"):
        for audience in ("", *_AUDIENCES):
            if Scopes(others).allow(action, audience):
                assert Scopes(own).allow(action, audience)
