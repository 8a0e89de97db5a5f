"""DynamoDB's JSON protocol, by signed calls of our own. What is stored is said elsewhere."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.aws import Caller
from chalicelib.backoff import Backoff
from chalicelib.errors import (
    ConditionFailed,
    ConfigurationError,
    PortcullisError,
    ServiceUnavailable,
)
from chalicelib.http1 import Response

Item = Mapping[str, Mapping[str, Any]]

# BatchWriteItem takes no more.
_BATCH = 25
_TRANSIENT = frozenset(
    {
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
    }
)


_PASSING_REASONS = frozenset(
    {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)

_to_json = json.JSONEncoder(separators=(",", ":")).encode


class TransactionRefused(ConditionFailed):
    """A transaction has written nothing; ``refused`` are the places of the items that forbade it.

    A transaction that is repeated because its answer was lost may be refused by what it wrote.
    """

    def __init__(self, problem: str, refused: frozenset[int]) -> None:
        super().__init__(problem)
        self.refused = refused


class DynamoDB:
    """DynamoDB's JSON protocol, with retries of what may pass."""

    def __init__(self, client: Caller, backoff: Backoff) -> None:
        self._client = client
        self._backoff = backoff

    def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to an operation that may be repeated.

        Raises ServiceUnavailable past the deadline, ConfigurationError for what no retry mends,
        ConditionFailed where the operation has a condition that does not hold.
        """
        headers = {
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": f"DynamoDB_20120810.{operation}",
        }
        body = _to_json(payload).encode()
        problem = ServiceUnavailable(f"DynamoDB: no time for {operation}")
        for _ in self._backoff.attempts():
            try:
                return _answer(operation, self._client.call("POST", "/", body, headers))
            except ServiceUnavailable as error:
                problem = error
        raise problem

    def write(self, table: str, requests: Sequence[Mapping[str, Any]]) -> None:
        """Write and delete any number of items, in no order; raises as ``call`` does."""
        for start in range(0, len(requests), _BATCH):
            self._write_batch(table, requests[start : start + _BATCH])

    def _write_batch(self, table: str, requests: Sequence[Mapping[str, Any]]) -> None:
        for _ in self._backoff.attempts():
            answer = self.call("BatchWriteItem", {"RequestItems": {table: requests}})
            requests = answer.get("UnprocessedItems", {}).get(table, [])
            if not requests:
                return
        raise ServiceUnavailable(f"DynamoDB left {len(requests)} items unprocessed")


def _answer(operation: str, response: Response) -> dict[str, Any]:
    answer = _json_object(response.body)
    if response.status == 200 and answer is not None:
        return answer
    # The type only: DynamoDB's messages may repeat the values they are about.
    name = str((answer or {}).get("__type", "")).rpartition("#")[2]
    problem = f"DynamoDB, {operation}: {response.status} {name}"
    if name == "ConditionalCheckFailedException":
        raise ConditionFailed(problem)
    if name == "TransactionCanceledException":
        raise _cancelled(problem, answer or {})
    if 300 <= response.status < 500 and name not in _TRANSIENT:
        raise ConfigurationError(problem)
    raise ServiceUnavailable(problem)


def _cancelled(problem: str, answer: Mapping[str, Any]) -> PortcullisError:
    """A transaction is refused as a whole; its reasons are in the order of its items."""
    codes = [str(reason.get("Code")) for reason in answer.get("CancellationReasons") or ()]
    refused = frozenset(
        place for place, code in enumerate(codes) if code == "ConditionalCheckFailed"
    )
    if refused:
        return TransactionRefused(problem, refused)
    if codes and set(codes) <= _PASSING_REASONS:
        return ServiceUnavailable(f"{problem} {codes}")
    return ConfigurationError(f"{problem} {codes}")


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
