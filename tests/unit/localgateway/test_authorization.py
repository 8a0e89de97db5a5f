"""Identity sources, and what an authorizer's answer means."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localgateway import events
from localgateway.authorization import (
    IdentitySource,
    MalformedAnswer,
    evaluate,
    missing_identity_source,
)
from localgateway.errors import HandshakeRefused, StartError
from localgateway.events import Connection, Handshake, Pairs, Request, Stage
from localgateway.iam import MalformedPolicy

STAGE = Stage("api", api_id="qk3vr8w2md", region="eu-central-1", variables={"tier": "gold"})
ARN = STAGE.method_arn("$connect")
SOURCE_IP = "192.0.2.44"
KINDS = (
    "route.request.header",
    "route.request.querystring",
    "stageVariables",
    "context",
)
NAME_CHARACTERS = string.ascii_letters + string.digits + "._-"


@pytest.mark.parametrize(
    ("expression", "kind", "name"),
    [
        pytest.param(
            "route.request.header.Authorization",
            "route.request.header",
            "Authorization",
            id="a header",
        ),
        pytest.param(
            "route.request.header.x-api-key", "route.request.header", "x-api-key", id="hyphens"
        ),
        pytest.param(
            "route.request.querystring.token",
            "route.request.querystring",
            "token",
            id="a query parameter",
        ),
        pytest.param(
            "route.request.querystring.header.a",
            "route.request.querystring",
            "header.a",
            id="a query parameter with a dot",
        ),
        pytest.param("stageVariables.tier", "stageVariables", "tier", id="a stage variable"),
        pytest.param("context.apiId", "context", "apiId", id="of the request context"),
        pytest.param(
            "context.identity.sourceIp", "context", "identity.sourceIp", id="deep in the context"
        ),
    ],
)
def test_an_identity_source_names_a_parameter(expression: str, kind: str, name: str) -> None:
    assert IdentitySource.parse(expression) == IdentitySource(kind, name)


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("", id="nothing"),
        pytest.param("Authorization", id="a bare name"),
        pytest.param("$request.header.Authorization", id="as HTTP APIs write it"),
        pytest.param("method.request.header.Authorization", id="as REST APIs write it"),
        pytest.param("integration.request.header.Authorization", id="the integration's"),
        pytest.param("route.request.header", id="no name and no dot"),
        pytest.param("route.request.header.", id="no name"),
        pytest.param("route.request.Header.Authorization", id="another case"),
        pytest.param("route.request.multivalueheader.Authorization", id="all values of a header"),
        pytest.param("route.request.body.token", id="the body"),
        pytest.param("route_request_header_Authorization", id="a dot is a dot"),
        pytest.param("stagevariables.tier", id="stageVariables in lower case"),
        pytest.param("$context.apiId", id="a dollar"),
        pytest.param(" route.request.header.A", id="a space before"),
        pytest.param("route.request.header.A ", id="a space after"),
        pytest.param("route.request.header.A\n", id="a line break after"),
        pytest.param("route.request.header.A,route.request.header.B", id="two in one"),
        pytest.param("route.request.header.Größe", id="letters outside ASCII"),
        pytest.param("route.request.header.a_b!", id="punctuation"),
    ],
)
def test_anything_else_is_no_identity_source(expression: str) -> None:
    with pytest.raises(StartError) as raised:
        IdentitySource.parse(expression)
    assert repr(expression) in str(raised.value)


ALMOST_SOURCES = st.builds(
    "{}{}{}".format,
    st.sampled_from([*KINDS, "$request.header", "route.request", ""]),
    st.sampled_from([".", "", ".."]),
    st.text(NAME_CHARACTERS, max_size=8) | st.text(max_size=4),
)


@given(st.text() | ALMOST_SOURCES)
def test_the_grammar_is_a_kind_a_dot_and_a_name(expression: str) -> None:
    names = {
        kind: expression.removeprefix(f"{kind}.")
        for kind in KINDS
        if expression.startswith(f"{kind}.")
    }
    expected = {
        IdentitySource(kind, name)
        for kind, name in names.items()
        if name and set(name) <= set(NAME_CHARACTERS)
    }
    try:
        parsed = {IdentitySource.parse(expression)}
    except StartError:
        parsed = set()
    assert parsed == expected


def missing(headers: Pairs, query: Pairs, *expressions: str) -> str | None:
    """Return the name of the first source missing from a handshake."""
    handshake = Handshake(headers, query, SOURCE_IP)
    connection = Connection("Qm3xTe7hoAMCKpw=", 1_741_082_403_000, SOURCE_IP)
    request = Request("Qm3xTfWfoAMF9dA=", 1_741_082_403_001)
    event = events.authorizer_event(STAGE, connection, handshake, request)
    sources = [IdentitySource.parse(expression) for expression in expressions]
    source = missing_identity_source(sources, handshake, event)
    return None if source is None else source.name


@pytest.mark.parametrize(
    ("headers", "query", "expressions", "expected"),
    [
        pytest.param((), (), (), None, id="none asked for"),
        pytest.param(
            (("Authorization", "Bearer x"),),
            (),
            ("route.request.header.Authorization",),
            None,
            id="a header is there",
        ),
        pytest.param(
            (("authorization", "Bearer x"),),
            (),
            ("route.request.header.Authorization",),
            None,
            id="a header in another case is there",
        ),
        pytest.param(
            (),
            (("Authorization", "Bearer x"),),
            ("route.request.header.Authorization",),
            "Authorization",
            id="a query parameter is no header",
        ),
        pytest.param(
            (("Authorization", ""),),
            (),
            ("route.request.header.Authorization",),
            "Authorization",
            id="an empty header is missing",
        ),
        pytest.param(
            (("Cookie", "a=1"), ("Cookie", "")),
            (),
            ("route.request.header.Cookie",),
            "Cookie",
            id="the last value of a header counts",
        ),
        pytest.param(
            (),
            (("token", "x"),),
            ("route.request.querystring.token",),
            None,
            id="a query parameter is there",
        ),
        pytest.param(
            (),
            (("Token", "x"),),
            ("route.request.querystring.token",),
            "token",
            id="a query parameter in another case is missing",
        ),
        pytest.param(
            (),
            (("token", ""),),
            ("route.request.querystring.token",),
            "token",
            id="an empty query parameter is missing",
        ),
        pytest.param(
            (("token", "x"),),
            (),
            ("route.request.querystring.token",),
            "token",
            id="a header is no query parameter",
        ),
        pytest.param(
            (("A", "x"),),
            (("b", "x"),),
            ("route.request.header.A", "route.request.querystring.b"),
            None,
            id="both are there",
        ),
        pytest.param(
            (("A", "x"),),
            (),
            ("route.request.header.A", "route.request.querystring.b"),
            "b",
            id="all are required, not any",
        ),
        pytest.param(
            (),
            (),
            ("route.request.header.A", "route.request.querystring.b"),
            "A",
            id="the first that is missing is named",
        ),
        pytest.param((), (), ("stageVariables.tier",), None, id="a stage variable is there"),
        pytest.param((), (), ("stageVariables.Tier",), "Tier", id="a stage variable is missing"),
        pytest.param((), (), ("context.apiId",), None, id="the context has it"),
        pytest.param((), (), ("context.connectedAt",), None, id="the context has it as a number"),
        pytest.param((), (), ("context.identity.sourceIp",), None, id="deep in the context"),
        pytest.param(
            (),
            (),
            ("context.identity.userAgent",),
            "identity.userAgent",
            id="the context has it for other clients",
        ),
        pytest.param((), (), ("context.apiId.more",), "apiId.more", id="below a string is nothing"),
        pytest.param((), (), ("context.accountId",), "accountId", id="the context never has it"),
    ],
)
def test_every_identity_source_must_be_there(
    headers: Pairs, query: Pairs, expressions: tuple[str, ...], expected: str | None
) -> None:
    assert missing(headers, query, *expressions) == expected


def answer(resource: Any = ARN, effect: Any = "Allow", **more: Any) -> dict[str, Any]:
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}
    policy_document = {"Version": "2012-10-17", "Statement": [statement]}
    return {"principalId": "ann", "policyDocument": policy_document} | more


def refusal(answered: Any) -> HandshakeRefused:
    with pytest.raises(HandshakeRefused) as raised:
        evaluate(answered, ARN, SOURCE_IP)
    return raised.value


@pytest.mark.parametrize(
    "resource",
    [
        pytest.param(ARN, id="the method ARN"),
        pytest.param(f"{ARN.rpartition('/')[0]}/*", id="the stage"),
        pytest.param(f"{ARN.partition('/')[0]}/*", id="the API"),
        pytest.param("arn:aws:execute-api:*:*:*", id="all APIs"),
        pytest.param("*", id="everything"),
    ],
)
def test_a_policy_that_allows_connect_lets_a_client_in(resource: str) -> None:
    assert evaluate(answer(resource), ARN, SOURCE_IP) == {"principalId": "ann"}


@pytest.mark.parametrize(
    "answered",
    [
        pytest.param(answer(effect="Deny"), id="denied"),
        pytest.param(answer(STAGE.method_arn("sendmessage")), id="another route"),
        pytest.param(answer(f"{ARN.rpartition('/')[0]}/*/*"), id="as REST APIs write it"),
        pytest.param(answer("arn:aws:execute-api:*:*:other/*"), id="another API"),
        pytest.param(answer(context=None, effect="Deny"), id="denied, with a null context"),
    ],
)
def test_a_policy_that_does_not_is_403(answered: Any) -> None:
    error = refusal(answered)
    assert (error.status, error.message) == (403, "Forbidden")
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("answered", "cause"),
    [
        pytest.param(None, MalformedAnswer, id="nothing"),
        pytest.param("Allow", MalformedAnswer, id="a string"),
        pytest.param([answer()], MalformedAnswer, id="a list"),
        pytest.param(True, MalformedAnswer, id="a boolean"),
        pytest.param({}, MalformedAnswer, id="an empty object"),
        pytest.param({"statusCode": 401}, MalformedAnswer, id="a proxy response"),
        pytest.param({"isAuthorized": True}, MalformedAnswer, id="as HTTP APIs answer"),
        pytest.param({"principalId": "ann"}, MalformedPolicy, id="no policy"),
        pytest.param(answer(policyDocument=None), MalformedPolicy, id="a null policy"),
        pytest.param(answer(policyDocument="{}"), MalformedPolicy, id="a policy as text"),
        pytest.param(answer(policyDocument={}), MalformedPolicy, id="an empty policy"),
        pytest.param(answer(effect="allow"), MalformedPolicy, id="an effect in lower case"),
        pytest.param(answer(effect=["Allow"]), MalformedPolicy, id="a list for an effect"),
        pytest.param(
            {"policyDocument": answer()["policyDocument"]}, MalformedAnswer, id="no principal"
        ),
        pytest.param(answer(principalId=None), MalformedAnswer, id="a null principal"),
        pytest.param(answer(principalId=""), MalformedAnswer, id="an empty principal"),
        pytest.param(answer(principalId=["ann"]), MalformedAnswer, id="a list for a principal"),
        pytest.param(answer(context={"roles": ["a"]}), MalformedAnswer, id="a list in the context"),
        pytest.param(
            answer(context={"user": {"id": 1}}), MalformedAnswer, id="an object in the context"
        ),
        pytest.param(answer(context={"roles": []}), MalformedAnswer, id="an empty list in it"),
        pytest.param(answer(context=["a"]), MalformedAnswer, id="a list for a context"),
        pytest.param(answer(context="a"), MalformedAnswer, id="a string for a context"),
        pytest.param(
            answer(context={"roles": ["a"]}, effect="Deny"),
            MalformedAnswer,
            id="denied, and malformed",
        ),
    ],
)
def test_an_answer_that_is_no_policy_is_500(answered: Any, cause: type[Exception]) -> None:
    error = refusal(answered)
    assert (error.status, error.message) == (500, "Internal server error")
    assert isinstance(error.__cause__, cause)


def test_the_log_is_told_which_context_value_is_wrong() -> None:
    assert "context.roles" in str(refusal(answer(context={"roles": ["a"]})).__cause__)


def test_an_answer_may_have_8_kb() -> None:
    room = 8192 - len(json.dumps(answer(context={"note": ""})))
    evaluate(answer(context={"note": "x" * room}), ARN, SOURCE_IP)


def test_an_answer_over_8_kb_is_500() -> None:
    compact = json.dumps(answer(context={"note": ""}), separators=(",", ":"))
    note = "x" * (8192 - len(compact) + 1)
    assert refusal(answer(context={"note": note})).status == 500


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        pytest.param(None, {}, id="no context"),
        pytest.param({}, {}, id="an empty context"),
        pytest.param({"a": "text"}, {"a": "text"}, id="a string"),
        pytest.param({"a": ""}, {"a": ""}, id="an empty string"),
        pytest.param({"a": True, "b": False}, {"a": "true", "b": "false"}, id="booleans"),
        pytest.param({"a": 123, "b": -7, "c": 0}, {"a": "123", "b": "-7", "c": "0"}, id="integers"),
        pytest.param({"a": 1.5}, {"a": "1.5"}, id="a fraction"),
        pytest.param({"a": None}, {"a": None}, id="a null stays null"),
        pytest.param({"größe": "é"}, {"größe": "é"}, id="letters of any language"),
        pytest.param({"principalId": "eve"}, {}, id="a context cannot name another principal"),
    ],
)
def test_the_context_becomes_strings(context: Any, expected: dict[str, Any]) -> None:
    values = evaluate(answer(context=context), ARN, SOURCE_IP)
    assert values == expected | {"principalId": "ann"}


def test_an_answer_need_not_have_a_context() -> None:
    assert evaluate(answer(), ARN, SOURCE_IP) == {"principalId": "ann"}


def test_a_policy_may_ask_for_the_clients_address() -> None:
    limited = answer()
    condition = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
    limited["policyDocument"]["Statement"][0]["Condition"] = condition
    assert evaluate(limited, ARN, SOURCE_IP) == {"principalId": "ann"}
    with pytest.raises(HandshakeRefused, match="403"):
        evaluate(limited, ARN, "198.51.100.7")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
ANSWERS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "principalId": st.just("ann") | JSON,
        "policyDocument": st.just(answer()["policyDocument"]) | JSON,
        "context": st.dictionaries(st.text(max_size=5), JSON, max_size=3) | JSON,
    },
)


@given(ANSWERS)
def test_any_answer_lets_in_with_strings_or_refuses(answered: Any) -> None:
    try:
        values = evaluate(answered, ARN, SOURCE_IP)
    except HandshakeRefused:
        return
    assert values["principalId"] == answered["principalId"]
    assert all(value is None or isinstance(value, str) for value in values.values())


@pytest.mark.parametrize("length", [1, 512])
def test_a_resource_may_have_512_characters(length: int) -> None:
    assert evaluate(answer("*" * length), ARN, SOURCE_IP) == {"principalId": "ann"}


def test_a_resource_over_512_characters_is_500() -> None:
    assert refusal(answer("*" * 513)).status == 500
    assert refusal(answer([ARN, "*" * 513])).status == 500


def test_an_authorizers_context_comes_before_its_principal() -> None:
    values = evaluate(answer(context={"b": 1, "a": 2}), ARN, SOURCE_IP)
    assert list(values) == ["b", "a", "principalId"]
