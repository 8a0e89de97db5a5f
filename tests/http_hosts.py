"""Ways to serve the HTTP API, all on the same table and the same open connections."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from chalice.test import Client

import app as app_module
from localgateway.iam import is_allowed
from tests.cloudformation import ACCOUNT_ID, of_type
from tests.http_cases import Reply

ARN = f"arn:aws:execute-api:us-east-1:{ACCOUNT_ID}:rest123/api"


@dataclass(frozen=True, slots=True)
class OverTheNetwork:
    """A server on this machine."""

    address: str
    base_path: str = ""

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, self.base_path + path, body, dict(headers))
            response = connection.getresponse()
            return _reply(response.status, dict(response.headers), response.read())
        finally:
            connection.close()


class TestClientHost:
    """Chalice's own test client."""

    __test__ = False

    def __init__(self) -> None:
        self._http = Client(app_module.app, stage_name="local").http

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        response = self._http.request(method, path, dict(headers), body or b"")
        return _reply(response.status_code, response.headers, response.body)


class PackagedHost:
    """A REST API as the packaged template has it, in front of the functions of this process.

    Routes, authorizers and API Gateway's own answers are the template's; the event is of the shape
    that AWS documents.
    """

    def __init__(self, template: Mapping[str, Any]) -> None:
        (api,) = of_type(template, "AWS::Serverless::Api").values()
        self._api = api["DefinitionBody"]

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        found = self._found(method, urlsplit(path).path)
        if found is None:
            return self._own("MISSING_AUTHENTICATION_TOKEN")
        resource, operation, parameters = found
        integration = operation["x-amazon-apigateway-integration"]
        if integration["type"] == "mock":
            return _preflight(integration)
        context: dict[str, Any] = {
            "httpMethod": method,
            "resourcePath": resource,
            "path": f"/api{urlsplit(path).path}",
            "identity": {"sourceIp": "192.0.2.7"},
        }
        if operation.get("security"):
            allowed = _authorized(method, path, headers)
            if isinstance(allowed, str):
                return self._own(allowed)
            context["authorizer"] = allowed
        query = parse_qs(urlsplit(path).query, keep_blank_values=True)
        event = {
            "requestContext": context,
            "headers": dict(headers),
            "multiValueQueryStringParameters": query or None,
            "pathParameters": parameters,
            "stageVariables": None,
            "body": None if body is None else body.decode(errors="replace"),
            "isBase64Encoded": False,
        }
        made = app_module.app(event, _Context())
        every = {**made["headers"], **made["multiValueHeaders"]}
        return _reply(made["statusCode"], every, str(made["body"]).encode())

    def _found(self, method: str, path: str) -> tuple[str, Any, dict[str, str]] | None:
        for resource, methods in sorted(self._api["paths"].items()):
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", resource)
            match = re.fullmatch(pattern, path)
            if match and method.lower() in methods:
                return resource, methods[method.lower()], match.groupdict()
        return None

    def _own(self, kind: str) -> Reply:
        response = self._api["x-amazon-apigateway-gateway-responses"][kind]
        headers = {
            name.rpartition(".")[2]: value.strip("'")
            for name, value in response["responseParameters"].items()
        }
        body = response["responseTemplates"]["application/json"]
        return _reply(int(response["statusCode"]), headers, body.encode())


class _Context:
    def get_remaining_time_in_millis(self) -> int:
        return 28_000


def _authorized(method: str, path: str, headers: Mapping[str, str]) -> str | dict[str, str]:
    """Return the context every value of which is text, or how API Gateway refuses."""
    token = headers.get("Authorization")
    if not token:
        return "UNAUTHORIZED"
    arn = f"{ARN}/{method}{urlsplit(path).path}"
    event = {"type": "TOKEN", "authorizationToken": token, "methodArn": arn}
    try:
        answer: Any = app_module.http_authorizer(event, None)
    except Exception as refusal:
        if str(refusal) != "Unauthorized":
            raise
        return "UNAUTHORIZED"
    if not is_allowed(answer["policyDocument"], arn, "192.0.2.7"):
        return "ACCESS_DENIED"
    texts = {name: _text(value) for name, value in answer["context"].items()}
    return {**texts, "principalId": answer["principalId"]}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _preflight(integration: Mapping[str, Any]) -> Reply:
    parameters = integration["responses"]["default"]["responseParameters"]
    headers = {name.rpartition(".")[2]: it.strip("'") for name, it in parameters.items()}
    return _reply(200, headers, b"")


def _reply(status: int, headers: Mapping[str, Any], body: bytes) -> Reply:
    lower = {name.lower(): str(value) for name, value in headers.items()}
    try:
        return Reply(status, lower, json.loads(body) if body else None)
    except ValueError:
        return Reply(status, lower, body)
