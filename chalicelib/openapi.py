"""The OpenAPI document of the HTTP routes, made of the same limits and codes as the answers.

Only who asks for it pays for it: nothing imports this module before.
"""

from collections.abc import Collection, Mapping

from chalicelib import __version__
from chalicelib.connection_pages import MAX_CURSOR
from chalicelib.http_answers import CHALLENGE, RETRY_SECONDS, STATUSES
from chalicelib.http_requests import DEFAULT_PAGE, MAX_PAGE
from chalicelib.http_routes import ROUTE_SCOPES, route_name
from chalicelib.openapi_examples import EXAMPLES
from chalicelib.openapi_schemas import AUDIENCE, COUNT, KEY_ID, TEXT, Schema, schemas

_BODY = (
    "bad_request",
    "malformed_json",
    "not_an_object",
    "duplicate_key",
    "invalid_number",
    "invalid_text",
    "too_deep",
    "missing_field",
    "unknown_field",
    "invalid_field",
    "unknown_parameter",
    "body_too_long",
    "unsupported_media_type",
)
_REPEATABLE = ("invalid_idempotency_key", "idempotency_key_reused", "request_in_flight")
_ALWAYS = ("method_not_allowed", "internal_error", "too_many_requests", "service_unavailable")
_PROTECTED = ("unauthorized", "forbidden")
_QUERY = ("unknown_parameter", "invalid_parameter")


def document(base_path: str) -> Schema:
    """Return the document; ``base_path`` is that of the stage, empty where there is none."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis",
            "version": __version__,
            "description": "Sends to the clients of a WebSocket API, and shows who they are.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_path or "/"}],
        "paths": _paths(),
        "components": {
            "schemas": {name: _shown(name, schema) for name, schema in schemas().items()},
            "securitySchemes": {"bearer": _BEARER},
        },
    }


_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "A shared token, a JSON Web Token or an API key: docs/authorizers.md.",
}


def _paths() -> Schema:
    connection, principal = _path("connection_id"), _path("principal_id")
    return {
        "/health": {
            "get": _operation(
                "GET", "/health", "Say what runs here, and whether its table answers.",
                {"200": ("Health", "It does."), "503": ("Health", "It does not.")},
            )
        },
        "/openapi.json": {
            "get": _operation(
                "GET", "/openapi.json", "Describe this API.", {"200": ("Any", "This document.")}
            )
        },
        "/tickets": {
            "post": _operation(
                "POST", "/tickets", "Ask for a ticket, to open one connection with.",
                {"200": ("Ticket", "Good once and for seconds.")},
                ("not_found", "unknown_parameter", "unsupported_media_type"),
            )
        },
        "/messages": {
            "post": _operation(
                "POST", "/messages", "Send a message to an audience.",
                {
                    "200": ("Published", "What came of it."),
                    "202": ("Published", "What came of it so far; a job sends to the others."),
                },
                (*_BODY, *_REPEATABLE, "invalid_audience", "message_too_long"),
                body="Message", parameters=[_IDEMPOTENCY_KEY],
            )
        },
        "/messages/batch": {
            "post": _operation(
                "POST", "/messages/batch", "Send several messages, one after the other.",
                {"200": ("BatchResult", "A result for each, in the order of the messages.")},
                (*_BODY, *_REPEATABLE),
                body="Batch", parameters=[_IDEMPOTENCY_KEY],
            )
        },
        "/jobs/{job_id}": {
            "get": _operation(
                "GET", "/jobs/{job_id}", "Say what has come of a message that a job delivers.",
                {"200": ("Job", "So far.")}, ("not_found", "unknown_parameter"),
                parameters=[_path("job_id")],
            )
        },
        "/connections": {
            "get": _operation(
                "GET", "/connections", "List the connections of an audience.",
                {"200": ("ConnectionPage", "A page; the last one has no cursor.")},
                (*_QUERY, "invalid_audience", "invalid_cursor"),
                parameters=[
                    _query("audience", {**AUDIENCE, "default": "everyone"}),
                    _LIMIT,
                    _query("cursor", {**TEXT, "maxLength": MAX_CURSOR}),
                ],
            )
        },
        "/connections/{connection_id}": {
            "get": _operation(
                "GET", "/connections/{connection_id}", "Say what is known of a connection.",
                {"200": ("ConnectionDetails", "By the table, and by API Gateway.")},
                ("not_found", "unknown_parameter"), parameters=[connection],
            ),
            "delete": _operation(
                "DELETE", "/connections/{connection_id}", "Close a connection.",
                {"200": ("Closed", "It is closed, or had been.")},
                ("not_found", "unknown_parameter", "connection_opening"),
                parameters=[connection],
            ),
        },
        "/keys": {
            "post": _operation(
                "POST", "/keys", "Make an API key.",
                {"201": ("CreatedKey", "The key, which no other answer has.")},
                (*_BODY, "invalid_idempotency_key", "not_found"), body="WantedKey",
            ),
            "get": _operation(
                "GET", "/keys", "List the API keys, revoked and expired ones too.",
                {"200": ("KeyPage", "A page; the last one has no cursor.")},
                (*_QUERY, "invalid_cursor", "not_found"),
                parameters=[_LIMIT, _query("cursor", KEY_ID)],
            ),
        },
        "/keys/{key_id}": {
            "delete": _operation(
                "DELETE", "/keys/{key_id}", "Let an API key admit nobody any more.",
                {"200": ("RevokedKey", "It is revoked, or had been.")},
                ("not_found", "unknown_parameter"), parameters=[_path("key_id")],
            )
        },
        "/principals/revoke": {
            "post": _operation(
                "POST", "/principals/revoke",
                "Keep a principal out, and close the connections it has.",
                {"200": ("Revoked", "What came of it.")}, _BODY, body="PrincipalName",
            )
        },
        "/principals/allow": {
            "post": _operation(
                "POST", "/principals/allow", "Let a principal in again.",
                {"200": ("PrincipalName", "It is let in.")}, _BODY, body="PrincipalName",
            )
        },
        "/principals/{principal_id}/connections": {
            "delete": _operation(
                "DELETE", "/principals/{principal_id}/connections",
                "Close every connection of a principal.",
                {"200": ("ClosedAll", "What came of each.")},
                ("not_found", "unknown_parameter", "invalid_audience"),
                parameters=[principal],
            )
        },
    }  # fmt: skip


_IDEMPOTENCY_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Whoever repeats a request under its key gets the first answer, for a day.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:=+/-]{1,128}$"},
}


def _operation(
    method: str,
    path: str,
    summary: str,
    answers: Mapping[str, tuple[str, str]],
    codes: tuple[str, ...] = (),
    *,
    body: str | None = None,
    parameters: list[Schema] | None = None,
) -> Schema:
    scope = ROUTE_SCOPES.get(route_name(method, path))
    errors = (*codes, *_ALWAYS, *(_PROTECTED if scope else ()))
    responses = {
        **_errors(errors),
        **{status: _content(name, text) for status, (name, text) in answers.items()},
    }
    made: Schema = {
        "operationId": _operation_id(method, path),
        "summary": summary,
        "security": [{"bearer": []}] if scope else [],
        "responses": dict(sorted(responses.items())),
    }
    if scope:
        made["description"] = f"Asks for the scope `{scope}`."
    if parameters:
        made["parameters"] = parameters
    if body:
        made["requestBody"] = {**_content(body, ""), "required": True}
        del made["requestBody"]["description"]
    return made


def _operation_id(method: str, path: str) -> str:
    words = [word for word in path.replace(".", "/").split("/") if word and "{" not in word]
    return "_".join((method.lower(), *words, *(["one"] if path.endswith("}") else [])))


def _content(schema: str, description: str) -> Schema:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _errors(codes: tuple[str, ...]) -> Schema:
    by_status: dict[str, list[str]] = {}
    for code in codes:
        by_status.setdefault(str(STATUSES[code]), []).append(code)
    return {
        status: _content("Error", f"`{'`, `'.join(sorted(found))}`") | _headers(found)
        for status, found in by_status.items()
    }


def _headers(codes: Collection[str]) -> Schema:
    headers: Schema = {}
    if any(code in RETRY_SECONDS for code in codes):
        headers["Retry-After"] = {"description": "In seconds.", "schema": COUNT}
    if "unauthorized" in codes:
        headers["WWW-Authenticate"] = {"schema": {"const": CHALLENGE}}
    return {"headers": headers} if headers else {}


def _shown(name: str, schema: Schema) -> Schema:
    return {**schema, "examples": [EXAMPLES[name]]} if name in EXAMPLES else schema


def _path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {**TEXT, "minLength": 1}}


def _query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


_LIMIT = _query(
    "limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE}
)
