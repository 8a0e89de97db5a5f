"""What a run can be told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parameters:
    """How much is measured; in frames ``$id`` stands for what the answer must hold."""

    connections: int = 300
    in_flight: int = 100
    """Handshakes at once."""
    seconds: float = 3.0
    """How long each echo figure is measured."""
    echo_connections: tuple[int, ...] = (1, 50)
    audiences: tuple[int, ...] = (200, 1000)
    rounds: int = 5
    """Broadcasts to each audience."""
    idle: int = 1000
    cold_starts: int = 15
    """Fresh processes for each figure."""
    repeat: int = 3
    echo_frame: str = '{"action":"ping","id":"$id"}'
    broadcast_frame: str = '{"action":"sendmessage","message":"$id"}'
