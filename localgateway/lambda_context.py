"""The context object a Lambda function gets beside its event."""

from __future__ import annotations

import time
import uuid
from functools import cached_property


class LambdaContext:
    """As https://docs.aws.amazon.com/lambda/latest/dg/python-context.html describes it.

    Chalice's own makes a random id for each invocation, which is 4 % of what a message costs here;
    this one makes it for those who ask.
    """

    function_version = "$LATEST"
    log_group_name = ""
    log_stream_name = ""
    identity = None
    client_context = None

    def __init__(self, function_name: str, memory_limit_in_mb: int, seconds: float) -> None:
        """``seconds`` is how long the function may take from now."""
        self.function_name = function_name
        self.memory_limit_in_mb = memory_limit_in_mb
        self._deadline = time.monotonic() + seconds

    @property
    def invoked_function_arn(self) -> str:
        """The function's ARN, region and account being those of every local event."""
        return f"arn:aws:lambda:us-east-1:123456789012:function:{self.function_name}"

    @cached_property
    def aws_request_id(self) -> str:
        """The invocation's id."""
        return str(uuid.uuid4())

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left; negative once the time is over."""
        return int((self._deadline - time.monotonic()) * 1000)
