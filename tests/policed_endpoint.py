"""AWS as far as the app calls it, with each call checked against the role of who makes it.

The real clients sign real requests. Who asks which service, for what and about which resource is
read from the request, as AWS does; the tables are those of a real engine behind. An access key's id
is the name of the function whose role it belongs to: a call may come when its function has long
answered, and another one acts.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from tests.cloudformation import ACCOUNT_ID, REGION, strings

Statements = Sequence[Mapping[str, Any]]

_SCOPE = re.compile(
    r"Credential=(?P<function>\w+)/\d+/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)/"
)
_MANAGEMENT = re.compile(r"/_aws/execute-api/(?P<api>\w+)/(?P<stage>\w+)/@connections/(?P<id>.+)")
_PARAMETER = {"Name": "a", "Type": "SecureString", "Value": "s3cret", "Version": 2}


@dataclass(frozen=True, slots=True)
class AwsCall:
    """A call in the words of IAM."""

    function: str
    action: str
    resource: str
    leading_keys: tuple[str, ...] | None
    """Partition keys of DynamoDB."""
    allowed: bool


@dataclass
class PolicedEndpoint:
    """A server on 127.0.0.1 that acts as several services of AWS."""

    database_url: str
    roles: Mapping[str, Statements]
    calls: list[AwsCall] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    """Connections a post to which is answered 410."""
    posts: list[tuple[str, bytes]] = field(default_factory=list)
    queued: list[str] = field(default_factory=list)
    """Bodies of the messages that were sent to a queue."""

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve, and yield the endpoint's URL."""
        handler = type("Handler", (_Handler,), {"endpoint": self})
        server = _Server(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answers(self, connection_id: str) -> list[bytes]:
        """Return what was posted to a connection that was not a message to an audience."""
        bodies = [body for name, body in self.posts if name == connection_id]
        return [body for body in bodies if json.loads(body)["type"] != "message"]

    def answer(self, request: _Request) -> tuple[int, bytes]:
        function = request.scope["function"]
        calls = [self._call(function, *described) for described in request.described()]
        self.calls += calls
        allowed = all(call.allowed for call in calls)
        service = calls[0].action.partition(":")[0]
        if service == "execute-api":
            connection_id = calls[0].resource.rpartition("/")[2]
            if request.method == "POST":
                self.posts.append((connection_id, request.body))
            status = 403 if not allowed else 410 if connection_id in self.gone else 200
            return status, b"{}" if request.method == "GET" else b""
        if not allowed:
            return 400, b'{"__type": "AccessDeniedException", "message": "not authorized"}'
        if service == "ssm":
            parameter = {**_PARAMETER, "LastModifiedDate": 0}
            return 200, json.dumps({"Parameter": parameter}).encode()
        if service == "sqs":
            return 200, json.dumps(self._queued(json.loads(request.body))).encode()
        return self._forwarded(request)

    def _call(
        self, function: str, action: str, resource: str, leading_keys: tuple[str, ...] | None
    ) -> AwsCall:
        allowed = is_allowed(self.roles[function], action, resource, leading_keys)
        return AwsCall(function, action, resource, leading_keys, allowed)

    def _queued(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        self.queued += [entry["MessageBody"] for entry in payload.get("Entries", ())]
        return {"QueueUrl": f"https://sqs.invalid/{ACCOUNT_ID}/{payload.get('QueueName')}"}

    def _forwarded(self, request: _Request) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.database_url.removeprefix("http://"))
        headers = {name: request.headers[name] for name in ("authorization", "x-amz-target")}
        content_type = {"Content-Type": "application/x-amz-json-1.0"}
        connection.request("POST", "/", request.body, {**headers, **content_type})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def scope(self) -> re.Match[str]:
        """Return who has signed it, for which region and service."""
        scope = _SCOPE.search(self.headers["authorization"])
        assert scope is not None
        assert scope["region"] == REGION
        return scope

    def described(self) -> list[tuple[str, str, tuple[str, ...] | None]]:
        """Return actions, resources and partition keys: several of what has no action itself."""
        service = self.scope["service"]
        prefix = f"arn:aws:{service}:{REGION}:{ACCOUNT_ID}:"
        if service == "execute-api":
            match = _MANAGEMENT.fullmatch(unquote(self.path))
            assert match is not None
            stage, name = f"{match['api']}/{match['stage']}", match["id"]
            resource = f"{prefix}{stage}/{self.method}/@connections/{name}"
            return [("execute-api:ManageConnections", resource, None)]
        operation = self.headers["x-amz-target"].rpartition(".")[2]
        payload = json.loads(self.body)
        if service == "ssm":
            name = payload["Name"].partition(":")[0].removeprefix("/")
            return [(f"ssm:{operation}", f"{prefix}parameter/{name}", None)]
        if service == "sqs":
            name = payload.get("QueueName") or payload["QueueUrl"].rpartition("/")[2]
            return [(f"sqs:{operation.removesuffix('Batch')}", f"{prefix}{name}", None)]
        assert service == "dynamodb"
        return [
            (f"dynamodb:{action}", f"{prefix}table/{table}", keys)
            for action, table, keys in _table_calls(operation, payload)
        ]


def _table_calls(
    operation: str, payload: Mapping[str, Any]
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield action, table and partition keys.

    A transaction is no action of its own, it needs those of its parts:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
    """
    if operation == "TransactWriteItems":
        for item in payload["TransactItems"]:
            ((kind, part),) = item.items()
            action = "ConditionCheckItem" if kind == "ConditionCheck" else f"{kind}Item"
            yield action, part["TableName"], _keys(part)
    elif operation == "BatchWriteItem":
        ((table, requests),) = payload["RequestItems"].items()
        parts = [next(iter(request.values())) for request in requests]
        yield operation, table, tuple(key for part in parts for key in _keys(part))
    elif operation == "Query":
        (name,) = re.findall(r"pk = (:\w+)", payload["KeyConditionExpression"])
        value = payload["ExpressionAttributeValues"][name]["S"]
        yield operation, payload["TableName"], (value,)
    else:
        yield operation, payload["TableName"], _keys(payload)


def _keys(part: Mapping[str, Any]) -> tuple[str, ...]:
    return ((part.get("Item") or part["Key"])["pk"]["S"],)


class _Server(ThreadingHTTPServer):
    # All shards are read at once; a connection for which there is no room is tried again after a
    # second, when whoever asked has given up.
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: 40 ms for each answer
    endpoint: PolicedEndpoint

    def do_POST(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, answer = self.endpoint.answer(_Request(self.command, self.path, headers, body))
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def is_allowed(
    statements: Statements, action: str, resource: str, leading_keys: Sequence[str] | None
) -> bool:
    """Evaluate statements that allow; a condition that is not known here is an error."""
    return any(
        any(_matches(it, action) for it in strings(statement["Action"]))
        and any(_matches(it, resource) for it in strings(statement["Resource"]))
        and _holds(statement.get("Condition", {}), leading_keys)
        for statement in statements
    )


def _holds(condition: Mapping[str, Any], leading_keys: Sequence[str] | None) -> bool:
    context = {"dynamodb:LeadingKeys": leading_keys}
    for operator, keys in condition.items():
        for key, expected in keys.items():
            present = context[key]
            if operator == "Null":
                held = (present is None) is (expected == "true")
            else:
                assert operator == "ForAllValues:StringLike"
                held = all(
                    any(_matches(pattern, value) for pattern in strings(expected))
                    for value in present or ()
                )
            if not held:
                return False
    return True


def _matches(pattern: str, text: str) -> bool:
    regex = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(regex, text, re.DOTALL) is not None
