"""Large audiences: a broadcast's rest, cut into slices that are worked one after the other.

A slice is a shard from a place on. Whoever works it holds a lease, notes how far it has come, and
hands it on when its time is over. Before members are sent to it is noted how far that may go, so
that whoever takes over after a crash knows who may have received the message already: they are
sent to again, and counted as repeated. The queue may deliver a task twice; the lease and the notes
make it work once.
"""

import json
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol

from chalicelib.broadcast import Delivery, Outcome, Posted, Report, Sending, no_report
from chalicelib.connections import Audience, Member, Page
from chalicelib.errors import UnexpectedEvent
from chalicelib.reading import Place, Reading

# Members between two notes: three times that many may receive a message twice if a worker dies.
PAGE = 100

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be sent to whom; ``deadline`` is in seconds since the epoch."""

    job_id: str
    audience: Audience
    api_id: str
    stage: str
    deadline: int


@dataclass(frozen=True, slots=True)
class Task:
    """What the queue carries: a slice of a job, never who is in it. The payload is in the store."""

    job: Job
    shard: int
    start: str | None

    def to_text(self) -> str:
        """Write the body of a message."""
        fields = {**asdict(self.job), "audience": str(self.job.audience)}
        return json.dumps({**fields, "shard": self.shard, "start": self.start})

    @classmethod
    def from_text(cls, text: str) -> "Task":
        """Read the body of a message; UnexpectedEvent if it is none of ours."""
        try:
            fields = json.loads(text)
            shard, start = int(fields.pop("shard")), fields.pop("start")
            audience = Audience.parse(fields.pop("audience"))
            deadline = int(fields.pop("deadline"))
            return cls(Job(audience=audience, deadline=deadline, **fields), shard, start)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UnexpectedEvent("not a task of this queue") from error


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a slice is worked: all up to ``after``, and perhaps some up to ``reach``.

    ``counts`` are of those up to ``after``.
    """

    after: str | None
    reach: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobReport:
    """What has come of a job so far; the counts are those of a Delivery."""

    job: Job
    counts: Mapping[str, int]
    is_done: bool


class JobStore(Protocol):
    """Implementations are held to tests/contract/test_job_store.py.

    All raise ServiceUnavailable when the store does not answer.
    """

    def create(self, job: Job, payload: bytes, places: Sequence[Place]) -> None:
        """Remember a job with its payload, and a slice for each place."""

    def payload(self, job_id: str) -> bytes | None:
        """Return what a job sends; None if nothing is known of it any more."""

    def claim(self, task: Task, worker: str, now: float, until: float) -> Progress | None:
        """Let a worker have a slice until then (seconds); None if nothing is left of it.

        Raises JobBusy while another one has it.
        """

    def note(
        self,
        task: Task,
        worker: str,
        progress: Progress,
        *,
        is_released: bool = False,
        is_done: bool = False,
    ) -> None:
        """Note how far a slice is worked, in place of what was noted before.

        Raises JobBusy if the worker does not have the slice any more.
        """

    def report(self, job_id: str) -> JobReport | None:
        """Return what has come of a job; None if nothing is known of it."""


class TaskQueue(Protocol):
    """Whatever carries tasks."""

    def send(self, bodies: Sequence[str]) -> None:
        """Send each of these; raises ServiceUnavailable."""


@dataclass(frozen=True, slots=True)
class JobQueue:
    """The Jobs of a Broadcaster: remembers a job, and has its slices worked."""

    store: JobStore
    queue: TaskQueue
    api_id: str
    stage: str
    now: Callable[[], float]
    seconds: int
    """How long a job may take."""

    def hand_over(
        self, message_id: str, audience: Audience, payload: bytes, places: Sequence[Place]
    ) -> str:
        """Return the id of the job, which is that of its message."""
        deadline = int(self.now()) + self.seconds
        job = Job(message_id, audience, self.api_id, self.stage, deadline)
        self.store.create(job, payload, places)
        self.queue.send([Task(job, shard, start).to_text() for shard, start in places])
        return message_id


@dataclass(frozen=True, slots=True)
class Worker:
    """Works slices; ``name`` tells it from all others."""

    store: JobStore
    queue: TaskQueue
    sending: Callable[[str, str], Sending]
    """By API id and stage."""
    rate: float
    """Posts per second."""
    name: str
    report: Report = no_report
    page: int = PAGE

    def work(self, task: Task, seconds: float) -> Delivery | None:
        """Work a slice for so many seconds at most; None if there is nothing to do.

        Raises JobBusy if another worker has it, ServiceUnavailable if the store or the queue does
        not answer; the task must then be delivered once more.
        """
        sending = self.sending(task.job.api_id, task.job.stage)
        payload = self.store.payload(task.job.job_id)
        if payload is None:
            _logger.warning("job %s is not known any more", task.job.job_id)
            return None
        now = sending.now()
        progress = self.store.claim(task, self.name, now, now + seconds)
        if progress is None:
            return None
        return _Shift(self, sending, task, progress, seconds).work(payload)


class _Shift:
    """One worker's time with one slice."""

    def __init__(
        self, worker: Worker, sending: Sending, task: Task, progress: Progress, seconds: float
    ) -> None:
        self._worker = worker
        self._sending = sending
        self._task = task
        self._started = sending.clock()
        # What is on its way when no more is taken still needs time for its answer, then the notes.
        self._stop = self._started + 0.75 * seconds
        self._end = self._started + 0.93 * seconds
        self._ledger = _Ledger(progress)
        self._is_over = False
        self._lock = threading.Lock()

    def work(self, payload: bytes) -> Delivery:
        job = self._task.job
        reading = Reading(
            self._sending.connections,
            self._sending.executor,
            job.audience,
            self._sending.now,
            places=[(self._task.shard, self._ledger.after)],
            page=self._worker.page,
            is_over=self._must_stop,
            announce=self._announce,
            skip=self._ledger.skip,
        )
        self._sending.send(reading, payload, self._end, self._worker.rate, self._ledger.seen)
        rest = reading.rest()
        with self._lock:
            self._is_over = True
        is_late = self._sending.now() >= job.deadline
        if rest and is_late:
            self._drop(rest[0])
        if reading.problem is not None and not is_late:
            self._note(is_released=True)
            raise reading.problem
        is_done = not rest or is_late
        self._note(is_released=True, is_done=is_done)
        delivery = Delivery(**self._ledger.counted())
        self._worker.report(
            "job", delivery.counts(), self._sending.clock() - self._started, len(payload)
        )
        if not is_done:
            self._worker.queue.send([Task(job, self._task.shard, self._ledger.after).to_text()])
        return delivery

    def _must_stop(self) -> bool:
        return self._sending.clock() >= self._stop or self._sending.now() >= self._task.job.deadline

    def _announce(self, page: Page) -> None:
        """Note whom this page may reach, before any of them is sent to."""
        with self._lock:
            if self._is_over or not page.members:
                return
            self._ledger.expect(page.members)
            self._note()

    def _drop(self, place: Place) -> None:
        """Nobody waits any more for what was not sent by the deadline."""
        now = self._sending.now()
        audience = self._task.job.audience
        left = self._sending.connections.count(audience, place[0], place[1], now)
        self._ledger.add(Counter({Outcome.DEFERRED.value: left}))

    def _note(self, *, is_released: bool = False, is_done: bool = False) -> None:
        progress = self._ledger.progress(is_clean=is_released)
        self._worker.store.note(
            self._task, self._worker.name, progress, is_released=is_released, is_done=is_done
        )


class _Ledger:
    """Who is sent to in which order, and what came of those before whom nobody is waited for."""

    def __init__(self, progress: Progress) -> None:
        self.after = progress.after
        self._reach = progress.reach
        self._doubtful_up_to = progress.reach or ""
        self._before = progress.counts
        self._counts: Counter[str] = Counter()
        self._expected: deque[str] = deque()
        self._outcomes: dict[str, Counter[str]] = {}
        self._lock = threading.Lock()

    def expect(self, members: Sequence[Member]) -> None:
        """These will be sent to, after all the others."""
        with self._lock:
            self._expected.extend(member.connection_id for member in members)
            self._reach = max(self._reach or "", members[-1].connection_id)

    def seen(self, posted: Posted) -> None:
        """Take note of an outcome."""
        name = posted.member.connection_id
        is_doubtful = posted.is_repeated or name <= self._doubtful_up_to
        was_sent = posted.outcome is not Outcome.DEFERRED
        repeated = {"repeated": 1} if is_doubtful and was_sent else {}
        self._settle(name, Counter({posted.outcome.value: 1, **repeated}))

    def skip(self, member: Member) -> None:
        """Take note of one who has expired and was not sent to."""
        self._settle(member.connection_id, Counter({Outcome.EXPIRED.value: 1}))

    def add(self, counts: Counter[str]) -> None:
        """Add what was not sent one by one."""
        with self._lock:
            self._counts += counts

    def counted(self) -> Counter[str]:
        """Return what was counted in this shift."""
        with self._lock:
            return Counter(self._counts)

    def progress(self, *, is_clean: bool) -> Progress:
        """Return what is to be noted; clean is where nobody is on the way."""
        with self._lock:
            counts = Counter(self._before) + self._counts
            return Progress(self.after, self.after if is_clean else self._reach, counts)

    def _settle(self, name: str, outcome: Counter[str]) -> None:
        with self._lock:
            self._outcomes[name] = outcome
            while self._expected and self._expected[0] in self._outcomes:
                self.after = self._expected.popleft()
                self._counts += self._outcomes.pop(self.after)
