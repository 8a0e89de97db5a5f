"""MiniStack as a process of its own, on 127.0.0.1, with the services a test names."""

from __future__ import annotations

import os
from typing import Any

import boto3

from deployment.local_emulator import REGION, LocalEmulator


class Emulator(LocalEmulator):
    """A running emulator. What it holds is in memory, and ends with it."""

    def __init__(self, *services: str) -> None:
        """``services`` are MiniStack's names for them."""
        super().__init__(os.environ, services=services)

    @property
    def url(self) -> str:
        return self.endpoint_url

    def client(self, service: str) -> Any:
        """Return boto3's client of a service, which a person or a deployment would use."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service, endpoint_url=self.endpoint_url, region_name=REGION
            )
        return self._clients[service]
