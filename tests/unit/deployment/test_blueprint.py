"""A blueprint is a definition and Chalice's plan put together, or refused."""

from typing import Any

import pytest

from deployment.blueprint import Integration, Route
from deployment.errors import DeploymentRefused
from tests.unit.deployment.blueprints import make_blueprint, make_definition, make_route


def test_only_connect_is_authorized() -> None:
    routes = make_blueprint().routes
    assert [route.route_key for route in routes if route.authorized] == ["$connect"]
    assert [route.route_key for route in routes] == [
        "$connect",
        "$disconnect",
        "$default",
        "sendmessage",
    ]


def test_a_route_is_a_proxy_unless_it_says_otherwise() -> None:
    definition = make_definition(routes={"leave": {"function": "websocket_message"}})
    integration = Integration("websocket_message", "AWS_PROXY", {})
    assert make_blueprint(definition).routes[-1] == Route("leave", integration, authorized=False)


def test_every_member_but_the_authorizer_may_be_absent() -> None:
    authorizer = {"function": "websocket_authorizer"}
    blueprint = make_blueprint({"authorizer": authorizer})
    assert blueprint.route_selection_expression == "$request.body.action"
    assert (blueprint.tables, blueprint.queues, blueprint.stage_variables) == ((), (), {})
    assert blueprint.authorizer.identity_sources == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"authorizer": {"function": "nobody"}}, "does not have: nobody"),
        ({"routes": {"a": make_route(function="nobody")}}, "does not have: nobody"),
        ({"routes": {"a": {}}}, "does not have: None"),
        ({"routes": {"a": make_route(two_way=True)}}, "route a: two_way cannot be deployed"),
        ({"routes": {"a": make_route(integration_type="MOCK")}}, "integration_type MOCK cannot"),
        ({"routes": {"$connect": make_route()}}, "is Chalice's"),
    ],
)
def test_what_cannot_be_deployed_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(DeploymentRefused, match=reason):
        make_blueprint(make_definition(**changes))


def test_a_definition_without_an_authorizer_is_refused() -> None:
    with pytest.raises(DeploymentRefused, match="would be open"):
        make_blueprint({"routes": {}, "tables": []})


def test_an_app_without_a_connect_handler_is_refused() -> None:
    with pytest.raises(DeploymentRefused, match=r"no \$connect handler"):
        make_blueprint(chalice_routes=("$default",))


def test_a_route_chalice_plans_and_nobody_knows_is_refused() -> None:
    with pytest.raises(DeploymentRefused, match=r"not known: .*ping"):
        make_blueprint(chalice_routes=("$connect", "ping"))


def test_handlers_the_app_does_not_have_are_no_routes() -> None:
    blueprint = make_blueprint(make_definition(routes={}), chalice_routes=("$connect",))
    assert [route.route_key for route in blueprint.routes] == ["$connect"]


@pytest.mark.parametrize(
    "changes",
    [
        {"routes": {"sendmessage": make_route("{ }")}},
        {"routes": {}},
        {"route_selection_expression": "$request.body.kind"},
        {"authorizer": {"function": "websocket_connect", "identity_sources": []}},
    ],
)
def test_the_content_hash_changes_with_what_is_published(changes: dict[str, Any]) -> None:
    assert make_blueprint(make_definition(**changes)).content_hash() != (
        make_blueprint().content_hash()
    )


def test_the_content_hash_is_that_of_the_content_only() -> None:
    other = make_blueprint(
        make_definition(tables=[], stage_variables={}), app_name="other", tags={}, stage="live"
    )
    assert other.content_hash() == make_blueprint().content_hash()
