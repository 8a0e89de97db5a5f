"""DynamoDB's operations, by signed calls of our own. What is stored is said elsewhere."""

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
from chalicelib.json_protocol import JsonService, OperationRefused

Item = Mapping[str, Mapping[str, Any]]

# BatchWriteItem takes no more.
_BATCH = 25
_PASSING_REASONS = frozenset(
    {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)


class TransactionRefused(ConditionFailed):
    """A transaction has written nothing; ``refused`` are the places of the items that forbade it.

    A transaction that is repeated because its answer was lost may be refused by what it wrote.
    """

    def __init__(self, problem: str, refused: frozenset[int]) -> None:
        super().__init__(problem)
        self.refused = refused


class DynamoDB(JsonService):
    """DynamoDB's operations, with retries of what may pass.

    Beside what any service raises, ConditionFailed where a condition does not hold.
    """

    def __init__(self, client: Caller, backoff: Backoff) -> None:
        super().__init__(
            client, backoff, name="DynamoDB", target="DynamoDB_20120810", version="1.0"
        )

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

    def _refusal(
        self, refused: OperationRefused, answer: Mapping[str, Any] | None
    ) -> PortcullisError:
        if refused.name == "ConditionalCheckFailedException":
            return ConditionFailed(str(refused))
        if refused.name == "TransactionCanceledException":
            return _cancelled(str(refused), answer or {})
        return refused


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
