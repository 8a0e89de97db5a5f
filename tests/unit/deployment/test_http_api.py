"""The HTTP API may invoke its functions by its own routes and authorizers only."""

from typing import Any

import pytest
from chalice.deploy import models
from chalice.deploy.planner import Variable

from deployment.http_api import complete, narrow_permissions, permissions
from deployment.permissions import MOST_STATEMENTS
from tests.unit.deployment.models import make_function

PROXY = {"x-amazon-apigateway-integration": {"type": "aws_proxy"}}
PREFLIGHT = {"x-amazon-apigateway-integration": {"type": "mock"}}


def make_rest_api(paths: dict[str, Any]) -> models.RestAPI:
    return models.RestAPI(
        resource_name="rest_api",
        swagger_doc={"paths": paths},
        minimum_compression="",
        api_gateway_stage="api",
        endpoint_type="EDGE",
        lambda_function=make_function("api_handler"),
        authorizers=[make_function("rest_authorizer")],
    )


def test_routes_are_named_one_by_one() -> None:
    api = make_rest_api(
        {
            "/health": {"get": PROXY},
            "/items/{id}": {"put": PROXY, "options": PREFLIGHT},
            "/all": {"x-amazon-apigateway-any-method": PROXY},
        }
    )
    assert permissions(api)["parrot-dev-api_handler"] == [
        "api/*/all",
        "api/GET/health",
        "api/PUT/items/*",
    ]


def test_authorizers_are_invoked_by_authorizers_of_the_api() -> None:
    assert permissions(make_rest_api({}))["parrot-dev-rest_authorizer"] == ["authorizers/*"]


@pytest.mark.parametrize("number", [MOST_STATEMENTS, MOST_STATEMENTS + 1])
def test_more_routes_than_a_policy_holds_are_allowed_as_the_stage(number: int) -> None:
    api = make_rest_api({f"/{n}": {"get": PROXY} for n in range(number)})
    found = permissions(api)["parrot-dev-api_handler"]
    assert (found == ["api/*"]) is (number > MOST_STATEMENTS)


def test_what_chalice_plans_to_allow_is_replaced_and_all_else_kept() -> None:
    api = make_rest_api({"/health": {"get": PROXY}})
    wide = models.APICall(
        method_name="add_permission_for_apigateway",
        params={"function_name": "parrot-dev-api_handler", "rest_api_id": Variable("rest_api_id")},
    )
    other = models.APICall(method_name="deploy_rest_api", params={})
    plan = models.Plan([wide, other], {})
    narrow_permissions(plan, [api])
    narrowed = plan.instructions[0]
    assert isinstance(narrowed, models.APICall)
    assert narrowed.method_name == "sync_permissions"
    assert narrowed.params["resources"] == ["api/GET/health"]
    assert narrowed.params["api_id"] == Variable("rest_api_id")
    assert plan.instructions[1] is other


def test_its_own_words_for_errors_are_part_of_the_api() -> None:
    api = make_rest_api({})
    complete(api, {})
    assert api.swagger_doc == {"paths": {}}
    complete(api, {"gateway_responses": {"UNAUTHORIZED": {"statusCode": "401"}}})
    assert api.swagger_doc["x-amazon-apigateway-gateway-responses"] == {
        "UNAUTHORIZED": {"statusCode": "401"}
    }
