"""Somebody who follows the documentation: a checkout, a shell, and an emulator in place of AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType

from deployment.local_emulator import REGION, LocalEmulator
from tests.documents import checkout
from tests.documents.commands import Command
from tests.documents.terminal import Ran, Terminal

ACCOUNT_ID = "000000000000"
BUCKET = "readers-bucket"


Claim = Callable[[Ran, str], bool]
"""Says whether a comment is right about a command, given what the same one showed before."""


def ends_well(ran: Ran, _before: str) -> bool:
    """Claim what goes without saying."""
    return ran.code == 0


class Reader:
    """Pastes commands one after another, and fails where one does not end as the page says."""

    def __init__(self, emulator: LocalEmulator, directory: Path) -> None:
        self.emulator = emulator
        self.checkout = checkout.copy(directory)
        self.environ = checkout.environ(emulator, directory)
        self.terminal = self.open()
        self._outputs: dict[str, str] = {}

    def open(self) -> Terminal:
        """Open one more terminal in the checkout."""
        return Terminal(self.checkout, self.environ)

    def paste(self, command: Command) -> Ran:
        """Run a command, with what the reader has in place of its placeholders."""
        text = checkout.filled(command.text, self.placeholders())
        if text.startswith("npx wscat"):
            return wscat(self.terminal, text, command.typed)
        assert not command.typed
        return self.terminal.run(text)

    def follow(self, commands: Iterable[Command], claims: Mapping[str, Claim]) -> None:
        """Run commands in their order; each ends with 0, or as the comment behind it claims."""
        for command in commands:
            before = self._outputs.get(command.text, "")
            ran = self.paste(command)
            claim = claims[command.comment] if command.comment else ends_well
            assert claim(ran, before), f"{command} ended with {ran.code}: {ran.output}"
            self._outputs[command.text] = ran.output

    def shown(self, command: Command) -> str:
        """Return what a command has shown when it was last followed."""
        return self._outputs[command.text]

    def value(self, variable: str) -> str:
        """Return what a variable of the shell holds."""
        return self.terminal.run(f"echo ${variable}").output.strip()

    def api_id(self) -> str | None:
        """Return the id of the WebSocket API, once it is deployed."""
        record = self.checkout / ".chalice" / "deployed" / "dev.json"
        resources = json.loads(record.read_text())["resources"] if record.exists() else []
        return next((it["websocket_api_id"] for it in resources if "websocket_api_id" in it), None)

    def placeholders(self) -> dict[str, str]:
        """Return what stands for a word in capitals, as far as the reader knows it yet."""
        known = {"ACCOUNT_ID": ACCOUNT_ID, "REGION.": f"{REGION}.", "YOUR_BUCKET": BUCKET}
        return known if (api_id := self.api_id()) is None else {**known, "API_ID": api_id}

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.terminal.__exit__(kind, error, traceback)


def wscat(terminal: Terminal, command: str, typed: Iterable[str] = ()) -> Ran:
    """Connect, type, see each line answered, and end with Ctrl-C; or be refused."""
    terminal.paste(command)
    # The first of all may be fetched.
    shown = terminal.wait_for(r"Connected|error: .*\n", 600)
    if "Connected" not in shown:
        return terminal.prompt()
    for line in typed:
        shown += say(terminal, line)
    terminal.press("\x03")
    return Ran(0, shown + terminal.prompt().output)


def say(terminal: Terminal, line: str) -> str:
    """Type a line to the client that runs there; return what was shown until it is answered."""
    terminal.paste(line)
    return terminal.wait_for(r'"type":\s*"(reply|error)".*\n')
