"""The stage of the HTTP API is published with the definition's variables, and with no others."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from chalice.awsclient import TypedAWSClient
from chalice.deploy import models
from chalice.deploy.planner import PlanStage, Variable
from chalice.utils import OSUtils

from deployment import aws_calls, http_api, http_stage
from deployment.errors import DeploymentRefused
from tests.unit.deployment.models import FakeRemoteState
from tests.unit.deployment.test_http_api import PROXY, make_rest_api

# Unwrapped: another test may have installed the extension in this process.
PLAN_REST_API = inspect.unwrap(PlanStage._plan_restapi)
VARIABLES = {"StageVar1": "stageValue1", "colour": "red"}


def make_api(definition: Mapping[str, Any] | None) -> models.RestAPI:
    api = make_rest_api({"/orders": {"get": PROXY}})
    api.xray = True
    if definition is not None:
        http_api.complete(api, definition)
    return api


def planned(definition: Mapping[str, Any] | None, plan: Callable[..., Any] = PLAN_REST_API) -> Any:
    stage = PlanStage(FakeRemoteState(), OSUtils())  # type: ignore[arg-type]
    return http_stage.plan_rest_api(plan, stage, make_api(definition))


def calls(entries: Any) -> list[models.APICall]:
    bare = [entry[0] if isinstance(entry, tuple) else entry for entry in entries]
    return [entry for entry in bare if isinstance(entry, models.APICall)]


def test_chalices_call_is_replaced_where_it_stands_and_all_else_kept() -> None:
    chalices, ours = planned(None), planned({"stage_variables": VARIABLES})
    before = [call.method_name for call in calls(chalices)]
    after = [call.method_name for call in calls(ours)]
    replaced = before.index("deploy_rest_api")
    assert after.pop(replaced) == "publish_rest_api"
    before.pop(replaced)
    assert after == before
    assert calls(ours)[replaced].params == {
        **calls(chalices)[replaced].params,
        "variables": VARIABLES,
    }
    assert calls(ours)[replaced].params["rest_api_id"] == Variable("rest_api_id")


def test_without_variables_those_of_before_are_to_go() -> None:
    (call,) = [it for it in calls(planned({})) if it.method_name == "publish_rest_api"]
    assert call.params["variables"] == {}


def test_the_call_takes_what_the_plan_gives_it() -> None:
    (call,) = [it for it in calls(planned({})) if it.method_name == "publish_rest_api"]
    taken = set(inspect.signature(aws_calls.publish_rest_api).parameters) - {"aws"}
    assert taken == call.params.keys()
    aws_calls.install()
    assert hasattr(TypedAWSClient, call.method_name)


def test_another_plan_than_the_one_that_is_known_is_refused() -> None:
    def renamed(stage: Any, resource: Any) -> Any:
        return [
            models.APICall(method_name=f"new_{it.method_name}", params=it.params)
            for it in calls(PLAN_REST_API(stage, resource))
        ]

    with pytest.raises(DeploymentRefused, match="HTTP API"):
        planned({}, renamed)


@pytest.mark.parametrize(
    ("present", "wanted", "operations"),
    [
        pytest.param({}, {}, [], id="none"),
        pytest.param({"a": "1"}, {"a": "1"}, [], id="as they are"),
        pytest.param({}, {"a": "1"}, [("replace", "a", "1")], id="a new one"),
        pytest.param({"a": "1"}, {"a": "2"}, [("replace", "a", "2")], id="another value"),
        pytest.param({"a": "1"}, {}, [("remove", "a", None)], id="a stale one"),
        pytest.param(
            {"a": "1", "b": "2", "c": "3"},
            {"b": "4", "c": "3", "d": "5"},
            [("remove", "a", None), ("replace", "b", "4"), ("replace", "d", "5")],
            id="all at once",
        ),
    ],
)
def test_only_what_differs_is_changed(
    present: dict[str, str], wanted: dict[str, str], operations: list[tuple[str, str, str | None]]
) -> None:
    expected = [
        {"op": op, "path": f"/variables/{name}", **({} if value is None else {"value": value})}
        for op, name, value in operations
    ]
    assert http_stage.changes(present, wanted) == expected


class NoSuchStage(Exception):
    """What botocore makes of API Gateway's NotFoundException."""


class FakeRestApi:
    """One stage of boto3's ``apigateway``, and its variables after each change.

    ``on_deployment`` is what ``CreateDeployment`` does to those of a stage that is there.
    """

    class exceptions:
        NotFoundException = NoSuchStage

    def __init__(
        self,
        variables: dict[str, str] | None,
        on_deployment: Callable[[dict[str, str]], dict[str, str]],
    ) -> None:
        self.variables = variables
        self.history: list[dict[str, str]] = []
        self.deployments: list[dict[str, Any]] = []
        self.updates = 0
        self._on_deployment = on_deployment

    def get_stage(self, restApiId: str, stageName: str) -> dict[str, Any]:
        assert (restApiId, stageName) == ("rest1", "api")
        if self.variables is None:
            raise NoSuchStage
        # API Gateway leaves an empty map out.
        return {"variables": dict(self.variables)} if self.variables else {}

    def create_deployment(
        self, variables: dict[str, str] | None = None, **parameters: Any
    ) -> dict[str, Any]:
        self.deployments.append(parameters)
        is_new = self.variables is None
        self.variables = dict(variables or {}) if is_new else self._on_deployment(self.variables)  # type: ignore[arg-type]
        self.history.append(dict(self.variables))
        return {"id": "deployment1"}

    def update_stage(self, patchOperations: list[dict[str, str]], **_: Any) -> None:
        assert self.variables is not None
        self.updates += 1
        for it in patchOperations:
            name = it["path"].removeprefix("/variables/")
            if it["op"] == "remove":
                del self.variables[name]
            else:
                self.variables[name] = it["value"]
        self.history.append(dict(self.variables))


def keep(variables: dict[str, str]) -> dict[str, str]:
    return variables


def forget(_: dict[str, str]) -> dict[str, str]:
    return {}


def publish(api: FakeRestApi, wanted: dict[str, str]) -> None:
    http_stage.publish(api, "rest1", "api", wanted, tracing=False)


@pytest.mark.parametrize("on_deployment", [keep, forget])
@pytest.mark.parametrize("before", [None, {}, {"old": "1"}, {"StageVar1": "x", "old": "1"}])
@pytest.mark.parametrize("wanted", [{}, VARIABLES])
def test_the_stage_has_the_wanted_variables_whatever_a_deployment_does_to_them(
    before: dict[str, str] | None,
    wanted: dict[str, str],
    on_deployment: Callable[[dict[str, str]], dict[str, str]],
) -> None:
    api = FakeRestApi(before, on_deployment)
    publish(api, wanted)
    assert api.variables == wanted
    stage = {"restApiId": "rest1", "stageName": "api", "tracingEnabled": False}
    assert api.deployments == [stage]
    assert api.updates <= 1
    updates = api.updates
    publish(api, wanted)
    assert api.updates == updates or on_deployment is forget


def test_a_new_stage_is_never_without_its_variables() -> None:
    api = FakeRestApi(None, keep)
    publish(api, VARIABLES)
    assert api.history == [VARIABLES]


def test_variables_change_in_one_step() -> None:
    api = FakeRestApi({"old": "1", "colour": "blue"}, keep)
    publish(api, VARIABLES)
    assert api.history == [{"old": "1", "colour": "blue"}, VARIABLES]
