"""MiniStack as a process of its own, on 127.0.0.1, with the services a test names."""

from __future__ import annotations

import os

from deployment.local_emulator import LocalEmulator


class Emulator(LocalEmulator):
    """A running emulator. What it holds is in memory, and ends with it."""

    def __init__(self, *services: str) -> None:
        """``services`` are MiniStack's names for them."""
        super().__init__(os.environ, services=services)

    @property
    def url(self) -> str:
        return self.endpoint_url
