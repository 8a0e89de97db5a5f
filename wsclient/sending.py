"""Messages from a script: each waits for its answer, so they arrive in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from wsclient.errors import ExitCode, WrongInput
from wsclient.protocol import Frame, is_error
from wsclient.session import Session

Show = Callable[[Frame], None]


def send_message(session: Session, message: str, audience: str, show: Show) -> ExitCode:
    """Send a message and show its answer."""
    answer = session.ask("sendmessage", message=message, to=audience)
    show(answer)
    return ExitCode.ERROR_ANSWERED if is_error(answer) else ExitCode.OK


def send_lines(
    session: Session,
    lines: Iterable[bytes],
    audience: str,
    show: Show,
    progress: Callable[[int], None],
) -> ExitCode:
    """Send each line but empty ones; ``progress`` is told of bytes. An error does not end it."""
    outcome = ExitCode.OK
    for number, line in enumerate(lines, start=1):
        message = _decoded(line.removesuffix(b"\r"), number)
        if message:
            outcome = max(outcome, send_message(session, message, audience, show))
        progress(len(line) + 1)
    return outcome


def read_lines(descriptor: int, wait: Callable[[int], None]) -> Iterator[bytes]:
    """Yield lines as they come; ``wait`` returns once the descriptor can be read."""
    rest = b""
    while True:
        wait(descriptor)
        data = os.read(descriptor, 65_536)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
    if rest:
        yield rest


def wait_on(session: Session) -> Callable[[int], None]:
    """Return what waits for a descriptor while the session is kept and its frames are read."""

    def wait(descriptor: int) -> None:
        while session.receive(None, wake=descriptor) is not None:
            pass  # not an answer to anything

    return wait


def _decoded(line: bytes, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise WrongInput(f"line {number} is not UTF-8; the lines before it were sent") from None
