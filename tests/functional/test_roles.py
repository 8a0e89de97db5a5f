"""Each function's role allows the calls it makes, and no others."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import boto3
import pytest
from chalice.test import Client

from chalicelib import api, bootstrap
from chalicelib.connections import shard_of
from localgateway.database import EmbeddedDatabase
from tests.app_with_queue import app_with_queue
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
CLIENT = {"principalId": "client", "expiresAt": "99999999999"}


# What only some stages use; the roles of a stage without it are held by test_template.py.
EVERYTHING = {
    "AUTHENTICATORS": "shared_token,api_key,ticket",
    "DEFAULT_SCOPES": "connect sendmessage sendmessage:connection:* join:channel:* publish admin",
    "FANOUT_THRESHOLD": "1",
    "MAX_CONNECTIONS_PER_PRINCIPAL": "50",
    "MESSAGE_RATE": "1000",
}
# What Lambda does itself with the function's role: it writes the log and takes messages in.
OF_LAMBDA = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
}
API_KEY, TICKET = f"pk_{'0' * 16}_{'s' * 43}", "t" * 43


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ChaliceProject:
    project = ChaliceProject.copy(tmp_path_factory.mktemp("roles"))
    project.configure(
        lambda config: config["stages"]["dev"]["environment_variables"].update(EVERYTHING)
    )
    return project


@pytest.fixture(scope="module")
def roles(project: ChaliceProject) -> dict[str, list[dict[str, Any]]]:
    """The roles of the packaged template, for the API that test events come from."""
    return policies(project.package("dev"))


@pytest.fixture(scope="module")
def app_module() -> Iterator[ModuleType]:
    with app_with_queue(TABLE_NAME) as module:
        yield module


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
        # What the deployment fills in, for the API that test events come from.
        monkeypatch.setenv("WEBSOCKET_API_ID", API_ID)
        monkeypatch.setenv("WEBSOCKET_STAGE", "api")
        bootstrap.settings.cache_clear()
        bootstrap.services.cache_clear()
        yield endpoint
        bootstrap.settings.cache_clear()
        bootstrap.services.cache_clear()
    client = boto3.client("dynamodb", endpoint_url=database.endpoint_url, region_name=REGION)
    client.delete_table(TableName=TABLE_NAME)
    client.close()


@pytest.fixture
def client(
    endpoint: PolicedEndpoint, app_module: ModuleType, project: ChaliceProject
) -> Iterator[Client]:
    directory = str(project.directory)
    with Client(app_module.app, stage_name="dev", project_dir=directory) as client:
        yield client


@contextmanager
def acting_as(role: str) -> Iterator[None]:
    """Be a fresh process of a function, as far as the app can tell, with credentials of its own."""
    bootstrap.services.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", role)
        yield


def invoke(client: Client, role: str, event: dict[str, Any]) -> Any:
    """Invoke a function in a process of its own."""
    function = re.sub(r"(?<!^)(?=[A-Z])", "_", role).lower()
    with acting_as(role):
        return client.lambda_.invoke(function, event).payload


class OutOfTime:
    """Lambda's context, at the end of an invocation."""

    def get_remaining_time_in_millis(self) -> int:
        return 0


def let_people_in(client: Client) -> None:
    """Ask each authorizer with each kind of credential; only the first is a good one."""
    handshake = authorizer_event(headers=[("token", "s3cret")])
    assert invoke(client, "WebsocketAuthorizer", handshake)["principalId"]
    bearer = [("Authorization", f"Bearer {API_KEY}")]
    for unknown in (authorizer_event(bearer), authorizer_event(query=[("ticket", TICKET)])):
        with pytest.raises(Exception, match="Unauthorized"):
            invoke(client, "WebsocketAuthorizer", unknown)
    arn = handshake["methodArn"].replace("$connect", "POST/tickets")
    http_handshake = {"type": "TOKEN", "authorizationToken": f"Bearer {API_KEY}", "methodArn": arn}
    with pytest.raises(Exception, match="Unauthorized"):
        invoke(client, "HttpAuthorizer", http_handshake)
    http_handshake["authorizationToken"] = "Bearer s3cret"
    let_in = invoke(client, "HttpAuthorizer", http_handshake)
    ask(client, "POST", "/tickets", let_in["context"])


def ask(
    client: Client,
    method: str,
    path: str,
    authorizer: Mapping[str, Any],
    *,
    body: Mapping[str, Any] | None = None,
    status: int = 200,
    **path_parameters: str,
) -> dict[str, Any]:
    """Ask the function behind all routes, as API Gateway does; a message has a key to repeat it."""
    context = {
        "httpMethod": method,
        "resourcePath": path,
        "authorizer": {"principalId": "client", **authorizer},
        "identity": {"sourceIp": "192.0.2.7"},
    }
    event = {
        "requestContext": context,
        "headers": {"Idempotency-Key": str(len(body["message"]) + 1)}
        if body is not None and "message" in body
        else {},
        "body": None if body is None else json.dumps(body),
        "pathParameters": path_parameters,
        "multiValueQueryStringParameters": None,
        "stageVariables": None,
        "isBase64Encoded": False,
    }
    with acting_as("APIHandler"):
        answer = client._app(event, TimeEnough())
    assert answer["statusCode"] == status, answer
    found: dict[str, Any] = json.loads(answer["body"])
    return found


class TimeEnough:
    """Lambda's context, at the beginning of an invocation."""

    def get_remaining_time_in_millis(self) -> int:
        return 20_000


def use_http(endpoint: PolicedEndpoint, client: Client) -> None:
    """Ask every route for everything it does; there is somebody to be closed, in a channel."""
    context = {"scopes": "publish admin", "expiresAt": "99999999999", "demonstration": "false"}
    for connection_id in ("closed", "closed-too"):
        connect(client, connection_id, ALICE)
        say(endpoint, client, connection_id, action="join", channel="news")
    ask(client, "GET", "/health", {})
    message = {"to": "everyone", "message": "hello"}
    accepted = ask(client, "POST", "/messages", context, body=message, status=202)
    assert ask(client, "POST", "/messages", context, body=message, status=202) == accepted
    too_long = {"to": "everyone", "message": "a" * 131_072}
    ask(client, "POST", "/messages", context, body=too_long, status=413)
    ask(client, "GET", "/jobs/{job_id}", context, job_id=accepted["jobId"])
    ask(client, "GET", "/connections", context)
    one, every = "/connections/{connection_id}", "/principals/{principal_id}/connections"
    ask(client, "GET", one, context, connection_id="closed")
    ask(client, "DELETE", one, context, connection_id="closed")
    ask(client, "DELETE", every, context, principal_id="nobody")
    manage_keys(client, {**context, "scopes": "admin:keys"})


def manage_keys(client: Client, authorizer: Mapping[str, Any]) -> None:
    """Make a key and let it, which may have been revoked meanwhile, manage itself."""
    wanted = {"principal": "robot", "scopes": ["admin:keys"]}
    made = ask(client, "POST", "/keys", authorizer, body=wanted, status=201)
    robot = {**authorizer, "principalId": "robot", "key": made["keyId"]}
    assert len(ask(client, "GET", "/keys", robot)["keys"]) == 1
    one = "/keys/{key_id}"
    ask(client, "DELETE", one, robot, key_id=made["keyId"])
    ask(client, "DELETE", one, robot, key_id=made["keyId"], status=403)


def a_whole_life(endpoint: PolicedEndpoint, client: Client) -> None:
    """Everything functions do; all connections are in a channel, for that is more to undo."""
    let_people_in(client)
    leave_for_good = ("gone", "gone-later", "gone-as-well")
    for connection_id in (*leave_for_good, CONNECTION_ID):
        assert connect(client, connection_id, ALICE) == 200
        for action in ("join", "leave", "join"):
            say(endpoint, client, connection_id, action=action, channel="news")
    say(endpoint, client, CONNECTION_ID, action="whoami")
    endpoint.gone.update(leave_for_good)
    say(endpoint, client, CONNECTION_ID, action="sendmessage", message="a", to="connection:gone")
    deliver_to_everyone(endpoint, client)
    use_http(endpoint, client)
    invoke(client, "WebsocketDisconnect", disconnect_event())
    live_on_and_end(endpoint, client)


def live_on_and_end(endpoint: PolicedEndpoint, client: Client) -> None:
    """Renew, expire, be swept, be revoked and kept out."""
    expired = {**CLIENT, "expiresAt": str(int(time.time()) - 60)}
    for connection_id, authorizer in (("renewed", CLIENT), ("expired", expired), ("old", CLIENT)):
        connect(client, connection_id, authorizer)
    for connection_id in ("renewed", "old"):
        say(endpoint, client, connection_id, action="join", channel="news")
    say(endpoint, client, "renewed", action="authenticate", token="s3cret")
    unknown_key = json.dumps({"action": "authenticate", "token": API_KEY})
    for refused in (
        message_event(unknown_key, connection_id="old"),
        message_event('{"action": "ping"}', connection_id="expired"),
    ):
        invoke(client, "WebsocketMessage", refused)
    connect(client, "swept", CLIENT)
    say(endpoint, client, "swept", action="join", channel="news")
    # The one has expired, the renewal of the other has stopped before its memberships.
    end_members(endpoint, "swept", "renewed")
    end_connection(endpoint, "swept")
    sweep = client.events.generate_cw_event("aws.events", "Scheduled Event", {}, [], REGION)
    invoke(client, "WebsocketSweep", sweep)
    operator = {"principalId": "operator", "expiresAt": "99999999999", "scopes": "admin"}
    operator["demonstration"] = "false"
    for path in ("/principals/revoke", "/principals/allow"):
        ask(client, "POST", path, operator, body={"principal": "client"})
        status = connect(client, "late", {**CLIENT, "issuedAt": "1"})
        assert status == (403 if path.endswith("revoke") else 200)


def end_members(endpoint: PolicedEndpoint, *connection_ids: str) -> None:
    """Let connections be over for ``everyone``, as they are where only time has passed."""
    for name in connection_ids:
        end_item(endpoint, f"audience#everyone#{shard_of(name, 16)}", name)


def end_connection(endpoint: PolicedEndpoint, connection_id: str) -> None:
    """Let a connection itself be over."""
    end_item(endpoint, f"connection#{connection_id}", "connection")


def end_item(endpoint: PolicedEndpoint, pk: str, sk: str) -> None:
    client = boto3.client("dynamodb", endpoint_url=endpoint.database_url, region_name=REGION)
    client.update_item(
        TableName=TABLE_NAME,
        Key={"pk": {"S": pk}, "sk": {"S": sk}},
        UpdateExpression="SET expiresAt = :end",
        ExpressionAttributeValues={":end": {"N": "1"}},
    )
    client.close()


def connect(client: Client, connection_id: str, authorizer: dict[str, str]) -> int:
    """Open a connection, not so new that it is not taken for gone; return the status."""
    event = connect_event(authorizer)
    event["requestContext"]["connectionId"] = connection_id
    event["requestContext"]["connectedAt"] = int(time.time() - 60) * 1000
    answer = invoke(client, "WebsocketConnect", event)
    return int(answer["statusCode"])


def say(endpoint: PolicedEndpoint, client: Client, connection_id: str, **frame: str) -> None:
    """Send a frame; nobody may be refused what it asks for."""
    event = message_event(json.dumps(frame), connection_id=connection_id)
    event["requestContext"]["authorizer"] |= ALICE
    before = endpoint.answers(connection_id)
    invoke(client, "WebsocketMessage", event)
    if connection_id not in endpoint.gone:
        (answer,) = endpoint.answers(connection_id)[len(before) :]
        assert json.loads(answer)["type"] == "reply"


def deliver_to_everyone(endpoint: PolicedEndpoint, client: Client) -> None:
    """Send to so many that most are left to the queue, and work that in two goes."""
    broadcast = mapped_message_event(json.dumps({"action": "sendmessage", "message": "hello"}))
    invoke(client, "WebsocketMessage", broadcast)
    first = list(endpoint.queued)
    # Of a shard with nobody in it nothing would be left, if it is read soon enough.
    waiting = shard_of("gone-later", 16)
    (task,) = (task for task in first if json.loads(task)["shard"] == waiting)
    with acting_as("WebsocketDeliver"):
        event = client.events.generate_sqs_event([task], "deliveries")
        client._app.handler_map["websocket_deliver"](event, OutOfTime())
    assert len(endpoint.queued) == len(first) + 1, "what was left is handed on"
    for task in endpoint.queued:
        event = client.events.generate_sqs_event([task], "deliveries")
        invoke(client, "WebsocketDeliver", event)


def test_every_call_of_the_app_is_allowed_to_the_function_that_makes_it(
    endpoint: PolicedEndpoint, client: Client
) -> None:
    a_whole_life(endpoint, client)
    assert [call for call in endpoint.calls if not call.allowed] == []
    posted = {
        call.resource.rpartition("/")[2] for call in endpoint.calls if "POST" in call.resource
    }
    ended = {"renewed", "old", "expired", "swept"}
    assert posted >= {"gone", "gone-later", "gone-as-well", CONNECTION_ID} | ended


def test_no_role_allows_what_its_function_never_does(
    endpoint: PolicedEndpoint, client: Client, roles: dict[str, Statements]
) -> None:
    a_whole_life(endpoint, client)
    taken = {
        (call.function, call.action, re.sub("#.*", "#*", key))
        for call in endpoint.calls
        for key in call.leading_keys or ("",)
    }
    allowed = {
        (function, action, key)
        for function, statements in roles.items()
        for statement in statements
        for action in set(strings(statement["Action"])) - OF_LAMBDA
        for key in leading_keys(statement)
    }
    assert taken == allowed


def leading_keys(statement: Mapping[str, Any]) -> list[str]:
    """Return the kinds of items a statement is about; one empty text for what has no items."""
    condition = statement.get("Condition", {}).get("ForAllValues:StringLike", {})
    return list(strings(condition.get("dynamodb:LeadingKeys", "")))


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
            f"arn:aws:execute-api:{REGION}:123456789012:{API_ID}/api/GET/@connections/a",
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
