"""What is asked of the stores, and what is made of their answers."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from chalicelib.backoff import Backoff
from chalicelib.errors import ConfigurationError, ServiceUnavailable
from chalicelib.http1 import Response
from chalicelib.secret_stores import ParameterStore, SecretsManager
from chalicelib.secret_values import Versions
from tests.factories import NOW
from tests.fakes import Clock, ScriptedCaller

OLD, NEW = "0ld-horse-battery", "c0rrect-horse-battery"
ARN = "arn:aws:ssm:eu-west-1:123456789012:parameter/p/token"
WINDOW = 3600.0
Answer = Response | ServiceUnavailable


def answer(content: object) -> Response:
    return Response(200, json.dumps(content).encode())


def refusal(name: str) -> Response:
    return Response(400, json.dumps({"__type": name, "message": NEW}).encode())


def parameter(value: object, version: object = 1, modified: object = NOW - 60) -> Response:
    members = {"Value": value, "Version": version, "LastModifiedDate": modified}
    return answer({"Parameter": {"Name": "/p/token", "Type": "SecureString", **members}})


def secret(value: str, created: object = NOW - 60) -> Response:
    return answer({"Name": "p/token", "SecretString": value, "CreatedDate": created})


def backoff() -> Backoff:
    clock = Clock(0)
    return Backoff(clock.sleep, lambda: 1.0, clock, deadline=1.0)


def parameter_store(caller: ScriptedCaller) -> ParameterStore:
    return ParameterStore(caller, backoff(), Clock(NOW), WINDOW)


def secrets_manager(caller: ScriptedCaller) -> SecretsManager:
    return SecretsManager(caller, backoff(), Clock(NOW), WINDOW)


def asked(caller: ScriptedCaller) -> list[Mapping[str, Any]]:
    return [json.loads(call.payload) for call in caller.calls]


def test_a_parameter_is_asked_for_decrypted() -> None:
    caller = ScriptedCaller(parameter(NEW))
    assert parameter_store(caller).fetch("/p/token") == Versions(NEW)
    assert asked(caller) == [{"Name": "/p/token", "WithDecryption": True}]
    assert caller.calls[0].headers == {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": "AmazonSSM.GetParameter",
    }


@pytest.mark.parametrize("name", ["/p/token", ARN])
def test_a_parameter_that_was_just_changed_comes_with_the_version_before(name: str) -> None:
    caller = ScriptedCaller(parameter(NEW, 7), parameter(OLD, 6, NOW - 9000))
    fetched = parameter_store(caller).fetch(name)
    assert fetched == Versions(NEW, OLD, NOW - 60 + WINDOW)
    assert [call["Name"] for call in asked(caller)] == [name, f"{name}:6"]


def test_a_parameter_that_was_changed_long_ago_comes_alone() -> None:
    caller = ScriptedCaller(parameter(NEW, 7, NOW - WINDOW))
    assert parameter_store(caller).fetch("/p/token") == Versions(NEW)
    assert len(caller.calls) == 1


def test_a_version_that_is_no_longer_kept_is_no_fault() -> None:
    caller = ScriptedCaller(parameter(NEW, 101), refusal("ParameterVersionNotFound"))
    assert parameter_store(caller).fetch("/p/token") == Versions(NEW)


def test_a_secret_is_asked_for_by_its_label() -> None:
    caller = ScriptedCaller(secret(NEW), secret(OLD, NOW - 9000))
    fetched = secrets_manager(caller).fetch("p/token")
    assert fetched == Versions(NEW, OLD, NOW - 60 + WINDOW)
    assert asked(caller) == [
        {"SecretId": "p/token", "VersionStage": "AWSCURRENT"},
        {"SecretId": "p/token", "VersionStage": "AWSPREVIOUS"},
    ]
    assert caller.calls[0].headers == {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": "secretsmanager.GetSecretValue",
    }


def test_a_secret_that_was_made_long_ago_comes_alone() -> None:
    caller = ScriptedCaller(secret(NEW, NOW - WINDOW))
    assert secrets_manager(caller).fetch("p/token") == Versions(NEW)


def test_a_secret_that_was_never_rotated_comes_alone() -> None:
    caller = ScriptedCaller(secret(NEW), refusal("ResourceNotFoundException"))
    assert secrets_manager(caller).fetch("p/token") == Versions(NEW)


@pytest.mark.parametrize(
    "name", ["ParameterNotFound", "AccessDeniedException", "InvalidKeyId", "ExpiredTokenException"]
)
@pytest.mark.parametrize("version", [1, 7])
def test_what_the_store_refuses_is_a_wrong_deployment(name: str, version: int) -> None:
    first = [parameter(NEW, 7)] if version == 7 else []
    with pytest.raises(ConfigurationError, match=name) as caught:
        parameter_store(ScriptedCaller(*first, refusal(name))).fetch("/p/token")
    assert NEW not in str(caught.value)


def test_a_secret_that_may_not_be_read_is_not_one_that_has_no_previous_value() -> None:
    caller = ScriptedCaller(secret(NEW), refusal("AccessDeniedException"))
    with pytest.raises(ConfigurationError, match="AccessDenied"):
        secrets_manager(caller).fetch("p/token")


@pytest.mark.parametrize(
    "problem",
    [
        pytest.param(refusal("ThrottlingException"), id="throttled"),
        pytest.param(Response(500, b"{}"), id="a fault of the store"),
        pytest.param(ServiceUnavailable("no answer"), id="no answer"),
    ],
)
def test_what_may_pass_is_tried_again(problem: Answer) -> None:
    caller = ScriptedCaller(problem, parameter(NEW))
    assert parameter_store(caller).fetch("/p/token") == Versions(NEW)


@pytest.mark.parametrize(
    "strange",
    [
        pytest.param(answer({}), id="no parameter"),
        pytest.param(answer({"Parameter": NEW}), id="a parameter that is no object"),
        pytest.param(parameter(None), id="no value"),
        pytest.param(parameter(NEW, "7"), id="a version that is a text"),
        pytest.param(parameter(NEW, 7, "2026-11-20"), id="a date that is a text"),
        pytest.param(parameter(NEW, True), id="a version that is a truth value"),
    ],
)
def test_an_answer_of_another_shape_is_a_fault_of_the_store(strange: Response) -> None:
    with pytest.raises(ServiceUnavailable) as caught:
        parameter_store(ScriptedCaller(strange)).fetch("/p/token")
    assert NEW not in str(caught.value)


def test_a_list_is_no_credential() -> None:
    answered = answer({"Parameter": {"Type": "StringList", "Value": "a,b", "Version": 1}})
    with pytest.raises(ConfigurationError, match="list"):
        parameter_store(ScriptedCaller(answered)).fetch("/p/token")


def test_a_binary_secret_is_no_credential() -> None:
    answered = answer({"SecretBinary": "aGVsbG8=", "CreatedDate": NOW})
    with pytest.raises(ConfigurationError, match="binary"):
        secrets_manager(ScriptedCaller(answered)).fetch("p/token")


def test_a_previous_secret_that_was_binary_is_not_accepted() -> None:
    binary = answer({"SecretBinary": "aGVsbG8=", "CreatedDate": NOW - 9000})
    caller = ScriptedCaller(secret(NEW), binary)
    assert secrets_manager(caller).fetch("p/token").previous is None
