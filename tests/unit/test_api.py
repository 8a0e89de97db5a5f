"""The definition of the WebSocket API, and what its mapping template makes of a frame."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import api
from chalicelib.credential_settings import BEARER, Place
from chalicelib.delivery_settings import DeliverySettings
from chalicelib.settings import Settings
from tests.factories import (
    CONNECTION_ID,
    NOW,
    REQUEST,
    STAGE,
    make_settings,
    mapped_message_event,
    message_event,
)

JWT = {"JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCE": "api", "JWT_KEYS": "{}"}
HOSTILE = [
    pytest.param("it's", id="an apostrophe"),
    pytest.param('say "hi"', id="a quote"),
    pytest.param('","isBase64Encoded":true,"x":"', id="an attempt to inject a field"),
    pytest.param("C:\\new\\'", id="backslashes"),
    pytest.param("two\nlines\r\n\t\0", id="control characters"),
    pytest.param("Zoë 日本 😀", id="non-ASCII text"),
    pytest.param("\u2028\u2029", id="line separators of JavaScript"),
    pytest.param("$context.stage $util ${input} #set($a=1) ## no", id="Velocity itself"),
    pytest.param("</script>", id="a slash"),
]


def test_the_definition_is_plain_json_data() -> None:
    definition = api.definition(make_settings())
    assert json.loads(json.dumps(definition)) == definition


def test_the_definition_needs_no_secret() -> None:
    without = make_settings(stage="prod", shared_token=None)
    local = api.definition(make_settings())
    assert api.definition(without) == {**local, "example": {**local["example"], "headers": {}}}


def test_the_definition_names_the_functions_of_the_app() -> None:
    definition = api.definition(make_settings(stage_variables={"A": "b"}))
    assert definition["authorizer"]["function"] == "websocket_authorizer"
    assert definition["routes"]["sendmessage"]["function"] == "websocket_message"
    assert definition["routes"]["sendmessage"]["integration_type"] == "AWS"
    assert definition["route_selection_expression"] == "$request.body.action"
    assert definition["stage_variables"] == {"A": "b"}


@pytest.mark.parametrize(
    ("changes", "sources"),
    [
        pytest.param({}, ["route.request.header.token"], id="shared token"),
        pytest.param(
            {"shared_token_header": "x-token"},
            ["route.request.header.x-token"],
            id="shared token in another header",
        ),
        pytest.param(
            {"authenticators": ("request_parameters",)},
            ["route.request.header.HeaderAuth1", "route.request.querystring.QueryString1"],
            id="request parameters",
        ),
        pytest.param(
            {"authenticators": ("request_parameters",), "stage_variable_name": "StageVar1"},
            [
                "route.request.header.HeaderAuth1",
                "route.request.querystring.QueryString1",
                "stageVariables.StageVar1",
            ],
            id="request parameters with a stage variable",
        ),
        pytest.param(
            {"authenticators": ("jwt",)},
            ["route.request.header.Authorization"],
            id="a bearer token",
        ),
        pytest.param(
            {"authenticators": ("api_key",), "credential_places": (Place("header", "x-key"),)},
            ["route.request.header.x-key"],
            id="a key in a header of its own",
        ),
        pytest.param(
            {"authenticators": ("jwt",), "credential_places": (Place("query", "jwt"),)},
            ["route.request.querystring.jwt"],
            id="a token in the query",
        ),
        pytest.param(
            {"authenticators": ("jwt",), "credential_places": (Place("protocol"),)},
            ["route.request.header.Sec-WebSocket-Protocol"],
            id="a token among the subprotocols",
        ),
        pytest.param(
            {"authenticators": ("ticket",)}, ["route.request.querystring.ticket"], id="a ticket"
        ),
        pytest.param(
            {"authenticators": ("jwt", "api_key")},
            ["route.request.header.Authorization"],
            id="two kinds in the same place",
        ),
        pytest.param({"authenticators": ("jwt", "ticket")}, [], id="two kinds in two places"),
        pytest.param(
            {"authenticators": ("jwt",), "credential_places": (BEARER, Place("protocol"))},
            [],
            id="one kind in two places",
        ),
        pytest.param(
            {
                "authenticators": ("request_parameters", "ticket"),
                "query_string_name": "ticket",
            },
            ["route.request.querystring.ticket"],
            id="what two kinds have in common",
        ),
    ],
)
def test_identity_sources_are_what_every_way_in_needs(
    changes: dict[str, Any], sources: list[str]
) -> None:
    assert api.definition(make_settings(**changes))["authorizer"]["identity_sources"] == sources


def test_the_table_expires_its_items_and_has_no_secondary_index() -> None:
    (table,) = api.definition(make_settings())["tables"]
    assert table["TableName"] == "portcullis-local"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert not {key for key in table if "Index" in key}


def test_the_template_hands_over_the_main_fields_of_the_request() -> None:
    context = message_event("{}", "sendmessage")["requestContext"]
    assert mapped_message_event("{}") == {
        "requestContext": {
            "routeKey": "sendmessage",
            "messageId": context["messageId"],
            "auth": "alice",
            "token": "shared_token",
            "expiresAt": str(int(NOW) + 7200),
            "scopes": "",
            "eventType": "MESSAGE",
            "extendedRequestId": REQUEST.request_id,
            "requestTime": context["requestTime"],
            "messageDirection": "IN",
            "stage": STAGE.name,
            "connectedAt": str(int(NOW * 1000)),
            "requestTimeEpoch": str(REQUEST.time),
            "sourceIp": "192.0.2.7",
            "requestId": REQUEST.request_id,
            "domainName": STAGE.domain_name,
            "connectionId": CONNECTION_ID,
            "apiId": STAGE.api_id,
        },
        "body": "{}",
        "isBase64Encoded": False,
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_the_template_survives_hostile_text(text: str) -> None:
    body = json.dumps({"action": "sendmessage", "message": text}, ensure_ascii=False)
    mapped = mapped_message_event(body, principal_id=text)
    assert mapped["body"] == body
    assert mapped["requestContext"]["auth"] == text
    assert mapped["isBase64Encoded"] is False


@given(body=st.text(), principal_id=st.text())
def test_the_template_hands_over_any_text_as_it_was(body: str, principal_id: str) -> None:
    mapped = mapped_message_event(body, principal_id)
    assert (mapped["body"], mapped["requestContext"]["auth"]) == (body, principal_id)


@pytest.mark.parametrize(
    ("changes", "headers", "query"),
    [
        pytest.param({}, {"token": "hello"}, {}, id="shared token"),
        pytest.param(
            {
                "authenticators": ("request_parameters",),
                "header_auth_value": "headerValue1",
                "query_string_value": "queryValue1",
            },
            {"HeaderAuth1": "headerValue1"},
            {"QueryString1": "queryValue1"},
            id="request parameters",
        ),
    ],
)
def test_the_example_lets_a_newcomer_in(
    changes: dict[str, Any], headers: dict[str, str], query: dict[str, str]
) -> None:
    example = api.definition(make_settings(**changes))["example"]
    assert (example["headers"], example["query"]) == (headers, query)


def test_the_example_has_the_page_where_there_is_one() -> None:
    assert api.definition(make_settings(console=True))["example"]["page"] == "/"
    assert api.definition(make_settings())["example"]["page"] == ""


@pytest.mark.parametrize("authenticator", ["shared_token", "request_parameters"])
def test_no_secret_is_in_the_definition(authenticator: str) -> None:
    secrets = ("shared_token", "header_auth_value", "query_string_value", "stage_variable_value")
    values = dict.fromkeys(secrets, "c0rrect-horse")
    settings = make_settings(authenticators=(authenticator,), **values)
    assert "c0rrect-horse" not in json.dumps(api.definition(settings))


def test_without_a_queue_none_is_defined() -> None:
    assert api.definition(make_settings())["queues"] == []


def test_a_queue_comes_after_the_one_for_its_dead_letters() -> None:
    delivery = DeliverySettings(queue_name="deliveries")
    dead_letters, queue = api.definition(make_settings(delivery=delivery))["queues"]
    assert (dead_letters["QueueName"], queue["QueueName"]) == (
        "deliveries-dead-letters",
        "deliveries",
    )
    target = "arn:${Partition}:sqs:${Region}:${AccountId}:deliveries-dead-letters"
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": target, "maxReceiveCount": 3}


def test_roles_are_told_of_items_that_only_some_stages_have() -> None:
    assert api.definition(make_settings())["policy_names"] == {}
    settings = make_settings(
        authenticators=("api_key", "ticket"), delivery=DeliverySettings(queue_name="deliveries")
    )
    assert api.definition(settings)["policy_names"] == {
        "ApiKeyItems": "key#",
        "ApiKeyList": "keys",
        "TicketItems": "ticket#",
        "JobItems": "job#",
    }


def test_roles_follow_the_limits_a_stage_has_without_setting_them() -> None:
    stage = {"STAGE": "prod", "TABLE_NAME": "portcullis-prod"}
    counted = {"RateItems", "CountedAudiences"}
    for changes, named in (
        ({}, set()),
        ({"AUTHENTICATORS": "jwt,ticket", **JWT}, counted),
        ({"AUTHENTICATORS": "api_key", "MESSAGE_RATE": "0"}, {"CountedAudiences"}),
        ({"AUTHENTICATORS": "shared_token", "MESSAGE_RATE": "5"}, {"RateItems"}),
    ):
        defined = api.definition(Settings.from_environ({**stage, **changes}))
        assert defined["policy_names"].keys() & counted == named
