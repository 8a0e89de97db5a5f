"""Policies are written once; names in them mean something else for each function and stage."""

from typing import Any

import pytest

from deployment import policies
from deployment.errors import DeploymentRefused
from deployment.plan import as_string_format
from deployment.template import as_sub
from tests.unit.deployment.blueprints import DEAD_LETTERS, QUEUE, make_blueprint, make_definition

NAMES = {"ApiId": "abc", "Partition": "aws", "Region": "eu-west-1", "AccountId": "123456789012"}


def statement(resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "x:Y", "Resource": resource, **more}


def filled(resource: Any, environment: dict[str, str] | None = None, **more: Any) -> Any:
    blueprint = make_blueprint(make_definition(queues=[DEAD_LETTERS, QUEUE]))
    values = policies.static_values(blueprint, "websocket_message", environment or {})
    document = {"Version": "2012-10-17", "Statement": [statement(resource, **more)]}
    substituted = policies.fill(document, values, lambda text: policies.substitute(text, NAMES))
    return [it["Resource"] for it in substituted["Statement"]]


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("${TableArn}", "arn:aws:dynamodb:eu-west-1:123456789012:table/parrot-dev"),
        ("${QueueArn}", "arn:aws:sqs:eu-west-1:123456789012:parrot-dev"),
        (
            "${LogGroupArn}:*",
            "arn:aws:logs:eu-west-1:123456789012:log-group:"
            "/aws/lambda/parrot-dev-websocket_message:*",
        ),
        ("${ApiId}/${Stage}/*", "abc/api/*"),
        ("${SEED}", "corn"),
        ("${KEY_PARAMETER_ARN}", "arn:aws:ssm:eu-west-1:123456789012:parameter/parrot/key"),
        ("${OTHER_PARAMETER_ARN}", "arn:aws:ssm:us-east-1:1:parameter/its"),
        ("${KEY_SECRET_ARN}", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-??????"),
        ("${OTHER_SECRET_ARN}", "arn:aws:secretsmanager:us-east-1:1:secret:its-abcdef"),
        ("user/${aws:username}", "user/${aws:username}"),
    ],
)
def test_names_are_filled(text: str, meaning: str) -> None:
    environment = {
        "SEED": "corn",
        "KEY_PARAMETER": "/parrot/key",
        "OTHER_PARAMETER": "arn:aws:ssm:us-east-1:1:parameter/its",
        "KEY_SECRET": "key",
        "OTHER_SECRET": "arn:aws:secretsmanager:us-east-1:1:secret:its-abcdef",
    }
    assert filled(text, environment) == [meaning]


@pytest.mark.parametrize("text", ["${KEY_PARAMETER_ARN}", ["a", "${Unknown}"], "${EMPTY}"])
def test_a_stage_that_does_not_use_something_does_not_allow_it(text: Any) -> None:
    assert filled(text, {"EMPTY": ""}) == []


def test_a_name_in_a_condition_counts_too() -> None:
    assert filled("a", Condition={"StringLike": {"${Unknown}": "b"}}) == []


def test_a_deny_of_what_is_not_there_is_refused_for_leaving_it_out_allows_more() -> None:
    with pytest.raises(DeploymentRefused, match="denies something of Unknown"):
        filled("${Unknown}", Effect="Deny")


@pytest.mark.parametrize("value", ["*", "?", 'a","b', "a b", "ü", "a\n"])
def test_a_value_that_would_change_what_a_role_allows_is_refused(value: str) -> None:
    with pytest.raises(DeploymentRefused, match="SEED"):
        filled("table/${SEED}", {"SEED": value})


def test_without_table_and_queue_there_is_no_name_for_them() -> None:
    blueprint = make_blueprint(make_definition(tables=[]))
    values = policies.static_values(blueprint, "websocket_message", {})
    assert not {"TableArn", "QueueArn"} & values.keys()


def test_cloudformation_fills_dynamic_names_and_leaves_those_of_iam() -> None:
    assert as_sub("${Partition}/${ApiId}/${aws:username}/{x}") == {
        "Fn::Sub": "${AWS::Partition}/${WebsocketAPI}/${!aws:username}/{x}"
    }


def test_chalice_fills_dynamic_names_and_leaves_other_braces() -> None:
    made = as_string_format("${ApiId}/{x}/${aws:username}/${Region}")
    assert made.template.format(deployment_names=NAMES) == "abc/{x}/${aws:username}/eu-west-1"
    assert made.variables == ["deployment_names"]


def test_a_definition_can_name_things_that_only_some_stages_have() -> None:
    statements = [statement("a", Condition={"Items": "${KeyItems}*"}), statement("b")]
    document = {"Version": "2012-10-17", "Statement": statements}

    def resources(**definition: Any) -> list[Any]:
        blueprint = make_blueprint(make_definition(**definition))
        values = policies.static_values(blueprint, "websocket_message", {})
        filled = policies.fill(document, values, str)["Statement"]
        return [(it["Resource"], it.get("Condition")) for it in filled]

    assert resources() == [("b", None)]
    named = resources(policy_names={"KeyItems": "key#"})
    assert named == [("a", {"Items": "key#*"}), ("b", None)]


@pytest.mark.parametrize(
    ("value", "filled_in"),
    [
        ("${ApiId}", "abc"),
        ("${Stage}", "api"),
        ("wss://${ApiId}.host/${Stage}", "wss://abc.host/api"),
        ("plain", "plain"),
        ("", ""),
        ("${HOME}/${ApiId}", "${HOME}/${ApiId}"),
        ("{0} %s", "{0} %s"),
    ],
)
def test_variables_get_what_only_the_deployment_knows(value: str, filled_in: str) -> None:
    found = policies.fill_variables(
        {"A": value}, "api", lambda text: policies.substitute(text, NAMES)
    )
    assert found["A"] == filled_in
