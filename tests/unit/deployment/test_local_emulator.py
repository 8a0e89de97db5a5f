"""The emulator gets the port it was promised."""

import os
import sys

import pytest

from deployment.local_emulator import EmulatorFailed, LocalEmulator

SOMEBODY_ELSE = """
import os, socket
socket.socket().bind(("127.0.0.1", int(os.environ["GATEWAY_PORT"])))
"""

if sys.platform == "linux":

    def test_nobody_else_gets_its_port_while_it_starts() -> None:
        with pytest.raises(EmulatorFailed, match="Address already in use"):
            LocalEmulator(os.environ, program=("-c", SOMEBODY_ELSE))
