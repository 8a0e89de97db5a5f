"""Every handler, through Chalice's own test client, on fakes with the clock stopped."""

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from chalice.test import Client

import app as app_module
from chalicelib import __version__, api, bootstrap
from chalicelib.authorizers import Authenticator
from chalicelib.bootstrap import CredentialStores, Services
from chalicelib.connections import EVERYONE, members
from chalicelib.errors import (
    ConfigurationError,
    ConnectionGone,
    ServiceUnavailable,
    UnexpectedEvent,
)
from chalicelib.secret_values import literal
from chalicelib.settings import Settings
from localgateway.iam import is_allowed
from tests.factories import (
    CONNECTION_ID,
    METHOD_ARN,
    NOW,
    STAGE,
    authorizer_event,
    connect_event,
    disconnect_event,
    make_connection,
    make_settings,
    mapped_message_event,
    message_event,
)
from tests.fakes import (
    Clock,
    FakeManagementAPI,
    InMemoryConnectionRepository,
    InMemoryKeys,
    InMemoryTickets,
)
from tests.services import make_services

GOOD = authorizer_event(headers=[("token", "hello")])
OF_ANOTHER_ORIGIN = authorizer_event(
    headers=[("token", "hello"), ("Origin", "https://evil.example")]
)
AUTHORIZER = {"token": "shared_token", "expiresAt": str(int(NOW) + 7200), "principalId": "alice"}


@pytest.fixture
def connections() -> InMemoryConnectionRepository:
    return InMemoryConnectionRepository()


@pytest.fixture
def management_api() -> FakeManagementAPI:
    return FakeManagementAPI()


@pytest.fixture
def services(
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Services]:
    """The application's services, in memory, with the clock stopped at NOW."""
    tickets = InMemoryTickets()
    with ThreadPoolExecutor(4) as executor:
        services = make_services(
            executor,
            authenticators=partial(authenticators, make_settings(), tickets),
            tickets=tickets,
            allowed_origins=frozenset({"https://app.example.com"}),
            connections=connections,
            management_api=lambda api_id, stage: management_api,
        )
        monkeypatch.setattr(bootstrap, "services", lambda: services)
        monkeypatch.setattr(bootstrap, "settings", make_settings)
        yield services


@pytest.fixture
def client(services: Services) -> Iterator[Client]:
    with Client(app_module.app, stage_name="local") as client:
        yield client


def authenticators(
    settings: Settings, tickets: InMemoryTickets | None = None
) -> Sequence[Authenticator]:
    stores = CredentialStores(InMemoryKeys(), tickets or InMemoryTickets())
    return bootstrap.authenticators(settings, literal, stores, Clock(NOW))


def invoke(client: Client, name: str, event: dict[str, Any]) -> Any:
    return client.lambda_.invoke(name, event).payload


def posts(management_api: FakeManagementAPI, connection_id: str = CONNECTION_ID) -> list[Any]:
    return [json.loads(post) for post in management_api.posts[connection_id]]


def decisions(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.message) for record in caplog.records if record.name == "portcullis"]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="portcullis")
    return caplog


def test_the_authorizer_allows_exactly_the_route_asked_for(client: Client) -> None:
    response = invoke(client, "websocket_authorizer", GOOD)
    assert response["principalId"] == "client"
    assert response["context"] == {
        "token": "shared_token",
        "expiresAt": int(NOW) + 7200,
        "demonstration": True,
        "scopes": "connect sendmessage",
    }
    policy = response["policyDocument"]
    assert is_allowed(policy, METHOD_ARN, "192.0.2.7")
    for other in ("$default", "$disconnect", "sendmessage"):
        assert not is_allowed(policy, STAGE.method_arn(other), "192.0.2.7")


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(authorizer_event(), id="no header"),
        pytest.param(authorizer_event(headers=[("token", "")]), id="an empty header"),
        pytest.param(authorizer_event(headers=[("token", "wrong")]), id="a wrong token"),
        pytest.param(authorizer_event(query=[("token", "hello")]), id="the token in the query"),
        pytest.param({"methodArn": METHOD_ARN}, id="an event without anything"),
        pytest.param({"methodArn": METHOD_ARN, "headers": None, "requestContext": None}, id="null"),
    ],
)
def test_the_authorizer_refuses_with_the_one_text_that_is_a_401(
    client: Client, event: dict[str, Any]
) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$") as caught:
        invoke(client, "websocket_authorizer", event)
    assert type(caught.value) is Exception
    assert caught.value.__cause__ is None


def test_the_authorizer_denies_whom_it_knows_but_may_not_let_in(client: Client) -> None:
    response = invoke(client, "websocket_authorizer", OF_ANOTHER_ORIGIN)
    assert response["principalId"] == "client"
    (statement,) = response["policyDocument"]["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Deny", METHOD_ARN)
    assert not is_allowed(response["policyDocument"], METHOD_ARN, "192.0.2.7")


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        pytest.param(["portcullis, bearer.s3cret"], "portcullis", id="ours first"),
        pytest.param(["bearer.s3cret,portcullis"], "portcullis", id="ours last"),
        pytest.param(["bearer.s3cret", "portcullis"], "portcullis", id="in two lines"),
        pytest.param(["bearer.s3cret"], None, id="only a credential"),
        pytest.param(["Portcullis, graphql-ws"], None, id="none of ours"),
        pytest.param([], None, id="none"),
    ],
)
def test_connect_answers_the_applications_protocol_and_never_a_credential(
    client: Client, offered: list[str], answered: str | None
) -> None:
    event = connect_event(AUTHORIZER, headers=[("Sec-WebSocket-Protocol", it) for it in offered])
    response = invoke(client, "websocket_connect", event)
    assert response["headers"].get("Sec-WebSocket-Protocol") == answered
    assert "s3cret" not in json.dumps(response)


def test_a_fault_of_ours_is_not_passed_off_as_the_clients(
    client: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset = partial(authenticators, make_settings(shared_token=None))
    monkeypatch.setattr(bootstrap, "services", lambda: _with(services, authenticators=unset))
    with pytest.raises(ConfigurationError):
        invoke(client, "websocket_authorizer", GOOD)


def _with(services: Services, **changes: Any) -> Services:
    fields = {name: getattr(services, name) for name in Services.__dataclass_fields__}
    return Services(**{**fields, **changes})


def test_an_event_that_is_no_authorizers_is_a_fault_of_ours(client: Client) -> None:
    with pytest.raises(UnexpectedEvent):
        invoke(client, "websocket_authorizer", {})


def test_connect_remembers_the_connection_before_it_answers(
    client: Client, connections: InMemoryConnectionRepository
) -> None:
    response = invoke(client, "websocket_connect", connect_event(AUTHORIZER))
    assert response["statusCode"] == 200
    found = connections.get(CONNECTION_ID, NOW)
    assert found is not None
    assert (found.principal_id, found.expires_at) == ("alice", int(NOW) + 7200)
    assert [member.connection_id for member in members(connections, EVERYONE, NOW)] == [
        CONNECTION_ID
    ]


@pytest.mark.parametrize("authorizer", [None, {}, {"principalId": ""}, {"token": "shared_token"}])
def test_connect_refuses_whom_no_authorizer_has_let_in(
    client: Client, connections: InMemoryConnectionRepository, authorizer: Any
) -> None:
    response = invoke(client, "websocket_connect", connect_event(authorizer))
    assert response["statusCode"] == 401
    assert connections.count_items() == 0


def test_connect_does_not_let_in_whom_it_cannot_remember(
    client: Client, connections: InMemoryConnectionRepository
) -> None:
    connections.fail_after(0)
    with pytest.raises(ServiceUnavailable):
        invoke(client, "websocket_connect", connect_event(AUTHORIZER))


def test_disconnect_leaves_nothing_and_may_repeat(
    client: Client, connections: InMemoryConnectionRepository
) -> None:
    invoke(client, "websocket_connect", connect_event(AUTHORIZER))
    for _ in range(2):
        assert invoke(client, "websocket_disconnect", disconnect_event())["statusCode"] == 200
    assert connections.count_items() == 0


def test_disconnect_of_a_connection_never_let_in_is_no_fault(client: Client) -> None:
    event = disconnect_event(principal_id=None)
    assert invoke(client, "websocket_disconnect", event)["statusCode"] == 200


@pytest.mark.parametrize("name", ["websocket_connect", "websocket_disconnect"])
def test_a_message_cannot_pass_for_connect_or_disconnect(
    client: Client, connections: InMemoryConnectionRepository, name: str
) -> None:
    connections.add(make_connection())
    items = connections.count_items()
    with pytest.raises(UnexpectedEvent):
        invoke(client, name, message_event('{"action":"$disconnect"}', "$disconnect"))
    assert connections.count_items() == items


SENDMESSAGE = '{"action":"sendmessage","message":"it\'s","id":"1"}'


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(message_event(SENDMESSAGE, "sendmessage"), id="as a proxy event"),
        pytest.param(mapped_message_event(SENDMESSAGE), id="through the mapping template"),
        pytest.param(message_event(SENDMESSAGE), id="through the default route"),
    ],
)
def test_a_message_reaches_everyone_the_sender_too_and_is_answered(
    client: Client,
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
    event: dict[str, Any],
) -> None:
    connections.add(make_connection())
    connections.add(make_connection("of-bob", "bob"))
    invoke(client, "websocket_message", event)
    (to_bob,) = posts(management_api, "of-bob")
    to_sender, reply = posts(management_api)
    assert to_sender == to_bob
    assert (to_bob["type"], to_bob["from"], to_bob["message"]) == ("message", "alice", "it's")
    assert (reply["type"], reply["id"]) == ("reply", "1")
    delivery = reply["result"]["delivery"]
    assert (delivery["targeted"], delivery["delivered"]) == (2, 2)


def test_a_stale_receiver_is_removed_and_the_sender_is_not(
    client: Client, connections: InMemoryConnectionRepository, management_api: FakeManagementAPI
) -> None:
    connections.add(make_connection())
    connections.add(make_connection("stale", "bob"))
    management_api.fail("stale", ConnectionGone("stale"))
    invoke(client, "websocket_message", message_event(SENDMESSAGE, "sendmessage"))
    assert [member.connection_id for member in members(connections, EVERYONE, NOW)] == [
        CONNECTION_ID
    ]
    assert posts(management_api)[-1]["result"]["delivery"]["gone"] == 1


@pytest.mark.parametrize("body", ["hello", '{"action":"dance"}', '{"action":"sendmessage"}'])
def test_the_senders_fault_is_answered_and_the_connection_stays(
    client: Client,
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
    body: str,
) -> None:
    connections.add(make_connection())
    items = connections.count_items()
    assert invoke(client, "websocket_message", message_event(body))["statusCode"] == 200
    assert [frame["type"] for frame in posts(management_api)] == ["error"]
    assert connections.count_items() == items


def test_a_sender_that_has_gone_is_no_fault(
    client: Client, management_api: FakeManagementAPI
) -> None:
    management_api.fail(CONNECTION_ID, ConnectionGone(CONNECTION_ID))
    event = message_event('{"action":"ping"}')
    assert invoke(client, "websocket_message", event)["statusCode"] == 200


def test_a_message_of_nobody_is_a_fault_of_ours(client: Client) -> None:
    with pytest.raises(UnexpectedEvent):
        invoke(client, "websocket_message", message_event('{"action":"ping"}', principal_id=None))


def test_replies_go_out_through_the_stage_the_message_came_from(
    client: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def management_api(api_id: str, stage: str) -> FakeManagementAPI:
        asked.append((api_id, stage))
        return FakeManagementAPI()

    changed = _with(services, management_api=management_api)
    monkeypatch.setattr(bootstrap, "services", lambda: changed)
    invoke(client, "websocket_message", message_event('{"action":"ping"}'))
    assert set(asked) == {(STAGE.api_id, STAGE.name)}


def test_the_definition_names_functions_the_app_has(client: Client) -> None:
    definition = app_module.websocket_api_definition()
    assert definition == api.definition(make_settings())
    named = [route["function"] for route in definition["routes"].values()]
    assert {definition["authorizer"]["function"], *named} <= app_module.app.handler_map.keys()


def test_health_says_what_runs_where(client: Client) -> None:
    response = client.http.get("/health")
    assert response.status_code == 200
    assert response.json_body == {
        "status": "ok",
        "stage": "local",
        "version": __version__,
        "table": "ok",
    }


def test_each_decision_is_one_line(client: Client, log: pytest.LogCaptureFixture) -> None:
    invoke(client, "websocket_authorizer", GOOD)
    invoke(client, "websocket_authorizer", OF_ANOTHER_ORIGIN)
    invoke(client, "websocket_connect", connect_event(AUTHORIZER))
    invoke(client, "websocket_connect", connect_event(None))
    invoke(client, "websocket_message", message_event("{"))
    invoke(client, "websocket_message", mapped_message_event("{"))
    invoke(client, "websocket_disconnect", disconnect_event())
    assert [tuple(line.values()) for line in decisions(log)] == [
        ("authorize", "ok", "client", CONNECTION_ID, "192.0.2.7"),
        ("authorize", "origin_not_allowed", "client", CONNECTION_ID, "192.0.2.7"),
        ("connect", "ok", "alice", CONNECTION_ID, "192.0.2.7"),
        ("connect", "no_principal", None, CONNECTION_ID, "192.0.2.7"),
        ("message", "malformed_json", "alice", CONNECTION_ID, "192.0.2.7"),
        ("message", "malformed_json", "alice", CONNECTION_ID, "192.0.2.7"),
        ("disconnect", "1000", "alice", CONNECTION_ID, "192.0.2.7"),
    ]


def test_nothing_a_client_sent_is_logged(
    client: Client, connections: InMemoryConnectionRepository, log: pytest.LogCaptureFixture
) -> None:
    connections.add(make_connection())
    refused = authorizer_event(headers=[("token", "s3cret")], query=[("s3cret", "s3cret")])
    with pytest.raises(Exception, match="Unauthorized"):
        invoke(client, "websocket_authorizer", refused)
    invoke(client, "websocket_message", message_event('{"action":"s3cret"}'))
    assert [line["reason"] for line in decisions(log)] == ["bad_token", "unknown_action"]
    assert "s3cret" not in log.text


def test_a_principal_cannot_forge_a_line_of_the_log(
    client: Client, log: pytest.LogCaptureFixture
) -> None:
    forger = {"principalId": 'x"}\n{"decision":"authorize"'}
    invoke(client, "websocket_connect", connect_event(forger))
    assert all("\n" not in record.message for record in log.records)


def test_the_stages_settings_reach_the_handlers() -> None:
    bootstrap.settings.cache_clear()
    bootstrap.services.cache_clear()
    try:
        with Client(app_module.app, stage_name="local") as client:
            response = invoke(client, "websocket_authorizer", GOOD)
    finally:
        bootstrap.settings.cache_clear()
        bootstrap.services.cache_clear()
    assert is_allowed(response["policyDocument"], METHOD_ARN, "192.0.2.7")


def test_the_sweep_closes_whoever_has_expired_and_logs_how_many(
    client: Client,
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
    log: pytest.LogCaptureFixture,
) -> None:
    connections.add(make_connection("over", expires_at=int(NOW) - 60))
    connections.add(make_connection("alive"))
    event = client.events.generate_cw_event("aws.events", "Scheduled Event", {}, [], "us-east-1")
    invoke(client, "websocket_sweep", event)
    assert posts(management_api, "over") == [{"type": "closing", "code": 4401, "reason": "expired"}]
    assert [it.connection_id for it in members(connections, EVERYONE, -1)] == ["alive"]
    counts = {"closed": 1, "left": 0, "renewed": 0, "unread": 0}
    assert decisions(log) == [{"decision": "sweep", **counts}]


def test_a_message_of_an_expired_connection_is_refused_then_it_is_closed(
    client: Client,
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
    log: pytest.LogCaptureFixture,
) -> None:
    connections.add(make_connection(expires_at=int(NOW)))
    invoke(client, "websocket_message", message_event('{"action":"ping","id":"7"}'))
    error, closing = posts(management_api)
    assert (error["type"], error["id"], error["error"]["code"]) == ("error", "7", "expired")
    assert closing == {"type": "closing", "code": 4401, "reason": "expired"}
    assert isinstance(management_api.errors[CONNECTION_ID], ConnectionGone)
    assert connections.count_items() == 0
    assert [line["reason"] for line in decisions(log)] == ["expired"]


@pytest.mark.parametrize("token", ["s3cret", "pk_" + "0" * 16 + "_" + "A" * 43, "a.b.c", ""])
def test_a_token_of_a_message_is_in_no_log_and_no_answer(
    client: Client,
    connections: InMemoryConnectionRepository,
    management_api: FakeManagementAPI,
    log: pytest.LogCaptureFixture,
    token: str,
) -> None:
    connections.add(make_connection())
    frames = (
        {"action": "authenticate", "token": token},
        {"action": "authenticate", "token": token, token: token},
        {"action": "authenticate", "token": [token]},
    )
    for frame in frames:
        invoke(client, "websocket_message", message_event(json.dumps(frame)))
    assert len(posts(management_api)) == 3
    shown = log.text + json.dumps(posts(management_api))
    assert token == "" or token not in shown
