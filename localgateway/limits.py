"""API Gateway's quotas for WebSocket APIs, each of which a test may shorten."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from localgateway.errors import StartError


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds. Sources: quota tables of the developer guide."""

    message_size: int = 128 * 1024
    frame_size: int = 32 * 1024
    idle_timeout: float = 600.0
    """Without a message in either direction. A ping does not count; on AWS that is not known."""
    max_duration: float = 7200.0
    """Of a connection."""
    connects_per_second: float | None = None
    """AWS: 500 an account and region. None: no limit."""
    requests_per_second: float | None = None
    """Messages, and calls of the management API, together. AWS: 10,000. None: no limit."""
    request_burst: int = 5000
    """Requests beyond the rate that are taken at once."""
    url_length: int = 4096
    header_size: int = 10_240
    """Request line and headers together; the quota is the one of REST and HTTP APIs."""
    request_body_size: int = 10 * 1024 * 1024
    """Of an HTTP request; the payload quota of REST APIs."""
    integration_timeout: float = 29.0
    handshake_timeout: float = 30.0
    """Until a whole request has arrived. AWS's own is not known."""
    close_timeout: float = 5.0
    """Until a client has answered our close frame. AWS's own is not known."""
    client_buffer: int = 1024 * 1024
    """Unread by a client before a post to it is refused with 429. AWS's own is not known."""
    messages_in_flight: int = 128
    """Of one connection, before its socket is no longer read."""
    queue_concurrency: int = 5
    """Batches a function works at once that has no maximum concurrency. Lambda begins with five."""

    @classmethod
    def parse(cls, settings: Iterable[str]) -> Limits:
        """Read ``NAME=NUMBER`` settings; raises ``StartError`` that names the limits there are."""
        limits = cls()
        known = {part.name: type(getattr(limits, part.name)) for part in fields(cls)}
        for setting in settings:
            name, _, number = setting.partition("=")
            try:
                value = int(number) if known[name] is int else float(number)
                if not 0 < value < math.inf:
                    raise ValueError("not a positive number")
            except (KeyError, ValueError) as error:
                names = ", ".join(sorted(known))
                raise StartError(f"limit {setting!r}: write NAME=NUMBER of {names}") from error
            change: dict[str, Any] = {name: value}
            limits = replace(limits, **change)
        return limits
