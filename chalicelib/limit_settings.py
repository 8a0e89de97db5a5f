"""What can be set about how much one principal may do at once; 0 is no limit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chalicelib.environment import Reader
from chalicelib.rates import Rate

# Each credential of theirs names somebody. A ticket names whoever asked for it, with a credential
# of one of the others; a shared token and request parameters are the same for all who have them.
_OF_INDIVIDUALS = frozenset({"jwt", "api_key", "ticket"})
# A person with many tabs on several devices, whose lost connections are counted until they expire;
# a client that sends a position many times a second.
_CONNECTIONS = 50
_RATE = 50


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Of one principal, whoever it is."""

    max_connections: int = 0
    """That one principal has open at once."""
    rate: Rate | None = None
    """Of the messages of one principal."""


def are_individuals(authenticators: Iterable[str]) -> bool:
    """Tell whether whoever these let in is a principal of its own, so that limits hurt nobody else.

    One that is not known here may let in all as one.
    """
    return _OF_INDIVIDUALS.issuperset(authenticators)


def read_limits(reader: Reader, authenticators: Iterable[str]) -> LimitSettings:
    """Read the variables; what is wrong with them the reader keeps.

    Without them there are limits where all principals are individuals, else none: with a shared
    token all clients are one principal.
    """
    is_on = are_individuals(authenticators)
    per_second = reader.count("MESSAGE_RATE", _RATE if is_on else 0, least=0, most=1000)
    burst = reader.count("MESSAGE_BURST", max(1, 2 * per_second), most=10_000)
    default = _CONNECTIONS if is_on else 0
    return LimitSettings(
        max_connections=reader.count(
            "MAX_CONNECTIONS_PER_PRINCIPAL", default, least=0, most=10_000
        ),
        rate=Rate(per_second, burst) if per_second else None,
    )
