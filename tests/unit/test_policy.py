"""The authorizer's answer: about one ARN, and nothing else."""

import pytest

from chalicelib.errors import UnexpectedEvent
from chalicelib.policy import ContextValue, Effect, MethodArn, authorizer_response
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
