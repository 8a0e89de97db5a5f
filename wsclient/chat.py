"""The conversation: frames as they come, lines as they are typed."""

from __future__ import annotations

from wsclient.chat_lines import Address, Quit, Say, Send, SendRaw, meaning
from wsclient.errors import Closed
from wsclient.printing import Printer
from wsclient.session import Session
from wsclient.terminal import Terminal
from wsclient.words import printable


class Chat:
    """Runs until the person ends it or the session does."""

    def __init__(
        self, session: Session, terminal: Terminal, printer: Printer, audience: str
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._printer = printer
        self._audience = audience

    def run(self, keyboard: int) -> None:
        """Return at Ctrl-D or /quit; raises what ends the session."""
        self._address(self._audience)
        with self._terminal:
            if self._session.is_open:
                self._terminal.above("wsclient: connected. /help lists commands, Ctrl-D ends.")
            while not self._terminal.editor.ended:
                frame = self._session.receive(None, wake=keyboard)
                if frame is not None:
                    self._terminal.above(self._printer.line(frame))
                elif not all(map(self._do, self._terminal.read())):
                    return  # lines after /quit are not carried out

    def _do(self, line: str) -> bool:
        """Carry out a line; return whether the chat goes on."""
        wanted = meaning(line, self._audience) if line.strip() else Say(())
        if isinstance(wanted, Quit):
            return False
        if isinstance(wanted, Address):
            self._address(wanted.audience)
        elif isinstance(wanted, Say):
            self._terminal.above(*wanted.lines)
        else:
            self._send(wanted)
        return True

    def _send(self, wanted: Send | SendRaw) -> None:
        if not self._session.is_open:
            self._terminal.above("not sent: not connected at the moment.")
            return
        try:
            if isinstance(wanted, Send):
                self._session.request(wanted.action, **wanted.fields)
            else:
                self._session.send(wanted.frame)
        except Closed as error:
            self._session.lost(error)

    def _address(self, audience: str) -> None:
        self._audience = audience
        shown = printable(audience)
        self._terminal.prompt = "> " if audience == "everyone" else f"{shown}> "
        self._terminal.redraw()
