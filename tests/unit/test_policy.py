"""The authorizer's answer: about one ARN, and nothing else."""

from typing import Any

import pytest

from chalicelib.errors import UnexpectedEvent
from chalicelib.policy import (
    ContextValue,
    Effect,
    MethodArn,
    authorizer_response,
    rest_authorizer_response,
)
from localgateway.iam import is_allowed
from tests.factories import METHOD_ARN

PREFIX = "arn:aws:execute-api:us-east-1:123456789012:abcdef1234"


def test_a_method_arn_is_taken_apart() -> None:
    assert MethodArn.parse(METHOD_ARN) == MethodArn(
        partition="aws",
        region="us-east-1",
        account_id="123456789012",
        api_id="abcdef1234",
        stage="api",
        route_key="$connect",
    )


@pytest.mark.parametrize(
    "text",
    [
        METHOD_ARN,
        "arn:aws-cn:execute-api:cn-north-1:123456789012:abcdef1234/api/$connect",
        "arn:aws-us-gov:execute-api:us-gov-west-1:123456789012:abcdef1234/api/$default",
        f"{PREFIX}/api/GET/a/path",
    ],
)
def test_a_method_arn_is_written_as_it_was_read(text: str) -> None:
    assert str(MethodArn.parse(text)) == text


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="absent"),
        pytest.param(7, id="no text"),
        pytest.param("", id="empty"),
        pytest.param("arn:aws:execute-api:us-east-1:123456789012:abcdef1234", id="no stage"),
        pytest.param(f"{PREFIX}/api", id="no route"),
        pytest.param(f"{PREFIX}/api/*", id="a wildcard would allow every route"),
        pytest.param(f"{PREFIX}/*/$connect", id="a wildcard for the stage"),
        pytest.param(f"{PREFIX}/api/$connec?", id="the other wildcard"),
        pytest.param("arn:aws:lambda:us-east-1:123456789012:abcdef1234/api/$connect", id="Lambda"),
        pytest.param(f"{METHOD_ARN}\n", id="a line end"),
    ],
)
def test_what_api_gateway_cannot_have_sent_is_refused(value: object) -> None:
    with pytest.raises(UnexpectedEvent):
        MethodArn.parse(value)


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_the_policy_is_about_exactly_the_route_asked_for(effect: Effect) -> None:
    context: dict[str, ContextValue] = {"token": "a", "expiresAt": 7, "demonstration": True}
    assert authorizer_response("alice", MethodArn.parse(METHOD_ARN), effect, context) == {
        "principalId": "alice",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Action": "execute-api:Invoke", "Effect": effect, "Resource": METHOD_ARN}
            ],
        },
        "context": context,
    }


TICKETS, ADMIN = f"{PREFIX}/api/POST/tickets", f"{PREFIX}/api/DELETE/principals/bob"


def rest_policy(arn: object, *allowed: str) -> Any:
    return rest_authorizer_response("alice", arn, allowed, ["POST/tickets"], {"scopes": "connect"})


@pytest.mark.parametrize("asked", [TICKETS, ADMIN, f"{PREFIX}/api/GET/a b*?\n/c"])
def test_an_answer_for_http_is_the_same_whichever_route_was_asked_for(asked: str) -> None:
    policy = rest_policy(asked, "POST/tickets", "DELETE/principals/*")["policyDocument"]
    assert policy == rest_policy(TICKETS, "POST/tickets", "DELETE/principals/*")["policyDocument"]
    for arn in (TICKETS, ADMIN):
        assert is_allowed(policy, arn, "192.0.2.7")
    for route in ("GET/tickets", "POST/ticket", "POST/tickets/1", "GET/principals/bob", "GET/"):
        assert not is_allowed(policy, f"{PREFIX}/api/{route}", "192.0.2.7")
    for other in (TICKETS.replace("/api/", "/prod/"), TICKETS.replace("abcdef1234", "other")):
        assert not is_allowed(policy, other, "192.0.2.7")


def test_whoever_may_call_nothing_gets_a_policy_that_is_well_formed_and_denies() -> None:
    response = rest_policy(TICKETS)
    (statement,) = response["policyDocument"]["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Deny", [TICKETS])
    assert response["principalId"] == "alice"
    assert not is_allowed(response["policyDocument"], TICKETS, "192.0.2.7")


@pytest.mark.parametrize("arn", [None, "", "*", METHOD_ARN, PREFIX, f"{PREFIX}/*/POST/tickets"])
def test_an_arn_api_gateway_cannot_have_sent_is_a_fault_of_ours(arn: object) -> None:
    with pytest.raises(UnexpectedEvent):
        rest_policy(arn, "POST/tickets")
