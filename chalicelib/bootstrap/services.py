"""What handlers use. A function pays for the import of what it asks for, and for no more."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.authorizers.ticket import TicketAuthenticator
from chalicelib.settings import required

if TYPE_CHECKING:
    from chalicelib.arrivals import Arrivals
    from chalicelib.authorizers import Authenticator, Principal
    from chalicelib.authorizers.ticket import TicketStore
    from chalicelib.broadcast import ManagementAPI, Report, Sending
    from chalicelib.closing import Closer
    from chalicelib.connections import Audience, ConnectionRepository
    from chalicelib.delivery_settings import DeliverySettings
    from chalicelib.gate import Gate
    from chalicelib.http_connections import Operator
    from chalicelib.http_keys import KeyKeeper
    from chalicelib.http_publishing import Publisher
    from chalicelib.idempotency import IdempotencyStore
    from chalicelib.jobs import JobQueue, JobStore, TaskQueue, Worker
    from chalicelib.limit_settings import LimitSettings
    from chalicelib.managed_keys import ManagedKeys
    from chalicelib.messages import Broadcast, Policies, Router
    from chalicelib.rates import RateStore
    from chalicelib.renewal import Renewal
    from chalicelib.revocation import RevocationStore, Revoker
    from chalicelib.scopes import Scopes
    from chalicelib.sweep import Sweep

# The rest is for the answer to the sender, which may take all the time a connection and a post may.
BROADCAST_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a handler may use; what only some functions need is built when asked for."""

    authenticators: Callable[[], Sequence[Authenticator]]
    allowed_origins: Collection[str] | None
    tickets: TicketStore
    keys: ManagedKeys | None
    """None where no key is taken."""
    connections: ConnectionRepository
    management_api: Callable[[str, str], ManagementAPI]
    """By API id and stage."""
    executor: Executor
    now: Callable[[], float]
    """Seconds since the epoch."""
    connection_ttl: int
    """Seconds."""
    default_scopes: Scopes
    policies: Callable[[], Policies | None]
    delivery: DeliverySettings
    limits: LimitSettings
    report: Report
    revocations: RevocationStore
    rates: RateStore
    job_store: Callable[[], JobStore]
    queue: TaskQueue | None
    """None where no queue is set."""

    idempotency: IdempotencyStore
    table_answers: Callable[[], bool]
    websocket_api: Callable[[], tuple[str, str]]
    """API id and stage, for functions that no event of the WebSocket API tells them."""

    def bearer_authenticators(self) -> Sequence[Authenticator]:
        """Return those for HTTP, whose TOKEN authorizer sees the Authorization header alone."""
        found = (authenticator.as_bearer() for authenticator in self.authenticators())
        return tuple(authenticator for authenticator in found if authenticator is not None)

    def request_authenticators(self) -> Sequence[Authenticator]:
        """Return those for HTTP where its authorizer sees whole requests.

        A ticket opens a connection and nothing else.
        """
        return tuple(it for it in self.authenticators() if not isinstance(it, TicketAuthenticator))

    def router(self, api_id: str, stage: str, budget: float) -> Router:
        """Return what carries out the messages of one stage, within ``budget`` seconds each."""
        from chalicelib.messages import Router

        return Router(
            self._gate(),
            self._renewal().renew,
            self.connections,
            self._broadcast(api_id, stage, budget),
            self.now,
            secrets.randbits,
            self.default_scopes,
            self.delivery.max_channels,
            self.policies(),
        )

    def keeps_out(self, principal: Principal) -> bool:
        """Tell whether the credential that showed this principal is revoked."""
        from chalicelib.revocation import is_kept_out

        not_before = self.revocations.not_before(principal.principal_id)
        return is_kept_out(not_before, principal.context())

    def has_revoked(self, principal: Principal) -> bool:
        """Tell whether a principal, or the very key it showed, is revoked by now."""
        from chalicelib.managed_keys import is_revoked

        key_id = principal.details.get("key")
        if self.keys is not None and key_id is not None and is_revoked(self.keys, key_id):
            return True
        return self.keeps_out(principal)

    def arrivals(self) -> Arrivals:
        """Return who decides whether a new connection may stay."""
        from chalicelib.arrivals import Arrivals

        most = self.limits.max_connections
        return Arrivals(self.connections, self.revocations, most, self.now, time.sleep)

    def closer(self) -> Closer:
        """Return what closes connections."""
        from chalicelib.closing import Closer

        return Closer(self.connections, self.management_api, self.executor, self.now)

    def sweep(self) -> Sweep:
        """Return what ends those who have expired."""
        from chalicelib.sweep import Sweep

        return Sweep(self.closer())

    def revoker(self) -> Revoker:
        """Return what ends the connections of principals and keeps them out."""
        from chalicelib.revocation import Revoker

        return Revoker(self.revocations, self.connections, self.closer(), self.now)

    def worker(self) -> Worker:
        """Return what works one task of the queue."""
        from chalicelib.jobs import Worker

        return Worker(
            self.job_store(),
            required(self.queue, "QUEUE_NAME"),
            self._sending,
            self.delivery.rate / self.delivery.workers,
            secrets.token_hex(8),
            self.report,
        )

    def _gate(self) -> Gate:
        from chalicelib.gate import Gate
        from chalicelib.rates import RateLimiter

        rate = self.limits.rate
        limiter = None if rate is None else RateLimiter(self.rates, rate)
        return Gate(self.connections, limiter, self.now)

    def _renewal(self) -> Renewal:
        from chalicelib.renewal import Renewal

        return Renewal(self.bearer_authenticators, self.connections, self.revocations, self.now)

    def publisher(self, principal: Principal) -> Publisher:
        """Return what sends for a principal over HTTP."""
        from chalicelib.http_publishing import Publisher

        return Publisher(
            principal,
            self.policies(),
            lambda seconds: self._broadcast(*self.websocket_api(), BROADCAST_SHARE * seconds),
            self.idempotency,
            self.now,
            secrets.randbits,
        )

    def operator(self) -> Operator:
        """Return what looks at connections and closes them."""
        from chalicelib.http_connections import Operator

        management_api = self.management_api(*self.websocket_api())
        return Operator(self.connections, management_api, self.executor, self.now)

    def key_keeper(self) -> KeyKeeper:
        """Return what makes, lists and revokes API keys."""
        from chalicelib.http_keys import KeyKeeper

        return KeyKeeper(self.keys, self.has_revoked, self.now)

    def _broadcast(self, api_id: str, stage: str, budget: float) -> Broadcast:
        from chalicelib.broadcast import Broadcaster

        broadcaster = Broadcaster(
            self._sending(api_id, stage),
            self._jobs(api_id, stage),
            self.delivery.fanout_threshold,
            budget,
            self.report,
        )

        def broadcast(audience: Audience, payload: bytes, message_id: str) -> Mapping[str, Any]:
            return broadcaster.broadcast(audience, payload, message_id).to_dict()

        return broadcast

    def _sending(self, api_id: str, stage: str) -> Sending:
        from chalicelib.broadcast import Sending

        management_api = self.management_api(api_id, stage)
        return Sending(self.connections, management_api, self.executor, self.now)

    def _jobs(self, api_id: str, stage: str) -> JobQueue | None:
        if self.queue is None:
            return None
        from chalicelib.jobs import JobQueue

        return JobQueue(
            self.job_store(), self.queue, api_id, stage, self.now, self.delivery.job_seconds
        )
