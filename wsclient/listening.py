"""Frames for a script, as they come."""

from __future__ import annotations

from collections.abc import Callable

from wsclient.errors import ExitCode
from wsclient.protocol import Frame
from wsclient.session import Session


def listen(
    session: Session,
    show: Callable[[Frame], None],
    *,
    count: int | None,
    seconds: float | None,
    clock: Callable[[], float],
) -> ExitCode:
    """Show frames until so many were shown or so long has passed; without either, for ever."""
    deadline = None if seconds is None else clock() + seconds
    shown = 0
    while count is None or shown < count:
        left = None if deadline is None else max(0.0, deadline - clock())
        frame = session.receive(left)
        if frame is not None:
            show(frame)
            shown += 1
        elif deadline is not None and clock() >= deadline:
            return ExitCode.OK if count is None else ExitCode.NO_ANSWER
    return ExitCode.OK
