"""The HTTP API in every way it is served, with real clients of the WebSocket API beside."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest

from chalicelib import openapi
from chalicelib.connections import EVERYONE, members
from chalicelib.http_routes import ROUTE_SCOPES
from chalicelib.scopes import Scopes
from localgateway.database import EmbeddedDatabase
from tests.app_under_test import AppUnderTest, app_under_test
from tests.chalice_project import ChaliceProject
from tests.functional.test_chalice_local import chalice_local
from tests.gateway_under_test import eventually
from tests.http_cases import BEARER, CASES, Case, Host, Reply, key, keyed, send
from tests.http_hosts import OverTheNetwork, PackagedHost, TestClientHost

HOSTS = ("chalice_local", "local_gateway", "packaged", "test_client")
SCOPES = "connect sendmessage sendmessage:channel:* join:channel:* publish admin admin:keys"
ORIGIN = {"Origin": "https://app.example.com"}
DOCUMENT = openapi.document("")
TOKEN: dict[str, Any] = {"header": {"token": "hello"}}


@pytest.fixture(scope="module")
def app(database: EmbeddedDatabase) -> Iterator[AppUnderTest]:
    with (
        pytest.MonkeyPatch.context() as patch,
        app_under_test(
            database,
            patch,
            default_scopes=Scopes.parse(SCOPES),
            authenticators=("shared_token", "api_key"),
        ) as running,
    ):
        running.clock.now = time.time()  # as for `chalice local`, which asks nobody
        yield running


@pytest.fixture(scope="module")
def hosts(
    app: AppUnderTest, database: EmbeddedDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Host]]:
    environment = {
        "TABLE_NAME": app.table,
        "EVERYONE_SHARDS": str(app.settings.everyone_shards),
        "QUEUE_NAME": "",
        "AUTHENTICATORS": "shared_token,api_key",
        "AWS_ENDPOINT_URL_DYNAMODB": database.endpoint_url,
        "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": app.gateway.management_url,
    }
    project = ChaliceProject.copy(tmp_path_factory.mktemp("packaged"))
    with chalice_local(tmp_path_factory.mktemp("local"), **environment) as port:
        yield {
            "chalice_local": OverTheNetwork(f"127.0.0.1:{port}"),
            "local_gateway": OverTheNetwork(app.gateway.address),
            "packaged": PackagedHost(project.package("dev")),
            "test_client": TestClientHost(),
        }


@pytest.fixture(params=HOSTS)
def host(hosts: dict[str, Host], request: pytest.FixtureRequest) -> Host:
    return hosts[request.param]


def forgotten(app: AppUnderTest) -> None:
    """Wait until the app knows of everybody's leaving: till then they are counted too."""
    eventually(lambda: not list(members(app.services.connections, EVERYONE, -1)))


@pytest.fixture
def client(app: AppUnderTest) -> Iterator[Any]:
    forgotten(app)
    client = app.gateway.connect(**TOKEN)
    yield client
    client.close()


def ask(host: Host, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    return Case(method, path, 0, "", body, {**BEARER, **headers}).ask(host)


def whoami(client: Any) -> dict[str, Any]:
    client.send('{"action": "whoami"}')
    result: dict[str, Any] = json.loads(client.recv())["result"]
    return result


# One table for all


@pytest.mark.parametrize("name", CASES)
def test_it_is_answered_alike_everywhere_and_as_the_document_says(host: Host, name: str) -> None:
    case = CASES[name]
    reply = case.ask(host)
    expected = case.status, case.code
    if expected[0] == 405 and isinstance(host, PackagedHost):
        expected = 404, "not_found"  # API Gateway knows no 405
    assert (reply.status, reply.code) == expected, reply
    if case.status < 500:
        conforms(case, reply)


def conforms(case: Case, reply: Reply) -> None:
    """Fail unless the document describes this answer."""
    schemas = {"components": DOCUMENT["components"]}
    if reply.code:
        schema = {"$ref": "#/components/schemas/Error"}
        if reply.status in (404, 405):  # of a path, not of an operation
            jsonschema.validate(reply.body, {**schemas, **schema})
            return
    path = case.path.partition("?")[0]
    operation = next(
        methods[case.method.lower()]
        for template, methods in sorted(DOCUMENT["paths"].items())
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
    )
    content = operation["responses"][str(reply.status)]["content"]["application/json"]
    jsonschema.validate(reply.body, {**schemas, **content["schema"]})
    if reply.code:
        assert f"`{reply.code}`" in operation["responses"][str(reply.status)]["description"]


def test_without_a_credential_there_is_nothing(host: Host) -> None:
    for route in ROUTE_SCOPES:
        method, _, path = route.partition("/")
        reply = Case(method, f"/{path.replace('*', 'a')}", 401, headers={}).ask(host)
        assert reply.status == 401, route


def test_gateways_own_refusals_have_our_shape_and_can_be_read_by_pages(
    hosts: dict[str, Host],
) -> None:
    for name in ("local_gateway", "packaged"):
        for case, code in (
            (Case("POST", "/messages", 401, body=send(), headers={}), "unauthorized"),
            (
                Case("GET", "/jobs/a", 401, headers={"Authorization": "Bearer wrong"}),
                "unauthorized",
            ),
            (Case("GET", "/nowhere", 404), "not_found"),
        ):
            reply = case.ask(hosts[name])
            assert (reply.status, reply.code) == (case.status, code)
            assert reply.headers["access-control-allow-origin"] == "*"
            challenge = reply.headers.get("www-authenticate")
            assert challenge == ("Bearer" if case.status == 401 else None)
            assert "wrong" not in json.dumps(reply.body)


def test_a_body_that_api_gateway_takes_from_nobody_is_refused_in_our_shape(
    app: AppUnderTest,
) -> None:
    announced = {**BEARER, "Content-Type": "application/json", "Content-Length": "10485761"}
    reply = OverTheNetwork(app.gateway.address).ask("POST", "/messages", None, announced)
    assert (reply.status, reply.code) == (413, "body_too_long")
    assert reply.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("name", ["the wrong method", "another type", "no JSON"])
def test_any_error_can_be_read_by_pages_and_is_not_kept(host: Host, name: str) -> None:
    headers = CASES[name].ask(host).headers
    assert headers["access-control-allow-origin"] == "*"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", sorted({*HOSTS} - {"test_client"}))  # fails on any preflight
@pytest.mark.parametrize("path", ["/messages", "/connections/a", "/health"])
def test_a_page_of_another_origin_may_ask(hosts: dict[str, Host], name: str, path: str) -> None:
    host = hosts[name]
    preflight = host.ask("OPTIONS", path, None, ORIGIN)
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    allowed = preflight.headers["access-control-allow-headers"]
    assert {"Authorization", "Content-Type", "Idempotency-Key"} <= set(allowed.split(","))
    method = "POST" if path == "/messages" else "GET"
    reply = host.ask(method, path, None, {**BEARER, **ORIGIN})
    assert reply.headers["access-control-allow-origin"] == "*"


# What clients of the WebSocket API see of it


def test_a_message_arrives_as_those_of_clients_do(host: Host, client: Any) -> None:
    whoami(client)
    reply = ask(host, "POST", "/messages", send(message="hé\n", id=7))
    assert reply.status == 200
    assert reply.body["id"] == 7
    assert reply.body["delivery"]["delivered"] == reply.body["delivery"]["targeted"] >= 1
    frame = json.loads(client.recv())
    assert frame == {
        "type": "message",
        "messageId": reply.body["messageId"],
        "from": "client",
        "to": "everyone",
        "message": "hé\n",
        "sentAt": frame["sentAt"],
    }


def test_each_of_a_batch_has_its_own_result(host: Host, client: Any) -> None:
    to = f"connection:{whoami(client)['connectionId']}"
    batch = [send(to=to, message="1", id="a"), {"id": "b"}, 3, send(to=to, message="2")]
    reply = ask(host, "POST", "/messages/batch", {"messages": batch})
    first, second, third, last = reply.body["results"]
    assert (first["id"], first["delivery"]["delivered"]) == ("a", 1)
    assert (second["id"], second["error"]["code"]) == ("b", "missing_field")
    assert third["error"]["code"] == "not_an_object"
    assert [json.loads(client.recv())["message"] for _ in range(2)] == ["1", "2"]
    assert first["messageId"] != last["messageId"]


def test_a_repeated_request_sends_once(hosts: dict[str, Host], client: Any) -> None:
    body = send(to=f"connection:{whoami(client)['connectionId']}")
    first = keyed("repeated", body, 200).ask(hosts["test_client"])
    for name in HOSTS:  # the key is kept in the table: whoever is asked knows it
        again = keyed("repeated", body, 200).ask(hosts[name])
        assert (again.status, again.body) == (200, first.body)
        assert again.headers["idempotency-replayed"] == "true"
        assert keyed("repeated", send(), 409).ask(hosts[name]).code == "idempotency_key_reused"
    assert json.loads(client.recv())["messageId"] == first.body["messageId"]
    client.send('{"action": "ping", "id": 1}')
    assert json.loads(client.recv())["id"] == 1, "nothing came between"


def test_connections_are_listed_page_by_page(host: Host, app: AppUnderTest) -> None:
    clients = [app.gateway.connect(**TOKEN) for _ in range(5)]
    expected = {whoami(each)["connectionId"] for each in clients}
    found: list[str] = []
    query = "audience=principal:client&limit=2"
    reply = ask(host, "GET", f"/connections?{query}")
    while True:
        page = [each["connectionId"] for each in reply.body["connections"]]
        assert len(page) <= 2
        found += page
        if "cursor" not in reply.body:
            break
        reply = ask(host, "GET", f"/connections?{query}&cursor={quote(reply.body['cursor'])}")
    assert expected <= set(found)
    assert len(found) == len(set(found))
    for each in clients:
        each.close()


def test_a_cursor_of_one_audience_opens_no_other(hosts: dict[str, Host], client: Any) -> None:
    host = hosts["test_client"]
    whoami(client)
    cursor = ask(host, "GET", "/connections?limit=1").body["cursor"]
    other = ask(host, "GET", f"/connections?audience=principal:bob&cursor={cursor}")
    assert (other.status, other.code) == (400, "invalid_cursor")


def test_a_connection_is_shown_as_table_and_gateway_know_it(host: Host, client: Any) -> None:
    me = whoami(client)
    client.send('{"action": "join", "channel": "news"}')
    client.recv()
    path = f"/connections/{quote(me['connectionId'], safe='')}"
    reply = ask(host, "GET", path)
    assert reply.body["connectionId"] == me["connectionId"]
    assert reply.body["remembered"] == {
        "principalId": "client",
        "connectedAt": me["connectedAt"],
        "expiresAt": me["expiresAt"],
        "sourceIp": "127.0.0.1",
        "scopes": sorted(SCOPES.split()),
        "audiences": ["everyone", "principal:client", "channel:news"],
    }
    assert reply.body["open"]["sourceIp"] == "127.0.0.1"
    assert reply.body["open"]["connectedAt"].endswith("Z")
    conforms(Case("GET", path, 200), reply)


def test_who_is_disconnected_is_told_why_and_forgotten(
    host: Host, client: Any, app: AppUnderTest
) -> None:
    connection_id = whoami(client)["connectionId"]
    path = f"/connections/{quote(connection_id, safe='')}"
    case = Case("DELETE", path, 200)
    reply = case.ask(host)
    assert reply.body == {"connectionId": connection_id, "closed": True}
    conforms(case, reply)
    closing = json.loads(client.recv())
    assert closing == {"type": "closing", "code": 4410, "reason": "disconnected"}
    opcode, data = client.recv_data()
    assert (opcode, data[:2]) == (8, (1000).to_bytes(2, "big"))
    eventually(lambda: ask(host, "GET", path).status == 404)
    assert ask(host, "DELETE", path).status == 404
    assert app.services.connections.get(connection_id, app.clock.now) is None


def test_all_of_a_principal_are_disconnected(host: Host, app: AppUnderTest) -> None:
    forgotten(app)
    clients = [app.gateway.connect(**TOKEN) for _ in range(3)]
    for each in clients:
        whoami(each)
    case = Case("DELETE", "/principals/cl%69ent/connections", 200)
    reply = case.ask(host)
    conforms(case, reply)
    assert reply.body["principalId"] == "client"
    assert (reply.body["closed"] >= 3, reply.body["failed"]) == (True, 0)
    for each in clients:
        assert json.loads(each.recv())["type"] == "closing"
    assert ask(host, "GET", "/connections?audience=principal:client").body["connections"] == []


def test_a_key_lets_in_until_it_is_revoked(
    host: Host, app: AppUnderTest, hosts: dict[str, Host]
) -> None:
    case = Case("POST", "/keys", 201, body=key(principal="pump", scopes=["connect", "publish"]))
    made = case.ask(host)
    conforms(case, made)
    assert made.headers["cache-control"] == "no-store"
    bearer = {"Authorization": f"Bearer {made.body['key']}"}
    client = app.gateway.connect(header=bearer)
    assert whoami(client)["principalId"] == "pump"
    to_nobody = send(to="channel:nobody")
    assert ask(hosts["local_gateway"], "POST", "/messages", to_nobody, **bearer).status == 200
    assert ask(hosts["local_gateway"], "GET", "/keys", **bearer).status == 403
    path = f"/keys/{made.body['keyId']}"
    for _ in range(2):
        revoked = ask(host, "DELETE", path)
        assert (revoked.status, revoked.body) == (
            200,
            {"keyId": made.body["keyId"], "revoked": True},
        )
    conforms(Case("DELETE", path, 200), revoked)
    assert app.gateway.refusal(header=bearer) == 401
    assert whoami(client)["principalId"] == "pump", "what is open stays so"
    client.close()


def test_keys_are_listed_page_by_page_and_none_is_shown(host: Host) -> None:
    made = [ask(host, "POST", "/keys", key()).body for _ in range(5)]
    found: list[Any] = []
    reply = ask(host, "GET", "/keys?limit=2")
    while True:
        conforms(Case("GET", "/keys", 200), reply)
        assert len(reply.body["keys"]) <= 2
        found += reply.body["keys"]
        if "cursor" not in reply.body:
            break
        reply = ask(host, "GET", f"/keys?limit=2&cursor={reply.body['cursor']}")
    names = [each["keyId"] for each in found]
    assert names == sorted(set(names))
    secrets = [each.pop("key").split("_", 2)[2] for each in made]
    assert all(each in found for each in made)
    assert not [secret for secret in secrets if secret in json.dumps(found)]
