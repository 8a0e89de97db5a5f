"""The shapes of what the HTTP routes take and answer, as JSON Schemas."""

from collections.abc import Mapping
from typing import Any

from chalicelib.actions import MAX_ID_CHARACTERS, MAX_ID_NUMBER
from chalicelib.broadcast import Outcome
from chalicelib.http_answers import STATUSES
from chalicelib.http_publishing import MAX_BATCH
from chalicelib.managed_keys import MAX_DAYS
from chalicelib.scopes import PATTERN

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
PRINCIPAL: Schema = {**TEXT, "minLength": 1, "maxLength": 128}
AUDIENCE = {"$ref": "#/components/schemas/Audience"}
KEY_ID: Schema = {**TEXT, "pattern": "^[0-9a-f]{16}$"}


def schemas() -> Schema:
    """Return all of them by their names."""
    times = {"connectedAt": COUNT, "expiresAt": COUNT}
    counts = {outcome.value: COUNT for outcome in Outcome}
    delivery = _object({"targeted": COUNT, **counts, "repeated": COUNT})
    echo: Schema = {
        "description": "What the answer repeats.",
        "anyOf": [
            {"type": "string", "maxLength": MAX_ID_CHARACTERS},
            {"type": "integer", "minimum": -MAX_ID_NUMBER, "maximum": MAX_ID_NUMBER},
        ],
    }
    error = _object({"code": {"enum": list(STATUSES)}, "message": TEXT})
    message = _object({"to": AUDIENCE, "message": TEXT}, id=echo)
    published = _object(
        {"messageId": TEXT, "delivery": {"$ref": "#/components/schemas/Delivery"}},
        id=echo,
        jobId=TEXT,
        incomplete={"const": True, "description": "Not everybody was read, nor will be."},
    )
    member = _object({"connectionId": TEXT, "principalId": TEXT, **times})
    remembered = _object(
        {
            "principalId": TEXT,
            **times,
            "sourceIp": TEXT,
            "scopes": {"type": "array", "items": TEXT},
            "audiences": {"type": "array", "items": AUDIENCE},
        }
    )
    opened = _object(
        {name: _or_null(TEXT) for name in ("connectedAt", "lastActiveAt", "sourceIp", "userAgent")}
    )
    return {
        "Any": {"type": "object"},
        "Audience": {
            "type": "string",
            "description": "everyone, principal:<id>, channel:<name> or connection:<id>",
            "pattern": "^(everyone|(principal|channel|connection):.+)$",
            "examples": ["everyone", "channel:news"],
        },
        "Error": _object({"error": error}),
        "Health": _object(
            {
                "status": {"enum": ["ok", "degraded"]},
                "stage": TEXT,
                "version": TEXT,
                "table": {"enum": ["ok", "unreachable"]},
            }
        ),
        "Ticket": _object({"ticket": TEXT, "expiresIn": COUNT}, url=TEXT),
        "Message": message,
        "Delivery": {**delivery, "description": "How many connections had which outcome."},
        "Published": published,
        "Batch": _object(
            {
                "messages": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_BATCH,
                    "items": {"$ref": "#/components/schemas/Message"},
                }
            }
        ),
        "BatchResult": _object(
            {
                "results": {
                    "type": "array",
                    "items": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/Published"},
                            _object({"error": error}, id=echo),
                        ]
                    },
                }
            }
        ),
        "Job": _object(
            {
                "jobId": TEXT,
                "to": AUDIENCE,
                "deadline": COUNT,
                "done": {"type": "boolean"},
                "delivery": {"$ref": "#/components/schemas/Delivery"},
            }
        ),
        "ConnectionPage": _object(
            {"audience": AUDIENCE, "connections": {"type": "array", "items": member}},
            cursor=TEXT,
        ),
        "ConnectionDetails": _object(
            {"connectionId": TEXT, "remembered": _or_null(remembered), "open": _or_null(opened)}
        ),
        "Closed": _object({"connectionId": TEXT, "closed": {"type": "boolean"}}),
        "PrincipalName": _object({"principal": PRINCIPAL}),
        "Revoked": _object({"principal": TEXT, "notBefore": COUNT, "closed": COUNT, "left": COUNT}),
        "ClosedAll": _object(
            {"principalId": TEXT, "closed": COUNT, "gone": COUNT, "failed": COUNT},
            incomplete={"const": True, "description": "Ask once more for the rest."},
        ),
        **_key_schemas(),
    }


def _key_schemas() -> Schema:
    scope: Schema = {**TEXT, "pattern": f"^(?:{PATTERN})$"}
    scopes: Schema = {"type": "array", "items": scope, "minItems": 1}
    seconds: Schema = {**COUNT, "description": "Seconds since the epoch."}
    known: Schema = {
        "keyId": KEY_ID,
        "principal": TEXT,
        "scopes": {"type": "array", "items": TEXT},
        "createdAt": seconds,
        "expiresAt": _or_null(seconds),
        "createdBy": {
            **_or_null(TEXT),
            "description": "The principal who had it made; null for an operator's command.",
        },
        "revoked": {"type": "boolean"},
    }
    return {
        "WantedKey": _object(
            {"principal": PRINCIPAL, "scopes": {**scopes, "examples": [["connect", "publish"]]}},
            days={
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_DAYS,
                "description": "How long it is good; for ever without it.",
            },
        ),
        "Key": _object(known),
        "CreatedKey": _object({"key": {**TEXT, "description": "The secret."}, **known}),
        "KeyPage": _object(
            {"keys": {"type": "array", "items": {"$ref": "#/components/schemas/Key"}}},
            cursor=KEY_ID,
        ),
        "RevokedKey": _object({"keyId": KEY_ID, "revoked": {"const": True}}),
    }


def _object(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}
