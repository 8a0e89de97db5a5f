"""What an app says of its WebSocket API, and what is refused before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from localgateway.authorization import IdentitySource
from localgateway.definition import ApiDefinition, Authorizer, Example, Route, read
from localgateway.errors import StartError

HANDLERS = {"$connect": "on_connect", "$default": "on_message", "$disconnect": "on_disconnect"}
FUNCTIONS = {name: object() for name in ("on_connect", "on_message", "on_disconnect", "authorize")}
TABLE = {"TableName": "connections", "KeySchema": []}


def definition(**members: Any) -> ApiDefinition:
    return read(HANDLERS, FUNCTIONS, members)


def test_without_a_definition_an_app_has_chalices_own_routes() -> None:
    assert definition() == ApiDefinition(
        routes={
            "$connect": Route("on_connect"),
            "$default": Route("on_message"),
            "$disconnect": Route("on_disconnect"),
        },
        authorizer=None,
        route_selection_expression="$request.body.action",
        stage_variables={},
        tables=(),
        example=Example(),
    )


def test_an_app_need_not_have_a_websocket_api_at_all() -> None:
    assert read({}, {}, {}).routes == {}


def test_a_whole_definition_is_read() -> None:
    read_definition = definition(
        authorizer={
            "function": "authorize",
            "identity_sources": ["route.request.querystring.token", "route.request.header.Cookie"],
        },
        route_selection_expression="${request.body.service}/${request.body.action}",
        routes={
            "chat/join": {"function": "on_message"},
            "chat/send": {
                "function": "on_message",
                "integration_type": "AWS",
                "request_templates": {"application/json": "$input.body"},
            },
        },
        stage_variables={"tier": "gold"},
        tables=[TABLE],
        queues=[{"QueueName": "jobs"}],
        example={
            "headers": {"Authorization": "Bearer x"},
            "query": {"token": "x"},
            "message": {"action": "join"},
        },
    )
    assert read_definition == ApiDefinition(
        routes={
            "$connect": Route("on_connect"),
            "$default": Route("on_message"),
            "$disconnect": Route("on_disconnect"),
            "chat/join": Route("on_message", "AWS_PROXY", {}),
            "chat/send": Route("on_message", "AWS", {"application/json": "$input.body"}),
        },
        authorizer=Authorizer(
            "authorize",
            (
                IdentitySource("route.request.querystring", "token"),
                IdentitySource("route.request.header", "Cookie"),
            ),
        ),
        route_selection_expression="${request.body.service}/${request.body.action}",
        stage_variables={"tier": "gold"},
        http_stage_variables={"tier": "gold"},
        tables=[TABLE],
        queues=[{"QueueName": "jobs"}],
        example=Example({"Authorization": "Bearer x"}, {"token": "x"}, {"action": "join"}),
    )


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"authorizer": None}, id="no authorizer"),
        pytest.param({"authorizer": {"function": "authorize"}}, id="no identity sources"),
        pytest.param(
            {"authorizer": {"function": "authorize", "identity_sources": []}},
            id="an empty list of identity sources",
        ),
    ],
)
def test_an_authorizer_needs_no_identity_source(members: dict[str, Any]) -> None:
    authorizer = definition(**members).authorizer
    assert authorizer is None or authorizer.identity_sources == ()


@pytest.mark.parametrize(
    ("members", "named"),
    [
        pytest.param({"routs": {}}, ["routs", "routes"], id="a member that is none"),
        pytest.param({"b": 1, "a": 2}, ["a, b"], id="two members that are none"),
        pytest.param(
            {"routes": {"hello": {"function": "on_message", "template": "x"}}},
            ["hello", "template"],
            id="a route's member that is none",
        ),
        pytest.param({"routes": {"hello": {}}}, ["hello", "function"], id="a route to nothing"),
        pytest.param({"routes": {"hello": "on_message"}}, ["hello"], id="a route that is text"),
        pytest.param(
            {"routes": {"hello": {"function": "on_mesage"}}},
            ["on_mesage", "on_message"],
            id="a route to a function the app does not have",
        ),
        pytest.param(
            {"routes": {"hello": {"function": "on_message", "integration_type": "HTTP"}}},
            ["hello", "HTTP", "AWS_PROXY"],
            id="an integration type that is none here",
        ),
        pytest.param(
            {"routes": {"$connect": {"function": "on_message"}}}, ["$connect"], id="$connect"
        ),
        pytest.param(
            {"routes": {"$default": {"function": "on_message"}}}, ["$default"], id="$default"
        ),
        pytest.param(
            {"routes": {"$hello": {"function": "on_message"}}}, ["$hello"], id="a $ of one's own"
        ),
        pytest.param(
            {"routes": {"": {"function": "on_message"}}}, ["route ''"], id="a route without a key"
        ),
        pytest.param(
            {"authorizer": {"function": "authorise"}},
            ["authorise"],
            id="an authorizer the app does not have",
        ),
        pytest.param(
            {"authorizer": {"identity_sources": []}},
            ["authorizer", "function"],
            id="an authorizer without a function",
        ),
        pytest.param(
            {"authorizer": {"function": "authorize", "ttl": 300}},
            ["authorizer", "ttl"],
            id="an authorizer's member that is none",
        ),
        pytest.param(
            {"authorizer": {"function": "authorize", "identity_sources": ["Authorization"]}},
            ["'Authorization'"],
            id="an identity source that is none",
        ),
        pytest.param(
            {
                "authorizer": {
                    "function": "authorize",
                    "identity_sources": ["method.request.header.Authorization"],
                }
            },
            ["method.request.header.Authorization", "route.request.header"],
            id="an identity source of REST APIs",
        ),
        pytest.param(
            {"route_selection_expression": "$default"},
            ["'$default'"],
            id="a route selection expression that is none",
        ),
        pytest.param(
            {"route_selection_expression": "${request.body.a[}"},
            ["${request.body.a[}"],
            id="a route selection expression whose path is none",
        ),
        pytest.param(
            {"example": {"header": {"Authorization": "x"}}},
            ["example", "header"],
            id="an example's member that is none",
        ),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(StartError) as raised:
        definition(**members)
    for word in named:
        assert word in str(raised.value)


def test_a_handler_whose_function_is_missing_is_named() -> None:
    with pytest.raises(StartError, match=r"no function lost; it has authorize"):
        read({"$connect": "lost"}, {"authorize": object()}, {})


def test_the_quotas_of_deployment_are_not_counted() -> None:
    routes = {f"route{number}": {"function": "on_message"} for number in range(301)}
    assert len(definition(routes=routes).routes) > 300
