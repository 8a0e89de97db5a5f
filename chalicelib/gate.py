"""What each message must pass: its connection still lives, and its principal is not too fast."""

from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.connections import Connection, ConnectionRepository
from chalicelib.endings import Closing, Ended, closing_of
from chalicelib.errors import ClientError
from chalicelib.rates import RateLimiter

# So many messages sent in spite of as many refusals, without a pause: this client does not listen.
MOST_REFUSALS = 20


@dataclass(frozen=True, slots=True)
class Gate:
    """One read for each message, and one more read and write where the rate is limited."""

    connections: ConnectionRepository
    limiter: RateLimiter | None
    now: Callable[[], float]

    def admit(self, connection_id: str, principal_id: str) -> Connection:
        """Return the connection as it is now; raises Ended, or ClientError to slow down.

        What the authorizer said when it was opened may have ended, or have been renewed, since.
        """
        now = self.now()
        connection = self.connections.get(connection_id, -1)
        if connection is None:  # its items may be gone before API Gateway has closed it
            raise Ended(Closing.EXPIRED)
        if connection.expires_at <= now:
            raise Ended(closing_of(connection.expires_at))
        if self.limiter is not None:
            self._limit(self.limiter, principal_id, now)
        return connection

    def _limit(self, limiter: RateLimiter, principal_id: str, now: float) -> None:
        verdict = limiter.check(principal_id, now)
        if verdict.refusals >= MOST_REFUSALS:
            raise Ended(Closing.TOO_FAST)
        if verdict.refusals:
            wait = {"retryAfter": verdict.retry_after}
            raise ClientError("rate_limited", "Too many messages: wait before the next.", wait)
