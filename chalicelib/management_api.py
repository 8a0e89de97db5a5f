"""The ``@connections`` API of API Gateway, by signed calls of our own.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import cast
from urllib.parse import quote

from chalicelib.aws import BulkCaller
from chalicelib.broadcast import ConnectionStatus, Outcome, Posted
from chalicelib.connections import Member
from chalicelib.errors import (
    ConfigurationError,
    ConnectionGone,
    LimitExceeded,
    NotAConnectionId,
    PayloadTooLarge,
    PortcullisError,
    ServiceUnavailable,
)
from chalicelib.exchanges import NoAnswer, Repeated
from chalicelib.http1 import Response

_OUTCOMES = {410: Outcome.GONE, 429: Outcome.SLOW}

_logger = logging.getLogger(__name__)


def management_endpoint(api_id: str, stage: str, region: str, emulator: str | None = None) -> str:
    """Return where a stage's connections are managed: on AWS, or below an emulator's one URL.

    Never made of an event's domain name: a custom domain may map the stage to another path.
    """
    if emulator is not None:
        return f"{emulator.rstrip('/')}/_aws/execute-api/{api_id}/{stage}"
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{api_id}.execute-api.{region}.{suffix}/{stage}"


class APIGatewayManagementAPI:
    """The ManagementAPI that ships; the client's endpoint is the stage's."""

    def __init__(self, client: BulkCaller) -> None:
        self._client = client

    def post_to_connection(self, connection_id: str, data: bytes) -> None:
        """Send one text frame."""
        self._call("POST", connection_id, data)

    def post_to_members(
        self,
        members: Iterable[Member | None],
        data: bytes,
        budget: float,
        rate: float | None = None,
    ) -> Iterator[Posted]:
        """Send one text frame to each, many at once; what fails is logged, by its cause."""
        problems: Counter[str] = Counter()
        for member, answer in self._client.post_each(members, _path_of, data, budget, rate):
            is_repeated = isinstance(answer, Repeated)
            result = answer.result if isinstance(answer, Repeated) else answer
            outcome = _outcome(result)
            if outcome is Outcome.FAILED:
                problems[_cause(result)] += 1
            yield Posted(member, outcome, is_repeated)
        if problems:
            _logger.warning("posts that failed: %s", json.dumps(problems))

    def get_connection(self, connection_id: str) -> ConnectionStatus:
        """Return what API Gateway knows of a connection."""
        response = self._call("GET", connection_id)
        try:
            return cast(ConnectionStatus, json.loads(response.body))
        except ValueError as error:
            raise ServiceUnavailable("management API: the answer is not JSON") from error

    def delete_connection(self, connection_id: str) -> None:
        """Close a connection."""
        self._call("DELETE", connection_id)

    def _call(self, method: str, connection_id: str, data: bytes = b"") -> Response:
        response = self._client.call(method, _path(connection_id), data)
        if response.status >= 300:
            raise _error(response.status, connection_id)
        return response


def _path(connection_id: str) -> str:
    return f"/@connections/{quote(connection_id, safe='')}"


def _path_of(member: Member) -> str:
    return _path(member.connection_id)


def _outcome(result: Response | NoAnswer) -> Outcome:
    if isinstance(result, NoAnswer):
        return Outcome.DEFERRED if result.deferred else Outcome.FAILED
    if result.status < 300:
        return Outcome.DELIVERED
    return _OUTCOMES.get(result.status, Outcome.FAILED)


def _cause(result: Response | NoAnswer) -> str:
    return result.reason if isinstance(result, NoAnswer) else str(result.status)


def _error(status: int, connection_id: str) -> PortcullisError:
    if status == 410:
        return ConnectionGone(connection_id)
    if status == 413:
        return PayloadTooLarge("management API: 413")
    if status == 429:
        return LimitExceeded("management API: 429")
    if status >= 500:
        return ServiceUnavailable(f"management API: {status}")
    if status == 400:
        return NotAConnectionId("management API: 400")
    # 403 is a wrong stage, host or role, 3xx not this API at all.
    return ConfigurationError(f"management API: {status}")
