"""What can go wrong, named by what the caller can do about it.

* PortcullisError
    * ConfigurationError    the deployment is wrong; fail at first use and have it mended
        * NotAConnectionId  an id that never was one (400), or what else API Gateway cannot read
    * UnexpectedEvent       an event is not of the shape AWS documents; let it fail, admit nobody
    * Unauthorized          no credentials, or bad ones; refuse the request (401)
    * Forbidden             a known principal that may not do this; refuse the request (403)
    * ClientError           the sender's fault; tell it the code, keep the connection
    * ConnectionGone        the peer has left (410); forget the connection
    * PayloadTooLarge       over the 128 KiB the management API takes (413); send less
    * LimitExceeded         too fast for the receiver or the account (429); slow down
    * ConditionFailed       the item is not as it was expected to be; somebody else was first
    * JobBusy               another worker has this part of a job; come back later
    * ServiceUnavailable    AWS did not answer, or not in time; try again later
"""

import collections.abc


class PortcullisError(Exception):
    """Base of all errors raised by what ships."""


class ConfigurationError(PortcullisError):
    """The deployment is wrong."""


class NotAConnectionId(ConfigurationError):
    """API Gateway cannot make anything of a call that names a connection.

    A fault of ours, unless the id came from somebody who may be wrong.
    """


class UnexpectedEvent(PortcullisError):
    """The event is not of the shape AWS documents."""


class Unauthorized(PortcullisError):
    """The request is refused; ``reason`` is a stable code that holds nothing of the request."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Forbidden(PortcullisError):
    """The principal is known and refused; ``reason`` is a stable code, as in Unauthorized."""

    def __init__(self, reason: str, principal_id: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.principal_id = principal_id


class ClientError(PortcullisError):
    """The sender's fault; ``code`` is stable, ``message`` is for people, ``details`` for programs.

    ``reason`` is for the log, where that may say more than a client is told.
    """

    def __init__(
        self,
        code: str,
        message: str,
        details: collections.abc.Mapping[str, object] | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details or {}
        self.reason = reason or code


class ConnectionGone(PortcullisError):
    """The peer has left, or its handshake has not finished yet."""

    def __init__(self, connection_id: str) -> None:
        super().__init__(connection_id)
        self.connection_id = connection_id


class PayloadTooLarge(PortcullisError):
    """The payload is over the 128 KiB the management API takes."""


class LimitExceeded(PortcullisError):
    """The receiver's buffer is full, or the account sends too fast."""


class ConditionFailed(PortcullisError):
    """A conditional write has written nothing."""


class JobBusy(PortcullisError):
    """Another worker has this part of a job, or has taken it over."""


class ServiceUnavailable(PortcullisError):
    """AWS did not answer, or not in time."""
