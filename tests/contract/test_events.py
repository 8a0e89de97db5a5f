"""What handlers are handed, as an independent reader reads it: Powertools for AWS Lambda.

Its models of authorizer events are left out: they refuse the event AWS's own guide shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from aws_lambda_powertools.utilities.data_classes import APIGatewayWebSocketEvent
from aws_lambda_powertools.utilities.parser import ValidationError, parse
from aws_lambda_powertools.utilities.parser.models import (
    APIGatewayWebSocketConnectEventModel,
    APIGatewayWebSocketDisconnectEventModel,
    APIGatewayWebSocketMessageEventModel,
)

from localgateway.definition import ApiDefinition, Authorizer, Route
from localgateway.events import Event
from tests.gateway_under_test import GatewayUnderTest, allow

ROUTES = {
    "$connect": Route("connect"),
    "$disconnect": Route("disconnect"),
    "$default": Route("message"),
    "hello": Route("hello"),
}
Model = type[
    APIGatewayWebSocketConnectEventModel
    | APIGatewayWebSocketMessageEventModel
    | APIGatewayWebSocketDisconnectEventModel
]
MODELS: dict[str, Model] = {
    "connect": APIGatewayWebSocketConnectEventModel,
    "hello": APIGatewayWebSocketMessageEventModel,
    "message": APIGatewayWebSocketMessageEventModel,
    "disconnect": APIGatewayWebSocketDisconnectEventModel,
}
FRAME = '{"action": "hello", "text": "né ☃"}'


@pytest.fixture(
    scope="module", params=[True, False], ids=["with an authorizer", "without an authorizer"]
)
def gateway(request: pytest.FixtureRequest) -> Iterator[GatewayUnderTest]:
    """A gateway one client has come to, said something to, and left."""
    functions = {name: lambda event, context: {"statusCode": 200} for name in MODELS}
    definition = ApiDefinition(
        routes=ROUTES,
        authorizer=Authorizer("authorizer") if request.param else None,
        stage_variables={"tier": "gold"} if request.param else {},
    )
    running = GatewayUnderTest(definition, {**functions, "authorizer": allow})
    header = {"User-Agent": "tests/1", "Cookie": "a=1"} if request.param else {}
    client = running.connect("?tag=a&tag=b" if request.param else "", header=header)
    client.send(FRAME)
    client.send("no JSON")
    for function in ("hello", "message"):
        running.wait_for(function)
    client.close(1000, b"bye")
    running.wait_for("disconnect")
    yield running
    running.stop()


@pytest.mark.parametrize("function", MODELS)
def test_powertools_models_parse_what_a_handler_gets(
    gateway: GatewayUnderTest, function: str
) -> None:
    (event,) = gateway.events(function)
    said = event["requestContext"]
    context = parse(event, MODELS[function]).request_context
    assert context.connection_id == said["connectionId"]
    assert context.event_type == said["eventType"]
    assert context.route_key == said["routeKey"]
    assert context.domain_name == gateway.address
    assert context.connected_at == datetime.fromtimestamp(said["connectedAt"] / 1000, UTC)
    assert context.request_time_epoch >= context.connected_at
    assert str(context.identity.source_ip) == "127.0.0.1/32"
    assert context.identity.user_agent == said["identity"].get("userAgent")


def test_powertools_models_tell_the_events_apart(gateway: GatewayUnderTest) -> None:
    for function, model in MODELS.items():
        for other, others_model in MODELS.items():
            if others_model is not model:
                with pytest.raises(ValidationError):
                    parse(gateway.events(other)[0], model)
        parse(gateway.events(function)[0], model)


def test_powertools_reads_what_each_kind_of_event_has_of_its_own(
    gateway: GatewayUnderTest,
) -> None:
    connected = parse(gateway.events("connect")[0], APIGatewayWebSocketConnectEventModel)
    assert connected.headers["Sec-WebSocket-Version"] == "13"
    assert connected.multi_value_headers["Host"] == [gateway.address]
    sent = parse(gateway.events("hello")[0], APIGatewayWebSocketMessageEventModel)
    assert sent.body == FRAME
    assert sent.is_base64_encoded is False
    left = parse(gateway.events("disconnect")[0], APIGatewayWebSocketDisconnectEventModel)
    assert left.request_context.disconnect_status_code == 1000
    assert left.request_context.disconnect_reason == "bye"
    assert left.headers["x-restapi"] == ""


def read(event: Event) -> APIGatewayWebSocketEvent:
    return APIGatewayWebSocketEvent(event)


@pytest.mark.parametrize("function", MODELS)
def test_powertools_data_class_reads_every_field(gateway: GatewayUnderTest, function: str) -> None:
    (event,) = gateway.events(function)
    context, said = read(event).request_context, event["requestContext"]
    assert context.route_key == said["routeKey"]
    assert context.event_type == said["eventType"]
    assert context.message_direction == "IN"
    assert context.request_id == context.extended_request_id == said["requestId"]
    assert context.request_time == said["requestTime"]
    assert context.request_time_epoch == said["requestTimeEpoch"]
    assert context.connected_at == said["connectedAt"]
    assert context.connection_id == said["connectionId"]
    assert (context.api_id, context.stage) == (gateway.stage.api_id, gateway.stage.name)
    assert context.domain_name == gateway.address
    assert context.identity.source_ip == "127.0.0.1"
    assert context.identity.user_agent == said["identity"].get("userAgent")
    assert read(event).is_base64_encoded is False


def test_powertools_data_class_reads_a_handshake(gateway: GatewayUnderTest) -> None:
    event = read(gateway.events("connect")[0])
    assert event.headers["host"] == gateway.address
    assert event.multi_value_headers["HOST"] == [gateway.address]
    asked = bool(gateway.events("authorizer"))
    assert event.query_string_parameters == ({"tag": "b"} if asked else {})
    assert event.multi_value_query_string_parameters == ({"tag": ["a", "b"]} if asked else {})
    assert event.body is None
    assert event.request_context.message_id is None


def test_powertools_data_class_reads_a_message(gateway: GatewayUnderTest) -> None:
    event = read(gateway.events("hello")[0])
    assert event.json_body == {"action": "hello", "text": "né ☃"}
    assert event.request_context.message_id
    assert read(gateway.events("message")[0]).decoded_body == "no JSON"
    assert event.headers == {}


def test_powertools_data_class_reads_how_a_client_left(gateway: GatewayUnderTest) -> None:
    event = read(gateway.events("disconnect")[0])
    assert event.request_context.disconnect_status_code == 1000
    assert event.request_context.disconnect_reason == "bye"
    assert event.headers["Host"] == gateway.address
