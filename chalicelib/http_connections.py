"""What operators see of connections, and how they end them."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chalicelib.broadcast import ConnectionStatus, ManagementAPI
from chalicelib.closing import hang_up, is_young
from chalicelib.connection_pages import read_page
from chalicelib.connections import (
    EVERYONE,
    Audience,
    Connection,
    ConnectionRepository,
    implicit_audiences,
    members,
)
from chalicelib.endings import Closing
from chalicelib.errors import (
    ClientError,
    ConnectionGone,
    NotAConnectionId,
    PortcullisError,
)
from chalicelib.http_answers import Answer
from chalicelib.http_requests import DEFAULT_PAGE, MAX_PAGE, Call, audience, not_found

# Of the time there is; the rest is for what has begun.
_SHARE = 0.7
_AT_ONCE = 16
_FRESH = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Operator:
    """Looks at connections and closes them; ``now`` is in seconds since the epoch."""

    connections: ConnectionRepository
    management_api: ManagementAPI
    executor: Executor
    now: Callable[[], float]
    clock: Callable[[], float] = time.monotonic

    def list(self, call: Call) -> Answer:
        """Return a page of an audience."""
        call.only_parameters(("audience", "limit", "cursor"))
        asked = call.query_string("audience")
        whom = EVERYONE if asked is None else audience(asked)
        limit = call.count("limit", DEFAULT_PAGE, MAX_PAGE)
        page = read_page(self.connections, whom, call.query_string("cursor"), limit, self.now())
        listed = [
            {
                "connectionId": member.connection_id,
                "principalId": member.principal_id,
                "connectedAt": member.connected_at,
                "expiresAt": member.expires_at,
            }
            for member in page.members
        ]
        more = {} if page.cursor is None else {"cursor": page.cursor}
        return Answer(200, {"audience": str(whom), "connections": listed, **more}, _FRESH)

    def get(self, call: Call) -> Answer:
        """Return what the table knows of a connection, and what API Gateway does."""
        call.only_parameters(())
        connection_id = _connection_id(call)
        known = self.connections.get(connection_id, self.now())
        status: ConnectionStatus | None = None
        with suppress(ConnectionGone, NotAConnectionId):
            status = self.management_api.get_connection(connection_id)
        if known is None and status is None:
            raise _no_connection()
        body = {
            "connectionId": connection_id,
            "remembered": None if known is None else self._described(known),
            "open": None if status is None else _opened(status),
        }
        return Answer(200, body, _FRESH, about={"connection_id": connection_id})

    def delete(self, call: Call) -> Answer:
        """Close a connection, its client told why; or forget one that has left already."""
        call.only_parameters(())
        connection_id = _connection_id(call)
        has_closed = self._close(connection_id)
        body = {"connectionId": connection_id, "closed": has_closed}
        return Answer(200, body, _FRESH, about={"connection_id": connection_id})

    def delete_all(self, call: Call) -> Answer:
        """Close all connections of a principal, as far as the time goes."""
        call.only_parameters(())
        whom = audience(f"principal:{call.parameter('principal_id')}")
        counts, is_complete = self._close_all(whom, self.clock() + _SHARE * call.seconds)
        body: dict[str, Any] = {"principalId": whom.name}
        body |= {name: counts[name] for name in ("closed", "gone", "failed")}
        if not is_complete:
            body["incomplete"] = True
        return Answer(200, body, _FRESH, about={"of": whom.name})

    def _described(self, connection: Connection) -> dict[str, Any]:
        channels = self.connections.channels(connection.connection_id)
        audiences = (*implicit_audiences(connection.principal_id), *channels)
        return {
            "principalId": connection.principal_id,
            "connectedAt": connection.connected_at,
            "expiresAt": connection.expires_at,
            "sourceIp": connection.source_ip,
            "scopes": connection.context.get("scopes", "").split(),
            "audiences": [str(each) for each in audiences],
        }

    def _close(self, connection_id: str) -> bool:
        """Return whether it was open; raises ClientError for none, or one not open yet."""
        now = self.now()
        known = self.connections.get(connection_id, now)
        was_open = hang_up(self.management_api, connection_id, Closing.DISCONNECTED)
        if known is None:
            if was_open:
                return True
            raise _no_connection()
        if not was_open and is_young(known.connected_at, now):
            # $connect has not ended: what cannot be closed yet must not be forgotten.
            problem = "This connection is opening, or has just left: try again."
            raise ClientError("connection_opening", problem)
        # $disconnect does this too, but may never come.
        self.connections.remove(connection_id, known.principal_id)
        return was_open

    def _close_all(self, whom: Audience, end: float) -> tuple[Counter[str], bool]:
        counts: Counter[str] = Counter()
        running: set[Future[str]] = set()
        is_complete = True
        for member in members(self.connections, whom, self.now()):
            if self.clock() >= end:
                is_complete = False
                break
            running.add(self.executor.submit(self._outcome, member.connection_id))
            if len(running) >= _AT_ONCE:
                running = self._count(running, counts)
        self._count(running, counts)
        return counts, is_complete

    def _count(self, running: set[Future[str]], counts: Counter[str]) -> set[Future[str]]:
        wait(running)
        counts.update(future.result() for future in running)
        return set()

    def _outcome(self, connection_id: str) -> str:
        try:
            return "closed" if self._close(connection_id) else "gone"
        except PortcullisError as problem:
            is_gone = isinstance(problem, ClientError) and problem.code == "not_found"
            return "gone" if is_gone else "failed"


def _connection_id(call: Call) -> str:
    connection_id = call.parameter("connection_id")
    try:
        Audience.parse(f"connection:{connection_id}")
    except ValueError:
        raise _no_connection() from None
    if "/" in connection_id:  # no id of AWS's has one; the management API knows no such path
        raise _no_connection()
    return connection_id


def _no_connection() -> ClientError:
    return not_found("There is no such connection.")


def _opened(status: ConnectionStatus) -> dict[str, Any]:
    identity = status.get("identity") or {}
    return {
        "connectedAt": status.get("connectedAt"),
        "lastActiveAt": status.get("lastActiveAt"),
        "sourceIp": identity.get("sourceIp"),
        "userAgent": identity.get("userAgent"),
    }
