"""Publishing ends in the blueprint from wherever it starts, and nobody gets in on the way."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployment.blueprint import AUTHORIZER_NAME, Blueprint
from deployment.options import Options
from deployment.permissions import wanted_resources
from deployment.reconcile import Publisher, content_description
from tests.fake_api_gateway import FakeApiGateway, InjectedFailure
from tests.unit.deployment.blueprints import make_blueprint, make_definition, make_route

API_ID = "abcdef1234"
OTHER_ROUTES = ("$connect", "$disconnect", "$default", "sendmessage", "leave", "old")


def invocation_uri(function: str) -> str:
    return f"arn:aws:apigateway:us-east-1:lambda:path/functions/{function}/invocations"


def publish(gateway: FakeApiGateway, blueprint: Blueprint) -> None:
    def wanted_permissions(authorizer_id: str) -> list[tuple[str, str]]:
        return [
            (invocation_uri(function), resource)
            for function, resources in wanted_resources(blueprint, authorizer_id).items()
            for resource in resources
        ]

    gateway.wanted_permissions = wanted_permissions
    Publisher(gateway, API_ID, blueprint, invocation_uri, gateway).publish()


def assert_is(gateway: FakeApiGateway, blueprint: Blueprint) -> None:
    """The definition, the published snapshot and the permissions are exactly the blueprint's."""
    snapshot = gateway.published("api")
    assert snapshot is not None
    (authorizer_id,) = gateway.authorizers
    assert len(gateway.integrations) == len(blueprint.routes)
    for found in (snapshot, vars(gateway)):
        authorizer = found["authorizers"][authorizer_id]
        assert authorizer["Name"] == AUTHORIZER_NAME
        assert authorizer["IdentitySource"] == list(blueprint.authorizer.identity_sources)
        assert authorizer["AuthorizerUri"] == invocation_uri(blueprint.authorizer.function)
        assert found["api"]["RouteSelectionExpression"] == blueprint.route_selection_expression
        assert_routes(found, blueprint, authorizer_id)
    stage = gateway.stages["api"]
    assert stage["StageVariables"] == dict(blueprint.stage_variables)
    assert not stage["AutoDeploy"]
    rate = stage["DefaultRouteSettings"]["ThrottlingRateLimit"]
    assert rate == blueprint.options.throttling_rate_limit
    deployment = gateway.deployments[stage["DeploymentId"]]
    assert deployment["Description"].startswith(content_description(blueprint))
    assert gateway.permitted == set(gateway.wanted_permissions(authorizer_id))


def assert_routes(found: Any, blueprint: Blueprint, authorizer_id: str) -> None:
    routes = {it["RouteKey"]: it for it in found["routes"].values()}
    assert routes.keys() == {route.route_key for route in blueprint.routes}
    integration_ids = {it["Target"].rpartition("/")[2] for it in routes.values()}
    assert len(integration_ids) == len(routes)
    assert integration_ids <= found["integrations"].keys()
    for route in blueprint.routes:
        present = routes[route.route_key]
        integration = found["integrations"][present["Target"].rpartition("/")[2]]
        assert integration["IntegrationType"] == route.integration.integration_type
        assert integration["IntegrationUri"] == invocation_uri(route.integration.function)
        templates = integration.get("RequestTemplates") or {}
        assert templates == dict(route.integration.request_templates)
        assert not integration.get("RequestParameters")
        assert not integration.get("CredentialsArn")
        assert not present.get("ApiKeyRequired")
        kind = present.get("AuthorizationType", "NONE")
        assert kind == ("CUSTOM" if route.authorized else "NONE")
        if route.authorized:
            assert present["AuthorizerId"] == authorizer_id


@st.composite
def gateways(draw: st.DrawFn) -> FakeApiGateway:
    """An API as a person, plain Chalice, or a run of ours that failed may have left it."""
    gateway = FakeApiGateway(page_size=draw(st.integers(1, 3)))
    expression = draw(st.sampled_from(["$request.body.action", "$request.body.kind"]))
    gateway.api = {"RouteSelectionExpression": expression}
    integrations = [
        gateway.create_integration(API_ID, **draw(integration_values()))["IntegrationId"]
        for _ in range(draw(st.integers(1, 4)))
    ]
    authorizers = [
        gateway.create_authorizer(
            API_ID,
            Name=draw(st.sampled_from([AUTHORIZER_NAME, "another"])) if first else "a third",
            AuthorizerType="REQUEST",
            AuthorizerUri=invocation_uri("websocket_authorizer"),
            IdentitySource=draw(st.sampled_from([[], ["route.request.header.token"]])),
        )["AuthorizerId"]
        for first in [True, False][: draw(st.integers(0, 2))]
    ]
    route_keys: set[str] = draw(st.sets(st.sampled_from(OTHER_ROUTES)))
    for route_key in sorted(route_keys):
        values: dict[str, Any] = {"Target": f"integrations/{draw(st.sampled_from(integrations))}"}
        if route_key == "$connect" and bool(authorizers) and draw(st.booleans()):
            authorizer_id = draw(st.sampled_from(authorizers))
            values |= {"AuthorizationType": "CUSTOM", "AuthorizerId": authorizer_id}
        if draw(st.booleans()):
            values["ApiKeyRequired"] = True
        gateway.create_route(API_ID, RouteKey=route_key, **values)
    gateway.permitted = {(invocation_uri(name), "*") for name in make_blueprint().functions}
    if draw(st.booleans()):
        draw_stage(draw, gateway)
    gateway.forget_calls()
    return gateway


def draw_stage(draw: st.DrawFn, gateway: FakeApiGateway) -> None:
    ours = content_description(make_blueprint())
    gateway.publish("api", draw(st.sampled_from([None, "by hand", ours])))
    gateway.stages["api"] |= {
        "AutoDeploy": draw(st.booleans()),
        "StageVariables": draw(st.sampled_from([{}, {"Old": "1"}, {"StageVar1": "stageValue1"}])),
    }
    if draw(st.booleans()):  # and nobody has published it since
        for route in gateway.routes.values():
            if not gateway.stages["api"]["AutoDeploy"]:
                route.pop("AuthorizerId", None)
                route["AuthorizationType"] = "NONE"


def integration_values() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "IntegrationType": st.sampled_from(["AWS", "AWS_PROXY"]),
            "IntegrationUri": st.sampled_from(
                [invocation_uri("websocket_message"), invocation_uri("websocket_connect")]
            ),
        },
        optional={
            "IntegrationMethod": st.just("POST"),
            "Description": st.sampled_from(["$connect", "sendmessage"]),
            "ConnectionType": st.just("INTERNET"),
            "ContentHandlingStrategy": st.just("CONVERT_TO_TEXT"),
            "RequestTemplates": st.sampled_from([{"application/json": "{}"}, {"$default": "x"}]),
            "RequestParameters": st.just({"integration.request.header.a": "'b'"}),
            "CredentialsArn": st.just("arn:aws:iam::123456789012:role/another"),
        },
    )


BLUEPRINTS = st.sampled_from(
    [
        make_blueprint(),
        make_blueprint(make_definition(routes={}, stage_variables={})),
        make_blueprint(
            make_definition(
                routes={"leave": make_route(), "sendmessage": make_route("{}")},
                authorizer={"function": "websocket_connect", "identity_sources": []},
            )
        ),
    ]
)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(gateways(), BLUEPRINTS)
@QUICK
def test_publishing_ends_in_the_blueprint_wherever_it_starts(
    gateway: FakeApiGateway, blueprint: Blueprint
) -> None:
    was_open = gateway.is_open("api")
    before = gateway.stages.get("api", {}).get("DeploymentId")
    publish(gateway, blueprint)
    assert_is(gateway, blueprint)
    seen = {audit.deployment_id for audit in gateway.audits}
    assert seen <= {before, gateway.stages["api"]["DeploymentId"]}  # nothing half done
    assert was_open or not any(audit.is_open for audit in gateway.audits)
    assert not gateway.is_open("api")


@given(gateways(), BLUEPRINTS)
@QUICK
def test_publishing_again_changes_nothing(gateway: FakeApiGateway, blueprint: Blueprint) -> None:
    publish(gateway, blueprint)
    gateway.forget_calls()
    publish(gateway, blueprint)
    assert set(gateway.mutations) <= {"allow", "revoke_others"}  # which see that nothing is to do


@given(gateways(), BLUEPRINTS, st.data())
@QUICK
def test_a_run_that_fails_anywhere_is_made_good_by_the_next(
    gateway: FakeApiGateway, blueprint: Blueprint, data: st.DataObject
) -> None:
    was_open = gateway.is_open("api")
    gateway.forget_calls(fail_at=data.draw(st.integers(0, 60)))
    try:
        publish(gateway, blueprint)
    except InjectedFailure:
        assert was_open or not gateway.is_open("api")
    audits = list(gateway.audits)
    gateway.forget_calls()
    publish(gateway, blueprint)
    assert_is(gateway, blueprint)
    assert was_open or not any(it.is_open for it in [*audits, *gateway.audits])


@given(BLUEPRINTS, BLUEPRINTS)
@QUICK
def test_what_is_published_may_invoke_its_functions_all_the_time(
    before: Blueprint, after: Blueprint
) -> None:
    gateway = FakeApiGateway(api={"RouteSelectionExpression": "$request.body.action"})
    publish(gateway, before)
    gateway.forget_calls()
    publish(gateway, after)
    assert not any(audit.is_broken for audit in gateway.audits)


def published(blueprint: Blueprint) -> FakeApiGateway:
    gateway = FakeApiGateway(api={"RouteSelectionExpression": "$request.body.action"})
    publish(gateway, blueprint)
    gateway.forget_calls()
    return gateway


def test_a_first_run_makes_the_stage_last_of_all_that_clients_reach() -> None:
    gateway = FakeApiGateway(api={"RouteSelectionExpression": "$request.body.action"})
    publish(gateway, make_blueprint())
    assert gateway.mutations[:2] == ["create_authorizer", "allow"]
    assert gateway.mutations[-3:] == ["create_deployment", "create_stage", "revoke_others"]


def test_another_mapping_template_is_published_with_one_deployment() -> None:
    gateway = published(make_blueprint())
    publish(gateway, make_blueprint(make_definition(routes={"sendmessage": make_route("{ }")})))
    assert gateway.mutations.count("create_deployment") == 1
    assert gateway.mutations.count("update_stage") == 1


def test_stage_variables_and_throttling_need_no_deployment() -> None:
    blueprint = make_blueprint()
    gateway = published(blueprint)
    other = replace(blueprint, stage_variables={"New": "2"}, options=Options(1.0, 2))
    publish(gateway, other)
    assert_is(gateway, other)
    assert "create_deployment" not in gateway.mutations


def test_settings_api_gateway_adds_to_a_stage_are_no_difference() -> None:
    gateway = published(make_blueprint())
    gateway.stages["api"]["DefaultRouteSettings"] |= {"DetailedMetricsEnabled": False}
    publish(gateway, make_blueprint())
    assert gateway.mutations == ["allow", "revoke_others"]


def test_identity_sources_in_another_order_are_no_difference() -> None:
    sources = ["route.request.header.a", "route.request.querystring.b"]
    authorizer = {"function": "websocket_authorizer", "identity_sources": sources}
    blueprint = make_blueprint(make_definition(authorizer=authorizer))
    gateway = published(blueprint)
    (present,) = gateway.authorizers.values()
    present["IdentitySource"].reverse()
    publish(gateway, blueprint)
    assert gateway.mutations == ["allow", "revoke_others"]


def test_a_stage_of_another_name_is_left_alone() -> None:
    gateway = published(make_blueprint())
    gateway.publish("theirs", "theirs")
    publish(gateway, make_blueprint(make_definition(routes={})))
    assert gateway.deployments[gateway.stages["theirs"]["DeploymentId"]]["Description"] == "theirs"


@pytest.mark.parametrize("route_key", ["$connect", "sendmessage"])
def test_what_was_repaired_but_not_published_is_published_by_the_next_run(route_key: str) -> None:
    """The definition looks right after the failure; the stage is still on what is gone."""
    blueprint = make_blueprint()
    gateway = published(blueprint)
    (route_id,) = [it for it in gateway.routes if gateway.routes[it]["RouteKey"] == route_key]
    gateway.delete_route(API_ID, route_id)
    gateway.publish(
        "api", gateway.deployments[gateway.stages["api"]["DeploymentId"]]["Description"]
    )
    gateway.forget_calls(fail_at=first_call_of(gateway, blueprint, "create_deployment"))
    with pytest.raises(InjectedFailure):
        publish(gateway, blueprint)
    gateway.forget_calls()
    publish(gateway, blueprint)
    assert_is(gateway, blueprint)


def first_call_of(gateway: FakeApiGateway, blueprint: Blueprint, call: str) -> int:
    """Count the calls of a run until one of a kind, on a copy."""
    for number in range(100):
        attempt = deepcopy(gateway)
        attempt.forget_calls(fail_at=number)
        try:
            publish(attempt, blueprint)
        except InjectedFailure as failure:
            if str(failure) == call:
                return number
    raise AssertionError(f"no {call} in a run")


@pytest.mark.parametrize(
    "more",
    [
        {"CredentialsArn": "arn:aws:iam::123456789012:role/another"},
        {"RequestParameters": {"integration.request.header.a": "'b'"}},
        {"RequestTemplates": {"$default": "{}"}},
        {"TemplateSelectionExpression": "$request.body.kind"},
        {"PassthroughBehavior": "NEVER"},
        {"TimeoutInMillis": 50},
    ],
    ids=lambda more: next(iter(more)),
)
def test_an_integration_that_has_more_than_it_should_is_replaced(more: dict[str, Any]) -> None:
    blueprint = make_blueprint()
    gateway = published(blueprint)
    integration_id = next(iter(gateway.integrations))
    gateway.integrations[integration_id] |= more
    publish(gateway, blueprint)
    assert integration_id not in gateway.integrations
    assert gateway.mutations.count("create_deployment") == 1


def test_an_integration_without_what_api_gateway_adds_by_itself_is_kept() -> None:
    blueprint = make_blueprint()
    gateway = published(blueprint)
    for integration in gateway.integrations.values():
        del integration["PassthroughBehavior"], integration["TimeoutInMillis"]
    publish(gateway, blueprint)
    assert gateway.mutations == ["allow", "revoke_others"]


def test_what_is_put_right_is_published() -> None:
    blueprint = make_blueprint()
    gateway = published(blueprint)
    next(iter(gateway.routes.values()))["ApiKeyRequired"] = True
    publish(gateway, blueprint)
    assert gateway.mutations == [
        "allow",
        "update_route",
        "create_deployment",
        "update_stage",
        "revoke_others",
    ]
