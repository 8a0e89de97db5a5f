"""Examples of the OpenAPI document, by the name of their schema; a test holds them to it."""

from collections.abc import Mapping
from typing import Any

from chalicelib import __version__

_MESSAGE = {"to": "channel:news", "message": "Two lorries are waiting.", "id": "order-7"}
_DELIVERY = {
    "targeted": 3,
    "delivered": 2,
    "gone": 1,
    "expired": 0,
    "slow": 0,
    "failed": 0,
    "deferred": 0,
    "repeated": 0,
}
_PUBLISHED = {
    "messageId": "01a1f87b-e5c6-78ab-b0c4-1a7746090eeb",
    "delivery": _DELIVERY,
    "id": "order-7",
}
_ERROR = {"error": {"code": "missing_field", "message": "to is missing."}}
_MEMBER = {
    "connectionId": "L0SM9cOFvHcCIhw=",
    "principalId": "maya",
    "connectedAt": 1795191109746,
    "expiresAt": 1795198309,
}
_TIMES = {name: _MEMBER[name] for name in ("connectedAt", "expiresAt")}

_WANTED_KEY = {"principal": "robot", "scopes": ["connect", "publish"], "days": 90}
_KEY = {
    "keyId": "0123456789abcdef",
    "principal": "robot",
    "scopes": ["connect", "publish"],
    "createdAt": 1795191109,
    "expiresAt": 1802967109,
    "createdBy": "maya",
    "revoked": False,
}

EXAMPLES: Mapping[str, Any] = {
    "Error": _ERROR,
    "Health": {"status": "ok", "stage": "dev", "version": __version__, "table": "ok"},
    "Ticket": {"ticket": "J1I5FCud07RhFIEA3ZnN6iHf5391cvmxVDSnAE6YghM", "expiresIn": 30},
    "Message": _MESSAGE,
    "Delivery": _DELIVERY,
    "Published": _PUBLISHED,
    "Batch": {"messages": [_MESSAGE, {"to": "principal:maya", "message": "For you alone."}]},
    "BatchResult": {"results": [_PUBLISHED, _ERROR]},
    "Job": {
        "jobId": "01a1f87b-e5c6-78ab-b0c4-1a7746090eec",
        "to": "everyone",
        "deadline": 1795191709,
        "done": False,
        "delivery": _DELIVERY,
    },
    "ConnectionPage": {"audience": "everyone", "connections": [_MEMBER]},
    "ConnectionDetails": {
        "connectionId": "L0SM9cOFvHcCIhw=",
        "remembered": {
            "principalId": "maya",
            **_TIMES,
            "sourceIp": "192.0.2.7",
            "scopes": ["connect", "sendmessage"],
            "audiences": ["everyone", "principal:maya", "channel:news"],
        },
        "open": {
            "connectedAt": "2026-11-20T16:11:49.746Z",
            "lastActiveAt": "2026-11-20T16:12:03.120Z",
            "sourceIp": "192.0.2.7",
            "userAgent": "Mozilla/5.0",
        },
    },
    "Closed": {"connectionId": "L0SM9cOFvHcCIhw=", "closed": True},
    "WantedKey": _WANTED_KEY,
    "Key": _KEY,
    "CreatedKey": {"key": f"pk_0123456789abcdef_{'x' * 43}", **_KEY},
    "KeyPage": {"keys": [_KEY]},
    "RevokedKey": {"keyId": "0123456789abcdef", "revoked": True},
    "PrincipalName": {"principal": "mallory"},
    "Revoked": {"principal": "mallory", "notBefore": 1795191110, "closed": 2, "left": 0},
    "ClosedAll": {"principalId": "mallory", "closed": 2, "gone": 0, "failed": 0},
}
