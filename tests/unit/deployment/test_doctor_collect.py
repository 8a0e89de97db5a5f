"""What the doctor may not look at is named, with the permission it takes, and is never judged."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from botocore.exceptions import ClientError

from deployment.doctor import report
from deployment.doctor.collect import Collector
from deployment.doctor.findings import Level
from tests.unit.deployment.stages import make_expected


class _NeverRaised(Exception):
    """Whatever a service calls its errors; here every call ends in another one."""


class _Exceptions:
    def __getattr__(self, name: str) -> type[Exception]:
        return _NeverRaised


class FailingClient:
    """A client whose every call but who-am-I ends in one error."""

    exceptions = _Exceptions()

    def __init__(self, code: str) -> None:
        self._code = code

    def get_caller_identity(self) -> dict[str, str]:
        return {"Arn": "arn:aws:iam::111122223333:user/reader", "Account": "111122223333"}

    def get_paginator(self, operation: str) -> Any:
        return self

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def fail(**_parameters: Any) -> Any:
            raise ClientError({"Error": {"Code": self._code}}, operation)

        return fail


class FakeSession:
    """botocore's session, of somebody who may do nothing."""

    def __init__(self, code: str) -> None:
        self._code = code

    def create_client(self, service: str) -> FailingClient:
        return FailingClient(self._code)

    def get_config_variable(self, name: str) -> str:
        return "eu-west-1"


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "AuthorizationError"])
def test_whoever_may_see_nothing_is_told_each_permission(code: str) -> None:
    expected = make_expected(alarms=True, dashboard=True)
    found = Collector(FakeSession(code), expected).collect()
    findings = report.findings(expected, found, date(2026, 11, 20))
    assert report.exit_code(findings) == report.COULD_NOT_LOOK
    assert {it.level for it in findings} == {Level.UNSEEN, Level.NOTE}
    needed = {it.remedy.removeprefix("it takes ") for it in findings if it.level is Level.UNSEEN}
    assert needed == {
        "apigateway:GET",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:ListDashboards",
        "dynamodb:DescribeTable, dynamodb:DescribeTimeToLive",
        "lambda:GetAccountSettings",
        "lambda:GetFunctionConfiguration",
        "lambda:GetPolicy",
        "logs:DescribeLogGroups",
        "logs:DescribeMetricFilters",
        "sqs:GetQueueUrl",
        "ssm:GetParameter",
    }


def test_roles_that_no_function_could_be_asked_for_are_not_called_well() -> None:
    expected = make_expected()
    found = Collector(FakeSession("AccessDenied"), expected).collect()
    findings = report.findings(expected, found, date(2026, 11, 20))
    assert [it.level for it in findings if it.check == "roles"] == [Level.NOTE]


def test_a_fault_of_aws_is_not_taken_for_a_missing_permission() -> None:
    with pytest.raises(ClientError, match="InternalFailure"):
        Collector(FakeSession("InternalFailure"), make_expected()).collect()
