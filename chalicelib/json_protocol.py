"""The JSON protocol of AWS services, over signed calls, with retries of what may pass.

https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
"""

import json
from collections.abc import Mapping
from typing import Any

from chalicelib.aws import Caller
from chalicelib.backoff import Backoff
from chalicelib.errors import ConfigurationError, PortcullisError, ServiceUnavailable
from chalicelib.http1 import Response

_TRANSIENT = frozenset(
    {
        "InternalServerError",
        "InternalServiceError",
        "KmsThrottled",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)

_to_json = json.JSONEncoder(separators=(",", ":")).encode


class OperationRefused(ConfigurationError):
    """A service understood the call and will not do it; ``name`` is the type of its error."""

    def __init__(self, service: str, operation: str, status: int, name: str) -> None:
        # Not its message: that may repeat the values the call was about.
        super().__init__(f"{service}, {operation}: {status} {name}")
        self.name = name


class JsonService:
    """One service that speaks this protocol; its name is for people."""

    def __init__(
        self, client: Caller, backoff: Backoff, *, name: str, target: str, version: str
    ) -> None:
        """``target`` comes before the operation's name in ``X-Amz-Target``."""
        self._client = client
        self._backoff = backoff
        self._name = name
        self._target = target
        self._content_type = f"application/x-amz-json-{version}"

    def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to an operation that may be repeated.

        Raises ServiceUnavailable past the deadline, OperationRefused for what no retry mends.
        """
        headers = {
            "content-type": self._content_type,
            "x-amz-target": f"{self._target}.{operation}",
        }
        body = _to_json(payload).encode()
        problem = ServiceUnavailable(f"{self._name}: no time for {operation}")
        try:
            for _ in self._backoff.attempts():
                try:
                    return self._answer(operation, self._client.call("POST", "/", body, headers))
                except ServiceUnavailable as error:
                    problem = error
            raise problem
        finally:
            del problem  # it knows this frame, and so no connection would be freed at once

    def _answer(self, operation: str, response: Response) -> dict[str, Any]:
        answer = _json_object(response.body)
        if response.status == 200 and answer is not None:
            return answer
        name = str((answer or {}).get("__type", "")).rpartition("#")[2]
        if 300 <= response.status < 500 and name not in _TRANSIENT:
            # Without a name here: it knows this frame, and no connection would be freed at once.
            raise self._refusal(
                OperationRefused(self._name, operation, response.status, name), answer
            )
        raise ServiceUnavailable(f"{self._name}, {operation}: {response.status} {name}")

    def _refusal(
        self, refused: OperationRefused, _answer: Mapping[str, Any] | None
    ) -> PortcullisError:
        """Return what a refusal means to the caller; services that tell more say so here."""
        return refused


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
