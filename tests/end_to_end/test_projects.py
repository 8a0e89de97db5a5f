"""Chalice projects in other styles than ours, served unmodified."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway_process import ROOT, GatewayProcess

ROOMS = ROOT / "tests" / "projects" / "rooms"


@pytest.fixture(scope="module")
def rooms() -> Iterator[GatewayProcess]:
    """Nicknames and rooms; its table and its table's name come from a merge template."""
    template = str(ROOMS / "resources.yaml")
    with GatewayProcess("--template", template, project=ROOMS) as running:
        yield running


def get(gateway: GatewayProcess, path: str, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(f"{gateway.http_url}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_two_clients_talk_in_a_room(rooms: GatewayProcess) -> None:
    ann, bob = rooms.connect(), rooms.connect()
    for client, name in ((ann, "Ann"), (bob, "Bob")):
        client.send(f"/nick {name}")
        assert client.recv() == f"You are {name}."
    ann.send("/join red")
    assert ann.recv() == "Ann has joined red."
    bob.send("hello?")
    assert bob.recv() == "Join a room first."
    bob.send("/join red")
    assert {ann.recv(), bob.recv()} == {"Bob has joined red."}
    ann.send("it's né")
    assert {ann.recv(), bob.recv()} == {"Ann: it's né"}
    assert get(rooms, "/rooms") == (200, {"rooms": ["red"]})
    bob.close()
    assert ann.recv() == "Bob has left."
    ann.close()


def test_its_token_authorizer_guards_its_route(rooms: GatewayProcess) -> None:
    assert get(rooms, "/admin", Authorization="letmein") == (200, {"ok": True})
    assert get(rooms, "/admin", Authorization="wrong")[0] == 403
    assert get(rooms, "/admin")[0] == 401


def test_its_functions_invoke_each_other(rooms: GatewayProcess) -> None:
    client = rooms.connect()
    status, answer = get(rooms, "/count")
    assert status == 200
    assert json.loads(answer)["connections"] >= 1 if isinstance(answer, str) else answer
    client.close()


CONFIG = '{"version": "2.0", "app_name": "small", "stages": {"dev": {"api_gateway_stage": "api"}}}'
HEAD = """
from chalice import Chalice
app = Chalice(app_name="small")
"""
FLAG = 'app.experimental_feature_flags.update(["WEBSOCKETS"])\n'
HANDLERS = {
    "connect": "@app.on_ws_connect()\ndef connect(event): pass\n",
    "message": "@app.on_ws_message()\ndef message(event): print('got ' + event.body, flush=True)\n",
    "disconnect": "@app.on_ws_disconnect()\ndef disconnect(event): print('left', flush=True)\n",
    "http": "@app.route('/')\ndef index(): return {'hello': 'world'}\n",
}


def project(directory: Path, *parts: str) -> Path:
    (directory / ".chalice").mkdir()
    (directory / ".chalice" / "config.json").write_text(CONFIG)
    flag = FLAG if set(parts) - {"http"} else ""
    (directory / "app.py").write_text(HEAD + flag + "".join(HANDLERS[part] for part in parts))
    return directory


@pytest.mark.parametrize(
    "parts",
    [("connect",), ("message",), ("disconnect",), ("connect", "disconnect"), ("message", "http")],
)
def test_any_subset_of_the_handlers_is_served(tmp_path: Path, parts: tuple[str, ...]) -> None:
    with GatewayProcess("--no-database", project=project(tmp_path, *parts)) as gateway:
        client = gateway.connect()
        client.send("hello")
        if "message" not in parts:
            assert client.recv().startswith('{"message": "Forbidden", "connectionId":"')
        client.ping()
        client.close()
        output = gateway.stop()
    assert ("got hello" in output) is ("message" in parts)
    assert ("left" in output) is ("disconnect" in parts)


def test_an_app_with_http_only_is_served(tmp_path: Path) -> None:
    with GatewayProcess("--no-database", project=project(tmp_path, "http")) as gateway:
        assert get(gateway, "/") == (200, {"hello": "world"})
        assert "wscat" not in gateway.output


def test_an_endpoint_built_from_the_domain_name_is_named(tmp_path: Path) -> None:
    directory = project(tmp_path, "connect")
    line = 'URL = "https://{domain_name}/{stage}"\n'
    (directory / "app.py").write_text((directory / "app.py").read_text() + line)
    with GatewayProcess("--no-database", project=directory) as gateway:
        assert "builds an https URL from the event's domain name" in gateway.output


def test_what_a_template_asks_in_vain_is_named_once(tmp_path: Path) -> None:
    directory = project(tmp_path, "connect", "message")
    template = directory / "extra.yaml"
    template.write_text(
        "Resources:\n"
        "  WebsocketConnectRoute:\n"
        "    Properties: {RouteKey: $connect, AuthorizationType: AWS_IAM}\n"
    )
    with GatewayProcess("--no-database", "--template", str(template), project=directory) as gateway:
        assert gateway.output.count("AWS_IAM") == 1


def test_an_authorizer_of_a_template_guards_an_app_that_has_none(tmp_path: Path) -> None:
    directory = project(tmp_path, "connect", "message")
    source = (directory / "app.py").read_text() + (
        "\n@app.lambda_function()\n"
        "def ws_auth(event, context):\n"
        "    if event['headers'].get('token') != 'sesame':\n"
        "        raise Exception('Unauthorized')\n"
        "    return {'principalId': 'x', 'policyDocument': {'Version': '2012-10-17', 'Statement':"
        " [{'Action': 'execute-api:Invoke', 'Effect': 'Allow', 'Resource': event['methodArn']}]}}\n"
    )
    (directory / "app.py").write_text(source)
    template = directory / "auth.yaml"
    template.write_text(
        "Resources:\n"
        "  WsAuthorizer:\n"
        "    Type: AWS::ApiGatewayV2::Authorizer\n"
        "    Properties:\n"
        "      ApiId: !Ref WebsocketAPI\n"
        "      Name: auth\n"
        "      AuthorizerType: REQUEST\n"
        "      IdentitySource: [route.request.header.token]\n"
        "      AuthorizerUri: !Sub arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/"
        "2015-03-31/functions/${WsAuth.Arn}/invocations\n"
        "  WebsocketConnectRoute:\n"
        "    Properties: {AuthorizationType: CUSTOM, AuthorizerId: !Ref WsAuthorizer}\n"
    )
    with GatewayProcess("--no-database", "--template", str(template), project=directory) as gateway:
        assert gateway.refusal() == 401
        assert gateway.refusal(header={"token": "wrong"}) == 401
        assert gateway.refusal(header={"token": "sesame"}) == 101
