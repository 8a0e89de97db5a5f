"""Waits where API Gateway asks to come again later."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

# Long enough for one deployment in five seconds, the account's limit, which the HTTP API shares:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Patient:
    """A boto3 client whose calls are repeated when they came too soon or too many."""

    client: Any
    sleep: Callable[[float], None] = time.sleep

    def __getattr__(self, name: str) -> Any:
        """Return the client's operation, or what else it has under this name."""
        found = getattr(self.client, name)
        if name == "exceptions" or not callable(found):
            return found
        return lambda **parameters: self._call(found, parameters)

    def _call(self, operation: Callable[..., Any], parameters: dict[str, Any]) -> Any:
        for delay in DELAYS:
            try:
                return operation(**parameters)
            except ClientError as error:
                if not _passes(error):
                    raise
            self.sleep(delay)
        return operation(**parameters)


def _passes(error: ClientError) -> bool:
    """Whether the same call can succeed later. A conflict may also be one that stays."""
    answer = error.response["Error"]
    if answer["Code"] == "ConflictException":
        return "concurrent modification" in str(answer.get("Message", ""))
    return bool(answer["Code"] == "TooManyRequestsException")
