"""A job is worked to its end, by whichever worker, however often the queue delivers its tasks."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chalicelib.broadcast import Delivery, Posted, Sending
from chalicelib.connections import EVERYONE, Audience, Member, Page
from chalicelib.errors import ConnectionGone, JobBusy, ServiceUnavailable, UnexpectedEvent
from chalicelib.jobs import Job, JobQueue, Task, Worker
from tests.factories import NOW, make_connection
from tests.fakes import (
    Clock,
    FakeManagementAPI,
    InMemoryConnectionRepository,
    InMemoryJobStore,
    InMemoryQueue,
)

JOB = Job("m1", EVERYONE, "a1", "dev", int(NOW) + 900)
SECONDS = 28.0


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


class Killed(BaseException):
    """The worker's process is no more."""


class UnsteadyManagementAPI(FakeManagementAPI):
    """Posts take time, end in another order than they began, and may be the worker's last."""

    def __init__(self, clock: Clock, random: Random, kills: list[int], seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self._random = random
        self._kills = kills
        self._seconds = seconds
        self._number = 0
        self.rates: list[float | None] = []
        self.lag = 0
        """How many posts began at most after one that had not ended."""

    def post_to_members(
        self,
        members: Iterable[Member | None],
        data: bytes,
        budget: float,
        rate: float | None = None,
    ) -> Iterator[Posted]:
        self.rates.append(rate)
        under_way: list[Posted] = []
        begun: dict[Posted, int] = {}
        for member in members:
            if member is None:
                time.sleep(0.0002)
                continue
            assert member.expires_at > self._clock()
            self._clock.now += self._seconds
            under_way.append(Posted(member, self._outcome(member.connection_id, data)))
            self._number += 1
            begun[under_way[-1]] = self._number
            self.lag = max(self.lag, self._number - begun[under_way[0]])
            if self._number in self._kills:
                raise Killed
            if len(under_way) > 5:
                yield under_way.pop(self._random.randrange(5))
        self._random.shuffle(under_way)
        yield from under_way


class Stage:
    """Everything that workers share."""

    def __init__(
        self,
        executor: ThreadPoolExecutor,
        *,
        members: int,
        shards: int = 1,
        kills: Iterable[int] = (),
        seconds: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.clock = Clock(NOW)
        self.connections = InMemoryConnectionRepository(everyone_shards=shards)
        self.names = [f"connection-{number:04}" for number in range(members)]
        for name in self.names:
            self.connections.add(make_connection(name, expires_at=int(NOW) + 100_000))
        self.management_api = UnsteadyManagementAPI(self.clock, Random(seed), list(kills), seconds)
        self.store, self.queue = InMemoryJobStore(), InMemoryQueue()
        self.reports: list[Any] = []
        self._executor = executor
        self._workers = 0

    def hand_over(self, seconds: int = 900) -> None:
        queue = JobQueue(self.store, self.queue, "a1", "dev", self.clock, seconds)
        places = [(shard, None) for shard in range(self.connections.shards(EVERYONE))]
        assert queue.hand_over("m1", EVERYONE, b"hello", places) == "m1"

    def worker(self, page: int = 10) -> Worker:
        self._workers += 1
        return Worker(
            self.store,
            self.queue,
            lambda api_id, stage: Sending(
                self.connections, self.management_api, self._executor, self.clock, self.clock
            ),
            1500.0,
            f"worker-{self._workers}",
            lambda *report: self.reports.append(report),
            page,
        )

    def work(self, body: str, page: int = 10) -> Delivery | None:
        return self.worker(page).work(Task.from_text(body), SECONDS)

    def counts(self) -> dict[str, int]:
        report = self.store.report("m1")
        assert report is not None
        assert report.is_done
        return {name: number for name, number in report.counts.items() if number}


def test_a_slice_is_sent_to_its_end_and_done(executor: ThreadPoolExecutor) -> None:
    stage = Stage(executor, members=50)
    stage.hand_over()
    (body,) = stage.queue.bodies
    assert stage.work(body) == Delivery(delivered=50)
    assert stage.management_api.posts == {name: [b"hello"] for name in stage.names}
    assert stage.counts() == {"targeted": 50, "delivered": 50}
    assert stage.management_api.rates == [1500.0]
    assert [report[:2] for report in stage.reports] == [("job", Delivery(delivered=50).counts())]


def test_a_task_that_is_delivered_again_sends_nothing_again(executor: ThreadPoolExecutor) -> None:
    stage = Stage(executor, members=20)
    stage.hand_over()
    (body,) = stage.queue.bodies
    stage.work(body)
    assert stage.work(body) is None
    assert stage.counts() == {"targeted": 20, "delivered": 20}
    assert all(len(posts) == 1 for posts in stage.management_api.posts.values())


def test_when_its_time_is_over_a_worker_hands_the_slice_on_and_nobody_hears_it_twice(
    executor: ThreadPoolExecutor,
) -> None:
    stage = Stage(executor, members=60, seconds=1.0)
    stage.hand_over()
    shifts = 0
    while shifts < len(stage.queue.bodies):
        stage.work(stage.queue.bodies[shifts])
        shifts += 1
    assert shifts == 3
    starts = [Task.from_text(body).start for body in stage.queue.bodies]
    assert starts == [None, *sorted(starts[1:], key=str)]
    assert stage.counts() == {"targeted": 60, "delivered": 60}
    assert all(len(posts) == 1 for posts in stage.management_api.posts.values())


def test_while_one_worker_has_a_slice_no_other_works_it(executor: ThreadPoolExecutor) -> None:
    stage = Stage(executor, members=5)
    stage.hand_over()
    task = Task.from_text(stage.queue.bodies[0])
    stage.store.claim(task, "another", NOW, NOW + 28)
    with pytest.raises(JobBusy):
        stage.work(stage.queue.bodies[0])
    assert stage.management_api.posts == {}
    stage.clock.now += 28
    assert stage.work(stage.queue.bodies[0]) == Delivery(delivered=5)


def test_a_worker_that_has_lost_its_slice_sends_to_no_further_page(
    executor: ThreadPoolExecutor,
) -> None:
    stage = Stage(executor, members=100)
    stage.hand_over()
    task = Task.from_text(stage.queue.bodies[0])

    class Overtaken(InMemoryConnectionRepository):
        def read(
            self, audience: Audience, shard: int, start: str | None, limit: int, now: float
        ) -> Page:
            if start is not None and start >= "connection-0020":
                stage.store.claim(task, "another", NOW + 99, NOW + 128)
            return super().read(audience, shard, start, limit, now)

    overtaken = Overtaken()
    for name in stage.names:
        overtaken.add(make_connection(name))
    stage.connections = overtaken
    with pytest.raises(JobBusy):
        stage.work(stage.queue.bodies[0])
    assert len(stage.management_api.posts) <= 30


@pytest.mark.parametrize("late", [0, 5])
def test_after_the_deadline_nobody_is_sent_to_and_all_are_counted(
    executor: ThreadPoolExecutor, late: int
) -> None:
    stage = Stage(executor, members=25)
    stage.hand_over(seconds=60)
    stage.clock.now += 60 + late
    assert stage.work(stage.queue.bodies[0]) == Delivery(deferred=25)
    assert stage.management_api.posts == {}
    assert stage.counts() == {"targeted": 25, "deferred": 25}


def test_a_deadline_that_passes_meanwhile_ends_the_job(executor: ThreadPoolExecutor) -> None:
    stage = Stage(executor, members=40, seconds=1.0)
    stage.hand_over(seconds=15)
    stage.work(stage.queue.bodies[0])
    assert len(stage.queue.bodies) == 1
    counts = stage.counts()
    assert counts["targeted"] == 40
    assert counts["delivered"] == len(stage.management_api.posts) == 15


def test_a_job_nobody_knows_any_more_is_no_fault(executor: ThreadPoolExecutor) -> None:
    stage = Stage(executor, members=1)
    assert stage.work(Task(JOB, 0, None).to_text()) is None


def test_a_store_that_fails_leaves_the_task_to_be_delivered_again_and_loses_no_count(
    executor: ThreadPoolExecutor,
) -> None:
    for writes in range(8):
        stage = Stage(executor, members=30)
        stage.hand_over()
        (body,) = stage.queue.bodies
        stage.store.fail_after(writes)
        try:
            stage.work(body)
        except ServiceUnavailable:
            stage.store.fail_after(None)
            stage.clock.now += SECONDS
            stage.work(body)
        assert_honest(stage)


def test_a_queue_that_fails_leaves_the_task_to_be_delivered_again(
    executor: ThreadPoolExecutor,
) -> None:
    stage = Stage(executor, members=60, seconds=1.0)
    stage.hand_over()
    (body,) = stage.queue.bodies
    stage.queue.is_down = True
    with pytest.raises(ServiceUnavailable):
        stage.work(body)
    stage.queue.is_down = False
    work_all(stage, [body], Random(0))
    assert stage.counts() == {"targeted": 60, "delivered": 60}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"shard":0}', Task(JOB, 0, None).to_text()[:-1] + ',"more":1}']
)
def test_what_is_no_task_is_a_fault_of_ours(text: str) -> None:
    with pytest.raises(UnexpectedEvent):
        Task.from_text(text)


@pytest.mark.parametrize("start", [None, "L0SM9cOFvHcCIhw="])
def test_a_task_comes_back_as_it_was_and_carries_nobodys_id_but_one(start: str | None) -> None:
    task = Task(Job("m1", Audience("channel", "news"), "a1", "dev", 17), 3, start)
    assert Task.from_text(task.to_text()) == task
    assert len(task.to_text()) < 1024


def work_all(stage: Stage, bodies: list[str], random: Random, twice: float = 0.0) -> None:
    """Deliver as SQS does: in any order, some twice, and again what was not done."""
    waiting, taken = list(bodies), len(stage.queue.bodies)
    for _ in range(10_000):
        if not waiting:
            return
        body = waiting.pop(random.randrange(len(waiting)))
        if random.random() < twice:
            waiting.append(body)
        try:
            stage.work(body)
        except (JobBusy, Killed, ServiceUnavailable):
            waiting.append(body)
            stage.clock.now += SECONDS / 2
        waiting += stage.queue.bodies[taken:]
        taken = len(stage.queue.bodies)
    raise AssertionError("never done")


def assert_honest(stage: Stage) -> None:
    posts = stage.management_api.posts
    counts = stage.counts()
    assert counts["targeted"] == counts["delivered"] == len(stage.names)
    assert posts.keys() == set(stage.names)
    assert sum(len(it) > 1 for it in posts.values()) <= counts.get("repeated", 0)


@given(
    audience=st.tuples(st.integers(0, 120), st.integers(1, 4)),
    kills=st.lists(st.integers(1, 150), max_size=6),
    seconds=st.sampled_from([0.0, 0.5, 2.0]),
    luck=st.tuples(st.sampled_from([0.0, 0.2, 0.5]), st.integers(0, 2**32)),
)
@settings(max_examples=200, deadline=None)
@example(audience=(52, 1), kills=[51], seconds=0.0, luck=(0.0, 57))
def test_whoever_dies_and_whatever_is_delivered_twice_all_are_reached_and_repeats_are_counted(
    executor: ThreadPoolExecutor,
    audience: tuple[int, int],
    kills: list[int],
    seconds: float,
    luck: tuple[float, int],
) -> None:
    members, shards = audience
    twice, seed = luck
    stage = Stage(executor, members=members, shards=shards, kills=kills, seconds=seconds, seed=seed)
    stage.hand_over(seconds=100_000)
    work_all(stage, list(stage.queue.bodies), Random(seed), twice)
    counts = stage.counts()
    posts = stage.management_api.posts
    assert set(posts) == set(stage.names)
    assert counts.get("targeted", 0) == counts.get("delivered", 0) == members
    in_doubt = counts.get("repeated", 0)
    assert sum(len(it) > 1 for it in posts.values()) <= in_doubt
    assert in_doubt <= most_in_doubt(stage) * len(set(kills))
    if not kills:
        assert Counter(map(len, posts.values())) == Counter({1: members} if members else {})


def most_in_doubt(stage: Stage) -> int:
    """Return how many one death may leave in doubt, whenever the pages were read.

    Three pages at most, one being sent, one read ahead, one not yet noted; and those who wait for
    the answer to one before them.
    """
    return 3 * 10 + 1 + stage.management_api.lag


def test_after_a_death_only_those_in_doubt_are_counted_as_repeated(
    executor: ThreadPoolExecutor,
) -> None:
    stage = Stage(executor, members=100, kills=[35])
    stage.hand_over()
    (body,) = stage.queue.bodies
    with pytest.raises(Killed):
        stage.work(body)
    with pytest.raises(JobBusy):
        stage.work(body)
    stage.clock.now += SECONDS
    stage.work(body)
    counts = stage.counts()
    twice = [name for name, posts in stage.management_api.posts.items() if len(posts) > 1]
    assert 0 < len(twice) <= counts["repeated"] <= most_in_doubt(stage) < 60
    assert counts["delivered"] == counts["targeted"] == 100


def test_who_has_gone_is_forgotten_by_a_worker_too(executor: ThreadPoolExecutor) -> None:
    stage = Stage(executor, members=3)
    stage.management_api.fail("connection-0001", ConnectionGone("connection-0001"))
    stage.hand_over()
    assert stage.work(stage.queue.bodies[0]) == Delivery(delivered=2, gone=1)
    assert stage.connections.get("connection-0001", NOW) is None
