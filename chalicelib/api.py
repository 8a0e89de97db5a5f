"""The definition of the WebSocket API, written once: for deployment, the local gateway and tests.

The three predefined routes come from Chalice's decorators and are not repeated here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

from chalicelib.credential_settings import TICKET_PARAMETER
from chalicelib.gateway_responses import gateway_responses
from chalicelib.settings import DEMONSTRATION_VALUES, Settings

AUTHORIZER_FUNCTION = "websocket_authorizer"
MESSAGE_FUNCTION = "websocket_message"
DELIVERY_FUNCTION = "websocket_deliver"
# Six times what the function has, as AWS advises; a test compares it with config.json.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
VISIBILITY_TIMEOUT = 180
# Chalice fixes this expression for the routes it makes itself.
ROUTE_SELECTION_EXPRESSION = "$request.body.action"

_MAPPING_TEMPLATES = Path(__file__).with_name("mapping_templates")


class AuthorizerDefinition(TypedDict):
    """A REQUEST authorizer on ``$connect``: a Lambda function and what must be in the request."""

    function: str
    identity_sources: list[str]


class RouteDefinition(TypedDict):
    """A route of its own: the Lambda function, and what API Gateway makes of a frame for it."""

    function: str
    integration_type: Literal["AWS", "AWS_PROXY"]
    request_templates: dict[str, str]


class ExampleDefinition(TypedDict):
    """What to show a newcomer: parameters that let a client in, and a message to send.

    ``page`` is the path of a page to try the API with, empty where there is none.
    """

    headers: dict[str, str]
    query: dict[str, str]
    message: dict[str, str]
    page: str


class ApiDefinition(TypedDict):
    """The whole API as plain JSON data; ``tables`` and ``queues`` are CloudFormation properties.

    Texts of queues may hold ``${Partition}``, ``${Region}`` and ``${AccountId}``. ``policy_names``
    have a value in role policies: what the stage does not use is not there, nor what names it.
    """

    authorizer: AuthorizerDefinition
    route_selection_expression: str
    routes: dict[str, RouteDefinition]
    stage_variables: dict[str, str]
    tables: list[dict[str, Any]]
    queues: list[dict[str, Any]]
    gateway_responses: dict[str, Any]
    policy_names: dict[str, str]
    example: ExampleDefinition


def definition(settings: Settings) -> ApiDefinition:
    """Define the API of one stage; needs no secret."""
    return ApiDefinition(
        authorizer=AuthorizerDefinition(
            function=AUTHORIZER_FUNCTION, identity_sources=identity_sources(settings)
        ),
        route_selection_expression=ROUTE_SELECTION_EXPRESSION,
        routes={"sendmessage": _mapped_route("sendmessage")},
        stage_variables=dict(settings.stage_variables),
        tables=[connection_table(settings.table_name)],
        queues=delivery_queues(settings.delivery.queue_name),
        gateway_responses=gateway_responses(settings.cors_allow_origin),
        policy_names=_policy_names(settings),
        example=_example(settings),
    )


def identity_sources(settings: Settings) -> list[str]:
    """Name what API Gateway must find in a handshake before it asks the authorizer.

    API Gateway wants all of them and knows no "or": where credentials may come in several ways,
    only what every way needs can be named. With none named the authorizer is always asked.
    The grammar is that of WebSocket APIs (``route.request...``); API Gateway answers 401
    by itself where one of them is missing or empty.
    """
    ways = [way for name in settings.authenticators for way in _WAYS[name](settings)]
    return [source for source in ways[0] if all(source in way for way in ways)]


def http_identity_sources(settings: Settings) -> list[str]:
    """Name what an answer for HTTP may be kept for, in the grammar of REST APIs.

    Everything that decides must be among it, or who shows a part would get the answer of who
    showed all: where ways in differ there is nothing, and API Gateway keeps nothing. A ticket is
    of no use there.
    """
    names = [name for name in settings.authenticators if name != "ticket"]
    ways = [way for name in names for way in _WAYS[name](settings)]
    sources = ways[0] if ways and all(set(way) == set(ways[0]) for way in ways) else []
    return [source.replace("route.request", "method.request", 1) for source in sources]


def _policy_names(settings: Settings) -> dict[str, str]:
    """Name the beginnings of partition keys that only some stages have."""
    names = {
        "ApiKeyItems": ("key#", "api_key" in settings.authenticators),
        "ApiKeyList": ("keys", "api_key" in settings.authenticators),
        "TicketItems": ("ticket#", "ticket" in settings.authenticators),
        "JobItems": ("job#", settings.delivery.queue_name is not None),
        "RateItems": ("rate#", settings.limits.rate is not None),
        "CountedAudiences": ("audience#", settings.limits.max_connections > 0),
    }
    return {name: prefix for name, (prefix, is_used) in names.items() if is_used}


def _shared_token(settings: Settings) -> list[list[str]]:
    return [[f"route.request.header.{settings.shared_token_header}"]]


def _request_parameters(settings: Settings) -> list[list[str]]:
    sources = [
        f"route.request.header.{settings.header_auth_name}",
        f"route.request.querystring.{settings.query_string_name}",
    ]
    if settings.stage_variable_name is not None:
        sources.append(f"stageVariables.{settings.stage_variable_name}")
    return [sources]


def _credential_places(settings: Settings) -> list[list[str]]:
    return [[place.identity_source()] for place in settings.credential_places]


def _ticket(settings: Settings) -> list[list[str]]:
    return [[f"route.request.querystring.{TICKET_PARAMETER}"]]


# Each authenticator's ways to be convinced, and what a handshake must have for each of them.
_WAYS: Mapping[str, Callable[[Settings], list[list[str]]]] = {
    "shared_token": _shared_token,
    "request_parameters": _request_parameters,
    "jwt": _credential_places,
    "api_key": _credential_places,
    "ticket": _ticket,
}


def connection_table(table_name: str) -> dict[str, Any]:
    """Describe the one table, as the properties of an ``AWS::DynamoDB::Table``."""
    return {
        "TableName": table_name,
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
        "TimeToLiveSpecification": {"AttributeName": "expiresAt", "Enabled": True},
    }


def delivery_queues(name: str | None) -> list[dict[str, Any]]:
    """Describe the queue of large deliveries, after the one for what cannot be delivered."""
    if name is None:
        return []
    dead_letters = f"{name}-dead-letters"
    redrive = {
        "deadLetterTargetArn": f"arn:${{Partition}}:sqs:${{Region}}:${{AccountId}}:{dead_letters}",
        "maxReceiveCount": 3,
    }
    return [
        {"QueueName": dead_letters, "MessageRetentionPeriod": 1_209_600},
        {
            "QueueName": name,
            "VisibilityTimeout": VISIBILITY_TIMEOUT,
            "MessageRetentionPeriod": 14_400,
            "RedrivePolicy": redrive,
        },
    ]


def _example(settings: Settings) -> ExampleDefinition:
    headers: dict[str, str | None] = {}
    query: dict[str, str | None] = {}
    if "shared_token" in settings.authenticators:
        headers = {settings.shared_token_header: settings.shared_token}
    elif "request_parameters" in settings.authenticators:
        headers = {settings.header_auth_name: settings.header_auth_value}
        query = {settings.query_string_name: settings.query_string_value}
    return ExampleDefinition(
        headers=_demonstration_values(headers),
        query=_demonstration_values(query),
        message={"action": "sendmessage", "message": "hello"},
        page="/" if settings.console else "",
    )


def _demonstration_values(parameters: Mapping[str, str | None]) -> dict[str, str]:
    """A definition is printed and deployed: no secret may be in it."""
    return {name: value for name, value in parameters.items() if value in DEMONSTRATION_VALUES}


def _mapped_route(route_key: str) -> RouteDefinition:
    template = (_MAPPING_TEMPLATES / f"{route_key}.vtl").read_text(encoding="utf-8")
    return RouteDefinition(
        function=MESSAGE_FUNCTION,
        integration_type="AWS",
        # Without a template selection expression API Gateway takes this key.
        request_templates={"application/json": template},
    )
