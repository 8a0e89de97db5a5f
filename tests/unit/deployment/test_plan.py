"""Chalice's real plan, with the WebSocket API replaced; or refused where it is another one."""

import inspect
from collections.abc import Sequence
from typing import Any

import pytest
from chalice.deploy import models
from chalice.deploy.executor import VariableResolver
from chalice.deploy.planner import PlanStage, Variable
from chalice.utils import OSUtils

from deployment import plan
from deployment.chalice_internals import KEPT_CALLS, REPLACED_CALLS
from deployment.errors import DeploymentRefused
from tests.unit.deployment.blueprints import DEAD_LETTERS, QUEUE, make_blueprint, make_definition
from tests.unit.deployment.models import (
    FakeRemoteState,
    make_domain_name,
    make_function,
    make_websocket_api,
)

# Unwrapped: another test may have installed the extension in this process.
PLAN_WEBSOCKET_API = inspect.unwrap(PlanStage._plan_websocketapi)
EXECUTE = inspect.unwrap(PlanStage.execute)
OPENING = {"create_websocket_route", "create_stage", "deploy_websocket_api"}


def make_stage(api_id: str | None = None) -> Any:
    return PlanStage(FakeRemoteState(api_id), OSUtils())  # type: ignore[arg-type]


def planned(api: Any, api_id: str | None = None) -> list[Any]:
    entries = plan.plan_websocket_api(PLAN_WEBSOCKET_API, make_stage(api_id), api)
    return [entry[0] if isinstance(entry, tuple) else entry for entry in entries]


def calls(instructions: Sequence[Any]) -> list[str]:
    return [it.method_name for it in instructions if isinstance(it, models.APICall)]


@pytest.mark.parametrize("api_id", [None, "abc"])
def test_one_call_publishes_in_place_of_chalices(api_id: str | None) -> None:
    api = make_websocket_api(make_blueprint())
    assert calls(planned(api, api_id)) == ["publish_websocket_api"]


@pytest.mark.parametrize("api_id", [None, "abc"])
def test_the_url_is_recorded_as_chalice_does(api_id: str | None) -> None:
    records = [
        (it.resource_name, it.name)
        for it in planned(make_websocket_api(make_blueprint()), api_id)
        if isinstance(it, models.RecordResourceVariable)
    ]
    assert records == [
        ("websocket_api", "websocket_api_url"),
        ("websocket_api", "websocket_api_id"),
    ]


def test_a_custom_domain_is_mapped_once_there_is_a_stage() -> None:
    api = make_websocket_api(make_blueprint(), make_domain_name())
    assert calls(planned(api)) == [
        "publish_websocket_api",
        "create_domain_name",
        "create_api_mapping",
    ]


def test_what_the_publication_needs_is_known_by_then() -> None:
    (call,) = [
        it
        for it in planned(make_websocket_api(make_blueprint()))
        if getattr(it, "method_name", None) == "publish_websocket_api"
    ]
    assert call.params["names"] == Variable(plan.NAMES)
    assert call.params["function_arns"] == {
        f"websocket_{name}": Variable(f"websocket_{name}_lambda_arn")
        for name in ("authorizer", "connect", "disconnect", "message")
    }


def test_an_app_without_a_definition_is_planned_as_chalice_does() -> None:
    assert set(calls(planned(make_websocket_api(None)))) >= OPENING


def test_every_call_chalice_plans_today_is_known() -> None:
    known = REPLACED_CALLS | KEPT_CALLS
    for api_id in (None, "abc"):
        entries = PLAN_WEBSOCKET_API(
            make_stage(api_id), make_websocket_api(None, make_domain_name())
        )
        bare = [entry[0] if isinstance(entry, tuple) else entry for entry in entries]
        assert set(calls(bare)) <= known


def test_a_call_that_is_not_known_is_refused() -> None:
    def newer(stage: Any, api: Any) -> Any:
        call = models.APICall(method_name="create_websocket_route_v3", params={})
        return [*PLAN_WEBSOCKET_API(stage, api), call]

    with pytest.raises(DeploymentRefused, match="create_websocket_route_v3"):
        plan.plan_websocket_api(newer, make_stage(), make_websocket_api(make_blueprint()))


def test_a_plan_without_chalices_calls_is_refused() -> None:
    def newer(stage: Any, api: Any) -> Any:
        return [it for it in PLAN_WEBSOCKET_API(stage, api) if isinstance(it, models.JPSearch)]

    with pytest.raises(DeploymentRefused, match="not the one that is known"):
        plan.plan_websocket_api(newer, make_stage(), make_websocket_api(make_blueprint()))


def execute(resources: Sequence[Any], api_id: str | None = None) -> models.Plan:
    made: models.Plan = plan.execute(EXECUTE, make_stage(api_id), resources)
    return made


def bare(made: models.Plan) -> list[Any]:
    return list(made.instructions)


def make_blueprint_with_queues() -> Any:
    return make_blueprint(make_definition(queues=[DEAD_LETTERS, QUEUE]))


def test_stores_and_the_bare_api_come_before_all_else() -> None:
    function = make_function("websocket_connect")
    api = make_websocket_api(make_blueprint_with_queues())
    made = execute([function.role, function, api])
    assert calls(made.instructions)[:4] == [
        "ensure_table",
        "ensure_queue",
        "ensure_queue",
        "prepare_websocket_api",
    ]
    names = [it.params["properties"]["QueueName"] for it in bare(made)[2:6:2]]
    assert names == ["parrot-dev-dead", "parrot-dev"]  # a queue needs its dead letters' queue
    assert made.messages[id(made.instructions[0])] == "Preparing table: parrot-dev\n"


def test_stores_are_recorded_so_that_they_can_be_deleted() -> None:
    made = execute([make_websocket_api(make_blueprint_with_queues())])
    records = [
        (it.resource_type, it.resource_name, it.name, it.value)
        for it in made.instructions
        if isinstance(it, models.RecordResourceValue)
    ]
    assert records == [
        ("table", "table:parrot-dev", "table_name", "parrot-dev"),
        ("queue", "queue:parrot-dev-dead", "queue_name", "parrot-dev-dead"),
        ("queue", "queue:parrot-dev", "queue_name", "parrot-dev"),
    ]


@pytest.mark.parametrize("api_id", [None, "abc"])
def test_a_deployed_api_is_taken_up_by_its_id(api_id: str | None) -> None:
    made = execute([make_websocket_api(make_blueprint())], api_id)
    (prepare,) = [
        it for it in bare(made) if getattr(it, "method_name", None) == "prepare_websocket_api"
    ]
    assert prepare.params["deployed_api_id"] == api_id


def test_an_app_without_a_websocket_api_is_planned_as_chalice_does() -> None:
    function = make_function("job")
    made = execute([function.role, function])
    assert "prepare_websocket_api" not in calls(made.instructions)


def test_a_role_is_filled_with_what_is_known_at_the_end_only() -> None:
    document = {
        "Statement": [
            {"Effect": "Allow", "Action": "a:B", "Resource": "${TableArn}/${ApiId}/${Stage}"}
        ]
    }
    policy = models.FileBasedIAMPolicy(document, "connect.json")
    function = make_function("websocket_connect", policy)
    execute([function.role, function, make_websocket_api(make_blueprint())])
    names = {"Partition": "aws", "Region": "r", "AccountId": "1", "ApiId": "abc"}
    variables: Any = {plan.NAMES: names}
    assert VariableResolver().resolve_variables(policy.document, variables) == {
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "a:B",
                "Resource": "arn:aws:dynamodb:r:1:table/parrot-dev/abc/api",
            }
        ]
    }


@pytest.mark.parametrize("shared", [True, False])
def test_functions_that_share_a_role_with_names_in_it_are_refused(shared: bool) -> None:
    document = {"Statement": [{"Effect": "Allow", "Action": "a:B", "Resource": "${LogGroupArn}"}]}
    policy = models.FileBasedIAMPolicy(document, "policy.json")
    other = policy if shared else models.FileBasedIAMPolicy(document, "other.json")
    resources = [
        make_function("websocket_connect", policy),
        make_function("websocket_message", other),
        make_websocket_api(make_blueprint()),
    ]
    if not shared:
        assert execute(resources).instructions
        return
    with pytest.raises(DeploymentRefused, match="websocket_connect, websocket_message share"):
        execute(resources)


def test_a_role_without_a_file_of_its_own_is_left_to_chalice() -> None:
    automatic = models.AutoGenIAMPolicy(document={"Statement": ["${TableArn}"]})
    function = make_function("websocket_connect", automatic)
    execute([function, make_websocket_api(make_blueprint())])
    assert automatic.document == {"Statement": ["${TableArn}"]}
