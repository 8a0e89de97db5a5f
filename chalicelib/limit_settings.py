"""What can be set about how much one principal may do at once; 0 is no limit."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.environment import Reader
from chalicelib.rates import Rate


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """None is set by default: with a shared token all clients are one principal."""

    max_connections: int = 0
    """That one principal has open at once."""
    rate: Rate | None = None
    """Of the messages of one principal."""


def read_limits(reader: Reader) -> LimitSettings:
    """Read the variables; what is wrong with them the reader keeps."""
    per_second = reader.count("MESSAGE_RATE", 0, least=0, most=1000)
    burst = reader.count("MESSAGE_BURST", max(1, 2 * per_second), most=10_000)
    return LimitSettings(
        max_connections=reader.count("MAX_CONNECTIONS_PER_PRINCIPAL", 0, least=0, most=10_000),
        rate=Rate(per_second, burst) if per_second else None,
    )
