"""What a delivery to many costs: by formula, and by a simulation that counts one post at a time.

Prices are those of us-east-1, first tier, in dollars. Round trips, sockets and shifts are what
``chalicelib`` uses or what notes on AWS say; everything is stated in ``Assumptions``.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from dataclasses import dataclass

PRICES = {
    "post": 1.00e-6,  # of 32 KB or less
    "write": 0.625e-6,
    "read": 0.125e-6,
    "task": 0.40e-6 * 3,  # sent, received, deleted
    "gigabyte_second": 16.6667e-6,
    "invocation": 0.20e-6,
}


@dataclass(frozen=True, slots=True)
class Assumptions:
    """How the app is set, and what AWS is taken to do; times in seconds."""

    rate: float = 6000
    workers: int = 4
    shards: int = 16
    inline: int = 500
    sockets: int = 32
    round_trip: float = 0.020
    shift: float = 21.0
    page: int = 100
    inline_page: int = 32
    item_bytes: int = 105
    start: float = 0.3
    """From the message to the first worker's first post: the queue, and a cold start or none."""
    between: float = 0.05
    memory: float = 0.5
    """Gigabytes of a function."""
    payload_bytes: int = 200

    @property
    def worker_rate(self) -> float:
        """Posts per second of one worker: its share, if its sockets allow it."""
        return min(self.rate / self.workers, self.sockets / self.round_trip)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one message to so many receivers takes."""

    seconds: float
    posts: int
    tasks: int
    reads: float
    writes: float
    function_seconds: float
    refused: int = 0

    def dollars(self, a: Assumptions) -> float:
        """Return the bill."""
        return (
            self.posts * PRICES["post"]
            + self.reads * PRICES["read"]
            + self.writes * PRICES["write"]
            + self.tasks * (PRICES["task"] + PRICES["invocation"])
            + self.function_seconds * a.memory * PRICES["gigabyte_second"]
        )


def formula(receivers: int, a: Assumptions) -> Cost:
    """Sum it up."""
    inline = min(receivers, a.inline)
    inline_seconds = inline / (a.sockets / a.round_trip)
    rest = receivers - inline
    reads = a.shards * units(min(a.inline_page, receivers / a.shards) * a.item_bytes)
    if not rest:
        return Cost(inline_seconds, receivers, 0, reads, 0.0, inline_seconds)
    of_a_slice = rest / a.shards
    pages = a.shards * math.ceil(of_a_slice / a.page)
    tasks = a.shards * math.ceil(of_a_slice / (a.shift * a.worker_rate))
    sending = rest / (a.workers * a.worker_rate)
    seconds = a.start + sending + tasks / a.workers * a.between
    writes = pages + 3 * tasks + job_writes(a)
    reads += pages * units(a.page * a.item_bytes) + 2 * tasks
    return Cost(
        seconds, receivers, tasks, reads, writes, inline_seconds + a.workers * (seconds - a.start)
    )


def units(size: float) -> int:
    """Return how many read units a page costs, strongly consistent."""
    return max(1, math.ceil(size / 4096))


def job_writes(a: Assumptions) -> int:
    """Return what it costs to write a job down: itself, its payload, its slices."""
    return 1 + math.ceil(a.payload_bytes / 1024) + a.shards


def simulate(
    receivers: int, a: Assumptions, quota: float = 10_000, burst: float = 5_000, seed: int = 1
) -> Cost:
    """Let workers take tasks, read pages, and post one by one into the account's bucket."""
    chance = random.Random(seed)
    inline = min(receivers, a.inline)
    inline_seconds = _post_all(inline, a, chance)
    reads = a.shards * units(min(a.inline_page, receivers / a.shards) * a.item_bytes)
    rest = receivers - inline
    if not rest:
        return Cost(inline_seconds, receivers, 0, reads, 0.0, inline_seconds)
    slices = [rest // a.shards + (place < rest % a.shards) for place in range(a.shards)]
    queue = deque(enumerate(slices))
    workers = [_Worker(a, chance) for _ in range(a.workers)]
    events = [(a.start, place) for place in range(a.workers)]
    bucket, filled, refused = burst, 0.0, 0
    tasks, writes, end, busy = 0, job_writes(a), 0.0, 0.0
    while events:
        at, place = heapq.heappop(events)
        worker = workers[place]
        if worker.left == 0 or at - worker.since >= a.shift:
            if worker.left:
                queue.append((0, worker.left))
            busy += at - worker.since if worker.since else 0.0
            if not queue:
                continue
            _, worker.left = queue.popleft()
            at += a.between
            worker.begin(at)
            tasks += 1
            writes += 3
            reads += 2
        at = worker.start(at)
        bucket, filled = min(burst, bucket + (at - filled) * quota), at
        if bucket < 1:
            refused += 1
            heapq.heappush(events, (at + chance.random() * 0.1, place))
            continue
        bucket -= 1
        if worker.posted % a.page == 0:
            writes += 1
            reads += units(a.page * a.item_bytes)
        end = max(end, worker.post(at))
        heapq.heappush(events, (worker.next, place))
    return Cost(end, receivers, tasks, reads, writes, inline_seconds + busy, refused)


class _Worker:
    def __init__(self, a: Assumptions, chance: random.Random) -> None:
        self.left = 0
        self.posted = 0
        self.since = 0.0
        self.next = 0.0
        self._a = a
        self._chance = chance
        self._ends: deque[float] = deque()

    def begin(self, at: float) -> None:
        self.since = self.next = at
        self.posted = 0
        self._ends.clear()

    def start(self, at: float) -> float:
        """Return when the next post can begin: by the pace, and once a socket is free."""
        if len(self._ends) < self._a.sockets:
            return max(at, self.next)
        return max(at, self.next, self._ends[0])

    def post(self, at: float) -> float:
        if len(self._ends) >= self._a.sockets:
            self._ends.popleft()
        end = at + self._a.round_trip * (0.8 + 0.4 * self._chance.random())
        self._ends.append(end)
        self.left -= 1
        self.posted += 1
        self.next = max(self.next, at - 0.05) + 1 / (self._a.rate / self._a.workers)
        return end


def _post_all(posts: int, a: Assumptions, chance: random.Random) -> float:
    ends: list[float] = [0.0] * a.sockets
    for _ in range(posts):
        at = heapq.heappop(ends)
        heapq.heappush(ends, at + a.round_trip * (0.8 + 0.4 * chance.random()))
    return max(ends)


def table(a: Assumptions) -> list[dict[str, float]]:
    """Return both, for a thousand to a million receivers."""
    rows = []
    for receivers in (1_000, 10_000, 100_000, 1_000_000):
        by_formula, simulated = formula(receivers, a), simulate(receivers, a)
        rows.append(
            {
                "receivers": receivers,
                "seconds": round(by_formula.seconds, 2),
                "seconds_simulated": round(simulated.seconds, 2),
                "tasks": by_formula.tasks,
                "tasks_simulated": simulated.tasks,
                "reads": by_formula.reads,
                "reads_simulated": simulated.reads,
                "writes": by_formula.writes,
                "writes_simulated": simulated.writes,
                "refused_simulated": simulated.refused,
                "dollars": round(by_formula.dollars(a), 6),
                "dollars_simulated": round(simulated.dollars(a), 6),
            }
        )
    return rows
