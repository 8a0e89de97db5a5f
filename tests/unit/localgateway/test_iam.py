"""What an authorizer's policy document says about one method ARN."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localgateway.iam import MalformedPolicy, is_allowed

ARN = "arn:aws:execute-api:eu-central-1:123456789012:qk3vr8w2md/api/$connect"
SOURCE_IP = "192.0.2.44"


def statement(effect: Any = "Allow", resource: Any = ARN, **more: Any) -> dict[str, Any]:
    return {
        "Effect": effect,
        "Action": "execute-api:Invoke",
        "Resource": resource,
    } | more


def allowed(*statements: Any) -> bool:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return is_allowed(document, ARN, SOURCE_IP)


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        pytest.param(ARN, True, id="the ARN itself"),
        pytest.param([ARN], True, id="the ARN in a list"),
        pytest.param(["arn:aws:s3:::x", ARN], True, id="the second of a list"),
        pytest.param("*", True, id="anything"),
        pytest.param("arn:aws:execute-api:*:*:*", True, id="any API"),
        pytest.param(
            "arn:aws:execute-api:eu-central-1:123456789012:qk3vr8w2md/*",
            True,
            id="any stage of this API",
        ),
        pytest.param(
            "arn:aws:execute-api:eu-central-1:123456789012:qk3vr8w2md/api/*",
            True,
            id="any route of this stage",
        ),
        pytest.param(
            "arn:aws:execute-api:eu-central-1:123456789012:qk3vr8w2md/a?i/$connect",
            True,
            id="a question mark is one character",
        ),
        pytest.param(
            "arn:aws:execute-api:eu-central-1:123456789012:qk3vr8w2md?api/$connect",
            True,
            id="a question mark is a slash too",
        ),
        pytest.param("arn:*/$connect", True, id="a star crosses colons and slashes"),
        pytest.param(f"{ARN}*", True, id="a star is no character at all"),
        pytest.param("***", True, id="stars in a row"),
        pytest.param(
            "arn:aws:execute-api:eu-central-1:123456789012:qk3vr8w2md/api/*/*",
            False,
            id="the idiom of REST APIs, any verb and any path",
        ),
        pytest.param(
            "arn:aws:execute-api:eu-central-1:123456789012:qk3vr8w2md/api/*/$connect",
            False,
            id="a route with a verb before it",
        ),
        pytest.param(
            "arn:aws:execute-api:eu-central-1:123456789012:qk3vr8w2md/api/connect",
            False,
            id="the route without its dollar",
        ),
        pytest.param(
            "arn:aws:execute-api:eu-central-1:123456789012:qk3vr8w2md/api/$disconnect",
            False,
            id="another route",
        ),
        pytest.param(
            "arn:aws:execute-api:eu-central-1:123456789012:qk3vr8w2md/prod/*",
            False,
            id="another stage",
        ),
        pytest.param(ARN.upper(), False, id="another case"),
        pytest.param(ARN[:-1], False, id="a character too few"),
        pytest.param(f"{ARN}?", False, id="a question mark is never nothing"),
        pytest.param(f"{ARN}\n", False, id="a line break after it"),
        pytest.param("", False, id="an empty string"),
        pytest.param(ARN.replace("a", "."), False, id="a dot is a dot"),
        pytest.param(ARN.replace("$", "[$]"), False, id="brackets are brackets"),
    ],
)
def test_a_resource_is_a_glob_over_the_whole_arn(resource: Any, expected: bool) -> None:
    assert allowed(statement(resource=resource)) is expected


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param("execute-api:Invoke", True, id="invoke"),
        pytest.param("execute-api:invoke", True, id="case does not matter"),
        pytest.param("EXECUTE-API:INVOKE", True, id="nor the service's"),
        pytest.param(["s3:GetObject", "execute-api:Invoke"], True, id="one of a list"),
        pytest.param("execute-api:*", True, id="every action of the service"),
        pytest.param("execute-api:Inv*", True, id="a star at the end"),
        pytest.param("*", True, id="every action"),
        pytest.param("execute-api:ManageConnections", False, id="the management API's"),
        pytest.param("execute-api", False, id="the service without an action"),
        pytest.param("lambda:*", False, id="another service's"),
        pytest.param("execute-api:Invo\N{KELVIN SIGN}e", False, id="a Kelvin sign is no k"),
    ],
)
def test_an_action_is_a_glob_without_regard_to_case(action: Any, expected: bool) -> None:
    assert allowed(statement(Action=action)) is expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        pytest.param([statement("Deny")], False, id="denied"),
        pytest.param([statement(resource="x")], False, id="nothing said is denied"),
        pytest.param([statement(), statement("Deny")], False, id="deny wins after allow"),
        pytest.param([statement("Deny"), statement()], False, id="deny wins before allow"),
        pytest.param(
            [statement(), statement("Deny", "*/$disconnect")], True, id="another route is denied"
        ),
        pytest.param(
            [statement(), statement("Deny", Action="s3:*")], True, id="another action is denied"
        ),
        pytest.param([statement(resource="x"), statement()], True, id="the second allows"),
        pytest.param(
            [statement(Sid="AllowAll", Principal="*")], True, id="what else a statement says"
        ),
    ],
)
def test_statements_together(statements: list[Any], expected: bool) -> None:
    assert allowed(*statements) is expected


def test_a_lone_statement_need_not_be_in_a_list() -> None:
    assert is_allowed({"Statement": statement()}, ARN, SOURCE_IP)
    assert not is_allowed({"Statement": statement("Deny")}, ARN, SOURCE_IP)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(None, id="nothing"),
        pytest.param("Allow", id="a string"),
        pytest.param([], id="a list"),
        pytest.param({}, id="no Statement"),
        pytest.param({"Statement": None}, id="a null Statement"),
        pytest.param({"Statement": []}, id="no statements"),
        pytest.param({"Statement": "Allow"}, id="a string for statements"),
        pytest.param({"statement": [statement()]}, id="Statement in lower case"),
        pytest.param({"Statement": ["Allow"]}, id="a string for a statement"),
        pytest.param({"Statement": [statement(), None]}, id="a null after a good one"),
        pytest.param({"Statement": [statement("allow")]}, id="Effect in lower case"),
        pytest.param({"Statement": [statement(None)]}, id="a null Effect"),
        pytest.param({"Statement": [statement(["Allow"])]}, id="a list for Effect"),
        pytest.param({"Statement": [statement({})]}, id="an object for Effect"),
        pytest.param({"Statement": [statement(True)]}, id="a boolean for Effect"),
        pytest.param({"Statement": [{"Effect": "Allow", "Action": "*"}]}, id="no Resource"),
        pytest.param({"Statement": [{"Effect": "Allow", "Resource": "*"}]}, id="no Action"),
        pytest.param({"Statement": [statement(resource=None)]}, id="a null Resource"),
        pytest.param({"Statement": [statement(resource=[])]}, id="an empty list for Resource"),
        pytest.param({"Statement": [statement(resource=["*", 5])]}, id="a number among resources"),
        pytest.param({"Statement": [statement(resource={"*": "*"})]}, id="an object for Resource"),
        pytest.param({"Statement": [statement(Action=5)]}, id="a number for Action"),
        pytest.param({"Statement": [statement(Condition="none")]}, id="a string for Condition"),
        pytest.param({"Statement": [statement(Condition=[])]}, id="a list for Condition"),
        pytest.param(
            {"Statement": [statement(Condition={"IpAddress": {"aws:SourceIp": "home"}})]},
            id="a range that is none",
        ),
        pytest.param(
            {"Statement": [statement(Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/33"}})]},
            id="a prefix that is none",
        ),
        pytest.param(
            {"Statement": [statement(Condition={"NotIpAddress": {"aws:SourceIp": 5}})]},
            id="a number for a range",
        ),
        pytest.param(
            {
                "Statement": [
                    statement(),
                    statement(
                        "Deny", Condition={"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", 5]}}
                    ),
                ]
            },
            id="a number among the ranges that are denied",
        ),
    ],
)
def test_what_is_no_policy_is_malformed(document: Any) -> None:
    with pytest.raises(MalformedPolicy):
        is_allowed(document, ARN, SOURCE_IP)


def inside(*ranges: str) -> dict[str, Any]:
    return {"IpAddress": {"aws:SourceIp": list(ranges)}}


def outside(*ranges: str) -> dict[str, Any]:
    return {"NotIpAddress": {"aws:SourceIp": list(ranges)}}


@pytest.mark.parametrize(
    ("condition", "source_ip", "holds"),
    [
        pytest.param(None, SOURCE_IP, True, id="null"),
        pytest.param({}, SOURCE_IP, True, id="none"),
        pytest.param(inside("192.0.2.0/24"), SOURCE_IP, True, id="in the range"),
        pytest.param(inside("192.0.2.44"), SOURCE_IP, True, id="the address itself"),
        pytest.param(inside("192.0.2.44/24"), SOURCE_IP, True, id="a range with host bits"),
        pytest.param(inside("198.51.100.0/24"), SOURCE_IP, False, id="not in the range"),
        pytest.param(
            inside("198.51.100.0/24", "192.0.2.0/24"), SOURCE_IP, True, id="in one of the ranges"
        ),
        pytest.param(
            {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, SOURCE_IP, True, id="no list"
        ),
        pytest.param(
            {"IpAddress": {"AWS:sourceip": "0.0.0.0/0"}}, SOURCE_IP, True, id="key's case"
        ),
        pytest.param(outside("192.0.2.0/24"), SOURCE_IP, False, id="not outside"),
        pytest.param(outside("198.51.100.0/24"), SOURCE_IP, True, id="outside"),
        pytest.param(
            outside("198.51.100.0/24", "192.0.2.0/24"), SOURCE_IP, False, id="outside one of two"
        ),
        pytest.param(
            inside("192.0.2.0/24") | outside("192.0.2.44/32"),
            SOURCE_IP,
            False,
            id="in the range and yet excluded",
        ),
        pytest.param(
            inside("192.0.2.0/24") | outside("192.0.2.45/32"),
            SOURCE_IP,
            True,
            id="in the range and not excluded",
        ),
        pytest.param(inside("2001:db8::/32"), "2001:db8::7", True, id="IPv6"),
        pytest.param(inside("0.0.0.0/0"), "2001:db8::7", False, id="IPv6 is in no IPv4 range"),
        pytest.param(outside("0.0.0.0/0"), "2001:db8::7", True, id="IPv6 is outside all IPv4"),
        pytest.param(inside("::/0"), SOURCE_IP, False, id="IPv4 is in no IPv6 range"),
    ],
)
@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_a_condition_on_the_source_address_limits_its_statement(
    effect: str, condition: Any, source_ip: str, holds: bool
) -> None:
    limited = statement(effect, Condition=condition)
    others = [] if effect == "Allow" else [statement()]
    expected = holds is (effect == "Allow")
    assert is_allowed({"Statement": [*others, limited]}, ARN, source_ip) is expected


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param({"Condition": {"StringEquals": {"aws:userid": "x"}}}, id="an operator"),
        pytest.param({"Condition": {"IpAddress": {"aws:VpcSourceIp": "0.0.0.0/0"}}}, id="a key"),
        pytest.param({"Condition": {"IpAddress": {}}}, id="an operator without a key"),
        pytest.param({"Condition": {"IpAddress": "0.0.0.0/0"}}, id="an operator without keys"),
        pytest.param(
            {"Condition": inside("0.0.0.0/0") | {"Bool": {"aws:SecureTransport": "true"}}},
            id="a known operator and an unknown one",
        ),
        pytest.param(
            {"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0", "aws:other": "x"}}},
            id="a known key and an unknown one",
        ),
        pytest.param({"NotAction": "s3:*"}, id="NotAction"),
        pytest.param({"NotResource": "arn:aws:s3:::x"}, id="NotResource"),
        pytest.param({"NotAction": 5}, id="NotAction that is malformed"),
    ],
)
def test_what_is_not_known_never_allows_and_always_denies(unknown: dict[str, Any]) -> None:
    assert not allowed(statement(**unknown))
    assert not allowed(statement(), statement("Deny", **unknown))


def test_a_statement_with_not_action_needs_no_action() -> None:
    denial = {"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"}
    assert not allowed(statement(), denial)


def test_many_stars_cost_no_more_than_one() -> None:
    started = time.thread_time()
    assert not allowed(statement(resource="*" * 7 + "x"))
    assert time.thread_time() - started < 0.5


def globs(pattern: str, text: str) -> bool:
    """Match character by character: the positions of ``text`` that ``pattern`` can have reached."""
    reached = {0}
    for character in pattern:
        if character == "*":
            reached = {end for start in reached for end in range(start, len(text) + 1)}
        else:
            reached = {at + 1 for at in reached if at < len(text) and character in ("?", text[at])}
    return len(text) in reached


@given(st.text("ab/:.*?[$\n", max_size=7), st.text("ab/:.[$\n", max_size=10))
def test_globs_match_as_an_independent_matcher_does(pattern: str, text: str) -> None:
    policy = {"Statement": [statement(resource=pattern)]}
    assert is_allowed(policy, text, SOURCE_IP) is globs(pattern, text)


EFFECTS = st.sampled_from(["Allow", "Deny"])
RESOURCES = st.sampled_from(["*", ARN, "*/$connect", "*/$disconnect", "arn:aws:s3:::x", "?*"])


@given(st.lists(st.tuples(EFFECTS, RESOURCES), min_size=1, max_size=6))
def test_some_statement_allows_and_none_denies(pairs: list[tuple[str, str]]) -> None:
    matching = {effect for effect, resource in pairs if globs(resource, ARN)}
    decision = allowed(*(statement(effect, resource) for effect, resource in pairs))
    assert decision is (matching == {"Allow"})


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = st.recursive(
    SCALARS | EFFECTS | RESOURCES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
CONDITIONS = st.dictionaries(
    st.sampled_from(["IpAddress", "NotIpAddress", "Bool"]),
    st.dictionaries(st.just("aws:SourceIp"), JSON | st.just("192.0.2.0/24")) | JSON,
)
STATEMENTS = st.fixed_dictionaries(
    {},
    optional={
        "Effect": EFFECTS | JSON,
        "Action": st.just("*") | JSON,
        "Resource": RESOURCES | JSON,
        "Condition": CONDITIONS | JSON,
        "NotAction": JSON,
        "NotResource": JSON,
    },
)
DOCUMENTS = JSON | st.fixed_dictionaries({"Statement": st.lists(STATEMENTS, max_size=3) | JSON})


@given(DOCUMENTS)
def test_any_document_is_decided_or_malformed(document: Any) -> None:
    try:
        decision = is_allowed(document, ARN, SOURCE_IP)
    except MalformedPolicy:
        return
    assert isinstance(decision, bool)
