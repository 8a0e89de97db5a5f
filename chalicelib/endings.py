"""Why connections are closed, in words for their clients: API Gateway itself always says 1000."""

from enum import Enum

from chalicelib.connections import REVOKED
from chalicelib.errors import ClientError
from chalicelib.frames import encode


class Closing(Enum):
    """The code and reason of the last message."""

    EXPIRED = 4401, "expired"
    REVOKED = 4403, "revoked"
    DISCONNECTED = 4410, "disconnected"
    TOO_FAST = 4429, "rate_limited"

    @property
    def reason(self) -> str:
        """Return a stable text, which is also the code of the error before it."""
        return self.value[1]

    def frame(self) -> bytes:
        """Return the last message."""
        code, reason = self.value
        return encode({"type": "closing", "code": code, "reason": reason})


class Ended(ClientError):
    """The sender is told this error, then why its connection is closed."""

    def __init__(self, closing: Closing) -> None:
        super().__init__(closing.reason, _MESSAGES[closing])
        self.closing = closing


def closing_of(expires_at: int) -> Closing:
    """Tell why a connection that has expired is closed."""
    return Closing.REVOKED if expires_at == REVOKED else Closing.EXPIRED


_MESSAGES = {
    Closing.EXPIRED: "This connection has expired.",
    Closing.REVOKED: "This principal is revoked.",
    Closing.DISCONNECTED: "An operator has closed this connection.",
    Closing.TOO_FAST: "Too many messages in spite of many refusals.",
}
