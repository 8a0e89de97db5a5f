"""Stand-ins that keep the contract of what they stand in for, and a server that misbehaves."""

import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from types import TracebackType
from typing import TypeVar

from chalicelib.authorizers.api_key import ApiKey, KeyDescription
from chalicelib.authorizers.ticket import Ticket
from chalicelib.broadcast import ConnectionStatus, Outcome, Posted
from chalicelib.connections import (
    EVERYONE,
    REVOKED,
    Audience,
    Connection,
    Member,
    Page,
    implicit_audiences,
    shard_of,
)
from chalicelib.errors import (
    ConnectionGone,
    JobBusy,
    LimitExceeded,
    PortcullisError,
    ServiceUnavailable,
)
from chalicelib.exchanges import NoAnswer, Repeated, Result
from chalicelib.http1 import Response
from chalicelib.idempotency import KEPT_SECONDS, LEASE_SECONDS, Attempt, Kept
from chalicelib.jobs import Job, JobReport, Progress, Task
from chalicelib.managed_keys import KeyPage
from chalicelib.reading import Place
from chalicelib.secret_values import Versions

T = TypeVar("T")


class Clock:
    """A clock that moves only when told to, and a sleep that moves it."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class JumpingClock:
    """The real clock, and as far ahead of it as it is told: ten thousand seconds once ``is_up``."""

    def __init__(self, is_up: Callable[[], bool] = lambda: False) -> None:
        self.ahead = 0.0
        self._is_up = is_up

    def __call__(self) -> float:
        return time.monotonic() + self.ahead + (10_000 if self._is_up() else 0)


class InMemoryConnectionRepository:
    """A ConnectionRepository; ``fail_after`` stops it in the middle of what it writes."""

    def __init__(self, everyone_shards: int = 1, channel_shards: int = 1) -> None:
        self._shards = {"everyone": everyone_shards, "channel": channel_shards}
        self._connections: dict[str, Connection] = {}
        self._members: dict[Audience, dict[str, Member]] = defaultdict(dict)
        self._joined: dict[str, set[Audience]] = defaultdict(set)
        self._writes_left: int | None = None
        self._lock = threading.RLock()

    def add(self, connection: Connection) -> None:
        with self._lock:
            for audience in implicit_audiences(connection.principal_id):
                self._write()
                self._members[audience][connection.connection_id] = connection.member()
            self._write()
            self._connections[connection.connection_id] = connection

    def join(self, connection_id: str, channel: Audience, now: float, most: int) -> bool:
        with self._lock:
            connection = self.get(connection_id, now)
            if connection is None:
                raise ConnectionGone(connection_id)
            joined = self._joined[connection_id]
            if channel not in joined and len(joined) >= most:
                return False
            self._write()
            joined.add(channel)
            self._members[channel][connection_id] = connection.member()
            return True

    def leave(self, connection_id: str, channel: Audience) -> None:
        with self._lock:
            self._write()
            self._joined[connection_id].discard(channel)
            self._members[channel].pop(connection_id, None)

    def channels(self, connection_id: str) -> Sequence[Audience]:
        return sorted(self._joined[connection_id], key=str)

    def get(self, connection_id: str, now: float) -> Connection | None:
        connection = self._connections.get(connection_id)
        return connection if connection and connection.expires_at > now else None

    def remove(self, connection_id: str, principal_id: str) -> None:
        with self._lock:
            self._write()
            self._connections.pop(connection_id, None)
            joined = self._joined.get(connection_id, set())
            for audience in (*implicit_audiences(principal_id), *joined):
                self._write()
                self._members[audience].pop(connection_id, None)
            self._write()
            self._joined.pop(connection_id, None)

    def expire(self, connection_id: str, principal_id: str) -> None:
        with self._lock:
            self._write()
            self._set_end(connection_id, principal_id, REVOKED)

    def renew(
        self, connection: Connection, expires_at: int, context: Mapping[str, str], now: float
    ) -> bool:
        with self._lock:
            self._write()
            known = self.get(connection.connection_id, now)
            if known is None or known.principal_id != connection.principal_id:
                return False
            self._connections[known.connection_id] = replace(known, context=context)
            self._set_end(known.connection_id, known.principal_id, expires_at)
            return True

    def expired(self, shard: int, start: str | None, limit: int, by: float) -> Page:
        page = self.read(EVERYONE, shard, start, limit, -1)
        return page._replace(members=tuple(it for it in page.members if it.expires_at <= by))

    def _set_end(self, connection_id: str, principal_id: str, expires_at: int) -> None:
        if connection_id in self._connections:
            known = self._connections[connection_id]
            self._connections[connection_id] = replace(known, expires_at=expires_at)
        joined = self._joined.get(connection_id, set())
        for audience in (*implicit_audiences(principal_id), *joined):
            member = self._members[audience].get(connection_id)
            if member is not None and member.expires_at != REVOKED:
                self._members[audience][connection_id] = member._replace(expires_at=expires_at)

    def shards(self, audience: Audience) -> int:
        return self._shards.get(audience.kind, 1)

    def read(
        self, audience: Audience, shard: int, start: str | None, limit: int, now: float
    ) -> Page:
        if audience.kind == "connection":
            connection = self.get(audience.name, now)
            return Page((connection.member(),) if connection else ())
        with self._lock:
            ids = sorted(name for name in self._members[audience] if name > (start or ""))
            ids = [name for name in ids if shard_of(name, self.shards(audience)) == shard]
            page = [self._members[audience][name] for name in ids[:limit]]
        alive = tuple(member for member in page if member.expires_at > now)
        # Like DynamoDB, which does not look ahead whether there is more.
        return Page(alive, ids[limit - 1] if len(ids) >= limit else None)

    def count(self, audience: Audience, shard: int, start: str | None, now: float) -> int:
        return len(self.read(audience, shard, start, 1_000_000, now).members)

    def fail_after(self, writes: int | None) -> None:
        self._writes_left = writes

    def count_items(self) -> int:
        members = sum(map(len, self._members.values()))
        return len(self._connections) + members + sum(map(len, self._joined.values()))

    def _write(self) -> None:
        if self._writes_left is None:
            return
        if self._writes_left == 0:
            raise ServiceUnavailable("the store is down")
        self._writes_left -= 1


class InMemoryRevocations:
    """A RevocationStore."""

    def __init__(self) -> None:
        self._not_before: dict[str, int] = {}

    def revoke(self, principal_id: str, not_before: int) -> None:
        self._not_before[principal_id] = max(not_before, self._not_before.get(principal_id, 0))

    def allow(self, principal_id: str) -> None:
        self._not_before.pop(principal_id, None)

    def not_before(self, principal_id: str) -> int | None:
        return self._not_before.get(principal_id)


class InMemoryRates:
    """A RateStore."""

    def __init__(self) -> None:
        self._ahead: dict[str, int] = {}
        self._refusals: Counter[str] = Counter()
        self._lock = threading.Lock()

    def get(self, principal_id: str) -> int | None:
        return self._ahead.get(principal_id)

    def begin(self, principal_id: str, now: int, interval: int) -> bool:
        with self._lock:
            if self._ahead.get(principal_id, 0) > now:
                return False
            self._ahead[principal_id] = now + interval
            self._refusals[principal_id] = 0
            return True

    def go_on(self, principal_id: str, now: int, latest: int, interval: int) -> bool:
        with self._lock:
            if not now < self._ahead.get(principal_id, 0) <= latest:
                return False
            self._ahead[principal_id] += interval
            return True

    def refuse(self, principal_id: str) -> int:
        with self._lock:
            if principal_id not in self._ahead:
                return 0
            self._refusals[principal_id] += 1
            return self._refusals[principal_id]


class InMemoryTickets:
    """A TicketStore."""

    def __init__(self) -> None:
        self.tickets: dict[str, Ticket] = {}

    def add(self, digest: str, ticket: Ticket) -> None:
        self.tickets[digest] = ticket

    def take(self, digest: str, now: float) -> Ticket | None:
        ticket = self.tickets.get(digest)
        if ticket is None or ticket.expires_at <= now:
            return None
        return self.tickets.pop(digest, None)


class InMemoryKeys:
    """ManagedKeys in memory."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}

    def get(self, key_id: str) -> ApiKey | None:
        return self._keys.get(key_id)

    def add(self, key: ApiKey) -> None:
        self._keys[key.key_id] = key

    def revoke(self, key_id: str) -> bool:
        if key_id in self._keys:
            self._keys[key_id] = replace(self._keys[key_id], revoked=True)
        return key_id in self._keys

    def page(self, after: str | None, limit: int) -> KeyPage:
        later = [self._keys[key_id] for key_id in sorted(self._keys) if key_id > (after or "")]
        found = tuple(map(_described, later[:limit]))
        return KeyPage(found, found[-1].key_id if len(later) > limit else None)


def _described(key: ApiKey) -> KeyDescription:
    names = (field.name for field in fields(KeyDescription))
    return KeyDescription(**{name: getattr(key, name) for name in names})


class InMemoryIdempotency:
    """An IdempotencyStore; ``is_down`` fails to keep what has ended."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[Attempt, float, str | None]] = {}
        self._lock = threading.Lock()
        self.is_down = False

    def begin(self, attempt: Attempt, now: float) -> Kept | None:
        with self._lock:
            found = self._kept.get(attempt[:2])
            if found is not None and not self._is_free(found, attempt, now):
                return Kept(found[0].fingerprint, found[2])
            self._kept[attempt[:2]] = attempt, now, None
            return None

    def finish(self, attempt: Attempt, answer: str) -> None:
        if self.is_down:
            raise ServiceUnavailable("the store is down")
        with self._lock:
            found = self._kept.get(attempt[:2])
            if found is not None and found[0].owner == attempt.owner:
                self._kept[attempt[:2]] = attempt, found[1], answer

    def release(self, attempt: Attempt) -> None:
        with self._lock:
            found = self._kept.get(attempt[:2])
            if found is not None and found[0].owner == attempt.owner:
                del self._kept[attempt[:2]]

    def _is_free(
        self, found: tuple[Attempt, float, str | None], attempt: Attempt, now: float
    ) -> bool:
        holder, since, answer = found
        is_same = holder.fingerprint == attempt.fingerprint
        is_given_up = answer is None and is_same and now >= since + LEASE_SECONDS
        return now >= since + KEPT_SECONDS or holder.owner == attempt.owner or is_given_up


class FakeManagementAPI:
    """A ManagementAPI that remembers what was posted to whom."""

    def __init__(self) -> None:
        self.posts: dict[str, list[bytes]] = defaultdict(list)
        self.errors: dict[str, PortcullisError] = {}

    def fail(self, connection_id: str, error: PortcullisError) -> None:
        self.errors[connection_id] = error

    def post_to_connection(self, connection_id: str, data: bytes) -> None:
        self._check(connection_id)
        self.posts[connection_id].append(data)

    def post_to_members(
        self,
        members: Iterable[Member | None],
        data: bytes,
        budget: float,
        rate: float | None = None,
    ) -> Iterator[Posted]:
        for member in members:
            if member is None:
                time.sleep(0.001)
            else:
                yield Posted(member, self._outcome(member.connection_id, data))

    def _outcome(self, connection_id: str, data: bytes) -> Outcome:
        try:
            self.post_to_connection(connection_id, data)
        except ConnectionGone:
            return Outcome.GONE
        except LimitExceeded:
            return Outcome.SLOW
        except PortcullisError:
            return Outcome.FAILED
        return Outcome.DELIVERED

    def get_connection(self, connection_id: str) -> ConnectionStatus:
        self._check(connection_id)
        at = "2026-11-20T10:00:00Z"
        return {"connectedAt": at, "identity": {"sourceIp": "192.0.2.7"}, "lastActiveAt": at}

    def delete_connection(self, connection_id: str) -> None:
        self._check(connection_id)
        self.errors[connection_id] = ConnectionGone(connection_id)

    def _check(self, connection_id: str) -> None:
        if connection_id in self.errors:
            raise self.errors[connection_id]


@dataclass
class _Slice:
    progress: Progress
    worker: str = ""
    until: float = 0.0
    is_done: bool = False


class InMemoryJobStore:
    """A JobStore; ``fail_after`` makes its writes fail from then on."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[Job, bytes]] = {}
        self._slices: dict[tuple[str, int], _Slice] = {}
        self._writes_left: int | None = None
        self._lock = threading.RLock()

    def create(self, job: Job, payload: bytes, places: Sequence[Place]) -> None:
        self._write()
        self._jobs[job.job_id] = job, payload
        for shard, start in places:
            self._slices[job.job_id, shard] = _Slice(Progress(start, start))

    def payload(self, job_id: str) -> bytes | None:
        return self._jobs[job_id][1] if job_id in self._jobs else None

    def claim(self, task: Task, worker: str, now: float, until: float) -> Progress | None:
        with self._lock:
            slice_ = self._slices.get((task.job.job_id, task.shard))
            if slice_ is None or slice_.is_done:
                return None
            if slice_.until > now and slice_.worker != worker:
                raise JobBusy(task.job.job_id)
            self._write()
            slice_.worker, slice_.until = worker, until
            return slice_.progress

    def note(
        self,
        task: Task,
        worker: str,
        progress: Progress,
        *,
        is_released: bool = False,
        is_done: bool = False,
    ) -> None:
        with self._lock:
            slice_ = self._slices[task.job.job_id, task.shard]
            if slice_.worker != worker:
                raise JobBusy(task.job.job_id)
            self._write()
            slice_.progress = progress
            slice_.until = 0.0 if is_released else slice_.until
            slice_.is_done = is_done

    def report(self, job_id: str) -> JobReport | None:
        if job_id not in self._jobs:
            return None
        slices = [each for (name, _), each in self._slices.items() if name == job_id]
        counts = Counter({outcome.value: 0 for outcome in Outcome} | {"repeated": 0})
        for each in slices:
            counts.update(each.progress.counts)
        counts["targeted"] = sum(counts[outcome.value] for outcome in Outcome)
        return JobReport(self._jobs[job_id][0], counts, all(each.is_done for each in slices))

    def fail_after(self, writes: int | None) -> None:
        self._writes_left = writes

    def _write(self) -> None:
        if self._writes_left is not None:
            if self._writes_left == 0:
                raise ServiceUnavailable("the store is down")
            self._writes_left -= 1


class InMemoryQueue:
    """A queue of texts; ``is_down`` refuses them."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.is_down = False

    def send(self, bodies: Sequence[str]) -> None:
        if self.is_down:
            raise ServiceUnavailable("the queue is down")
        self.bodies += bodies


@dataclass
class Call:
    """One call a ScriptedCaller was asked for."""

    method: str
    path: str
    payload: bytes
    headers: Mapping[str, str]


class ScriptedCaller:
    """A BulkCaller that answers what it was told to, and remembers what it was asked."""

    def __init__(self, *answers: Response | ServiceUnavailable | NoAnswer | Repeated) -> None:
        self.calls: list[Call] = []
        self._answers = list(answers)

    def call(
        self,
        method: str,
        path: str,
        payload: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        self.calls.append(Call(method, path, payload, headers or {}))
        answer = self._answers.pop(0)
        if isinstance(answer, ServiceUnavailable):
            raise answer
        assert isinstance(answer, Response)
        return answer

    def post_each(
        self,
        items: Iterable[T | None],
        path: Callable[[T], str],
        payload: bytes,
        budget: float,
        rate: float | None = None,
    ) -> Iterator[tuple[T, Result]]:
        for item in items:
            if item is None:
                continue
            self.calls.append(Call("POST", path(item), payload, {}))
            answer = self._answers.pop(0)
            assert not isinstance(answer, ServiceUnavailable)
            yield item, answer


@dataclass
class FakeSecretStore:
    """What is stored under one name, or why it cannot be had; counts how often it is asked."""

    holds: Versions | PortcullisError
    fetches: int = 0

    def fetch(self) -> Versions:
        self.fetches += 1
        if isinstance(self.holds, PortcullisError):
            raise self.holds
        return self.holds


class ThenReset(bytes):
    """An answer after which the connection is reset, not closed."""


@dataclass
class ScriptedServer:
    """An HTTP server on 127.0.0.1; each accepted connection gets the answers of one list.

    An answer is the bytes to send for one request. When a list is used up the connection is
    closed, as by a peer that finds it idle; None holds it open without a word.
    """

    script: Sequence[Sequence[bytes | None]]
    requests: list[bytes] = field(default_factory=list)
    accepted: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._closing = threading.Event()
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> "ScriptedServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(60)  # nobody is accepted any more
        for connection in self._connections:
            with suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)

    def _accept(self) -> None:
        for answers in self.script:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection, answers))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, answers: Sequence[bytes | None]) -> None:
        connection.settimeout(60)
        with connection, suppress(OSError):  # the client may leave at any time
            for answer in answers:
                request = _read_request(connection)
                if not request:
                    return
                self.requests.append(request)
                if answer is None:
                    self._closing.wait(60)
                else:
                    connection.sendall(answer)
                if isinstance(answer, ThenReset):
                    time.sleep(0.05)  # until the client has read what there is
                    connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                    return


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections; nobody else can get it meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


def _read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65536)
        if not more:
            return b""
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
