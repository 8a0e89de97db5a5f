"""What can go wrong, named by what a script can do about it: each has an exit code of its own.

* ClientError
    * RequestFailed    the server answered a request with an error              1
    * WrongInput       what the user said cannot be used                        2
    * Refused          the handshake was answered 401 or 403                    3
    * CannotConnect    no connection: unreachable, no TLS, any other status     4
    * Closed           the server ended the connection, or it was lost          5
    * NoAnswer         nothing came in time                                     6
    * OutputFailed     what is printed cannot be written                       74
    * OutputGone       the reader of the output has gone                      141
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What scripts see; docs/client.md is its table."""

    OK = 0
    ERROR_ANSWERED = 1
    USAGE = 2
    REFUSED = 3
    CANNOT_CONNECT = 4
    CLOSED = 5
    NO_ANSWER = 6
    OUTPUT_FAILED = 74
    """As on a full disk: EX_IOERR of sysexits.h."""
    INTERRUPTED = 130
    """128 and the number of the signal, as shells count: Ctrl-C."""
    BROKEN_PIPE = 141
    """The reader of the output has gone."""
    TERMINATED = 143
    """SIGTERM, which is what `kill` and `timeout` send."""


class ClientError(Exception):
    """Base of all errors; the text is for people and holds no secret."""

    exit_code = ExitCode.ERROR_ANSWERED


class RequestFailed(ClientError):
    """A request was answered with an error, whose ``code`` is stable."""

    def __init__(self, what: str, code: str, message: str) -> None:
        super().__init__(f"{what}: {code}: {message}" if code else f"{what}: {message}")
        self.code = code


class WrongInput(ClientError):
    """Told apart from the server's errors: nothing of it was sent."""

    exit_code = ExitCode.USAGE


class Refused(ClientError):
    """Trying again with the same credential is of no use."""

    exit_code = ExitCode.REFUSED


class CannotConnect(ClientError):
    """Trying again later may be of use."""

    exit_code = ExitCode.CANNOT_CONNECT


class Closed(ClientError):
    """The connection is over; ``code`` is RFC 6455's, or that of a ``closing`` frame."""

    exit_code = ExitCode.CLOSED

    def __init__(self, text: str, code: int, reason: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.reason = reason


class NoAnswer(ClientError):
    """The server may have done what was asked, or not."""

    exit_code = ExitCode.NO_ANSWER


class OutputFailed(ClientError):
    """Told apart from the server's errors: it may have done what was asked."""

    exit_code = ExitCode.OUTPUT_FAILED


class OutputGone(ClientError):
    """Nobody is left to tell."""

    exit_code = ExitCode.BROKEN_PIPE
