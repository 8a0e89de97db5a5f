"""What can go wrong in the gateway, named by what its caller can do about it.

* GatewayError
    * StartError           the project, the port or the database is wrong: say it in one line, stop
    * HandshakeRefused     answer the upgrade with an HTTP status instead of 101
    * FunctionError        a function raised, or answered with what JSON cannot say
        * FunctionTimedOut a function took longer than the integration may
    * IntegrationFailed    send the client an error frame; the connection stays open
    * QueueCallFailed      an engine refused a call to a queue, or did not answer: try again later
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of all errors of the gateway."""


class StartError(GatewayError):
    """The gateway cannot start as it was asked to; the message says what to change."""


class HandshakeRefused(GatewayError):
    """A connection may not be opened."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message


class FunctionError(GatewayError):
    """A function failed; ``message`` is what Lambda would report as ``errorMessage``."""

    def __init__(self, function: str, message: str, error_type: str = "") -> None:
        super().__init__(f"{function}: {message}")
        self.message = message
        self.error_type = error_type


class FunctionTimedOut(FunctionError):
    """A function is still running after the integration's time limit."""


class IntegrationFailed(GatewayError):
    """A route could not be carried out; the text is what AWS tells the client."""


class QueueCallFailed(GatewayError):
    """A queue could not be used; ``code`` is SQS's name of the error, empty without an answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
