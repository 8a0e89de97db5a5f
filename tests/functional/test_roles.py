"""Each function's role allows the calls it makes, and no others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from chalice.test import Client

import app as app_module
from chalicelib import api, bootstrap
from localgateway.database import EmbeddedDatabase
from tests.chalice_project import ChaliceProject
from tests.cloudformation import API_ID, REGION, policies, strings
from tests.factories import (
    CONNECTION_ID,
    authorizer_event,
    connect_event,
    disconnect_event,
    mapped_message_event,
    message_event,
)
from tests.policed_endpoint import PolicedEndpoint, Statements, is_allowed

TABLE_NAME = "portcullis-dev"
ALICE = {"principalId": "alice", "expiresAt": "99999999999"}


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The roles of the packaged template, for the API that test events come from."""
    project = ChaliceProject.copy(tmp_path_factory.mktemp("roles"))
    return policies(project.package("dev"))


@pytest.fixture
def endpoint(
    roles: dict[str, Statements], database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PolicedEndpoint]:
    """AWS, and an app that has just started and knows of it."""
    database.create_table(api.connection_table(TABLE_NAME), REGION)
    endpoint = PolicedEndpoint(database.endpoint_url, roles)
    with endpoint.serving() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_REGION", REGION)
        bootstrap.settings.cache_clear()
        bootstrap.services.cache_clear()
        yield endpoint
        bootstrap.settings.cache_clear()
        bootstrap.services.cache_clear()
    client = boto3.client("dynamodb", endpoint_url=database.endpoint_url, region_name=REGION)
    client.delete_table(TableName=TABLE_NAME)
    client.close()


@pytest.fixture
def client(endpoint: PolicedEndpoint) -> Iterator[Client]:
    with Client(app_module.app, stage_name="dev") as client:
        yield client


def invoke(endpoint: PolicedEndpoint, client: Client, role: str, event: dict[str, Any]) -> Any:
    """Invoke a function, by default with its own role."""
    function = {
        "WebsocketAuthorizer": "websocket_authorizer",
        "WebsocketConnect": "websocket_connect",
        "WebsocketDisconnect": "websocket_disconnect",
        "WebsocketMessage": "websocket_message",
    }[role]
    with endpoint.acting_as(role):
        return client.lambda_.invoke(function, event).payload


def a_whole_life(endpoint: PolicedEndpoint, client: Client) -> None:
    """Handshake, connect, messages, a broadcast that finds somebody gone, disconnect."""
    handshake = authorizer_event(headers=[("token", "s3cret")])
    assert invoke(endpoint, client, "WebsocketAuthorizer", handshake)["principalId"]
    for connection_id in ("gone", CONNECTION_ID):
        event = connect_event(ALICE)
        event["requestContext"]["connectionId"] = connection_id
        # A connection that is new is not taken for gone.
        event["requestContext"]["connectedAt"] = int(time.time() - 60) * 1000
        assert invoke(endpoint, client, "WebsocketConnect", event)["statusCode"] == 200
    endpoint.gone.add("gone")
    broadcast = mapped_message_event(json.dumps({"action": "sendmessage", "message": "hello"}))
    invoke(endpoint, client, "WebsocketMessage", broadcast)
    invoke(endpoint, client, "WebsocketMessage", message_event('{"action": "whoami"}'))
    invoke(endpoint, client, "WebsocketDisconnect", disconnect_event())


def test_every_call_of_the_app_is_allowed_to_the_function_that_makes_it(
    endpoint: PolicedEndpoint, client: Client
) -> None:
    a_whole_life(endpoint, client)
    assert [call for call in endpoint.calls if not call.allowed] == []
    posted = {
        call.resource.rpartition("/")[2] for call in endpoint.calls if "POST" in call.resource
    }
    assert posted == {"gone", CONNECTION_ID}


def test_no_role_allows_an_action_that_its_function_never_takes(
    endpoint: PolicedEndpoint, client: Client, roles: dict[str, Statements]
) -> None:
    a_whole_life(endpoint, client)
    taken = {(call.function, call.action) for call in endpoint.calls}
    allowed = {
        (function, action)
        for function, statements in roles.items()
        for statement in statements
        for action in strings(statement["Action"])
        if not action.startswith("logs:")  # Lambda itself writes there
    }
    assert taken == allowed


def test_every_function_may_write_its_own_log_and_no_other(roles: dict[str, Statements]) -> None:
    groups = set()
    for statements in roles.values():
        (own,) = [it for it in statements if "logs:PutLogEvents" in strings(it["Action"])]
        assert set(own["Action"]) == {"logs:CreateLogStream", "logs:PutLogEvents"}
        (resource,) = strings(own["Resource"])
        groups.add(resource)
        assert is_allowed([own], "logs:PutLogEvents", resource.replace("*", "log-stream:a"), None)
    assert len(groups) == len(roles)


@pytest.mark.parametrize(
    ("role", "other"),
    [
        ("WebsocketConnect", "WebsocketAuthorizer"),
        ("WebsocketDisconnect", "WebsocketConnect"),
        ("WebsocketMessage", "WebsocketDisconnect"),
        ("WebsocketAuthorizer", "WebsocketMessage"),
    ],
)
def test_the_calls_of_one_function_are_denied_to_another(
    endpoint: PolicedEndpoint, client: Client, role: str, other: str
) -> None:
    a_whole_life(endpoint, client)
    own = [call for call in endpoint.calls if call.function == role]
    denied = [
        call
        for call in own
        if not is_allowed(endpoint.roles[other], call.action, call.resource, call.leading_keys)
    ]
    assert denied


@pytest.mark.parametrize(
    ("action", "resource", "keys"),
    [
        ("dynamodb:Scan", f"arn:aws:dynamodb:{REGION}:123456789012:table/{TABLE_NAME}", None),
        ("dynamodb:Query", f"arn:aws:dynamodb:{REGION}:123456789012:table/{TABLE_NAME}", None),
        (
            "dynamodb:Query",
            f"arn:aws:dynamodb:{REGION}:123456789012:table/{TABLE_NAME}",
            ("ticket#a",),
        ),
        (
            "dynamodb:BatchWriteItem",
            f"arn:aws:dynamodb:{REGION}:123456789012:table/{TABLE_NAME}",
            ("audience#a", "key#b"),
        ),
        (
            "dynamodb:Query",
            f"arn:aws:dynamodb:{REGION}:123456789012:table/portcullis-prod",
            ("audience#a",),
        ),
        (
            "execute-api:ManageConnections",
            f"arn:aws:execute-api:{REGION}:123456789012:{API_ID}/other/POST/@connections/a",
            None,
        ),
        (
            "execute-api:ManageConnections",
            f"arn:aws:execute-api:{REGION}:123456789012:{API_ID}/api/DELETE/@connections/a",
            None,
        ),
        (
            "execute-api:ManageConnections",
            f"arn:aws:execute-api:{REGION}:123456789012:another/api/POST/@connections/a",
            None,
        ),
        (
            "execute-api:Invoke",
            f"arn:aws:execute-api:{REGION}:123456789012:{API_ID}/api/$connect",
            None,
        ),
    ],
)
def test_the_message_handler_may_not(
    roles: dict[str, Statements], action: str, resource: str, keys: tuple[str, ...] | None
) -> None:
    assert not is_allowed(roles["WebsocketMessage"], action, resource, keys)
