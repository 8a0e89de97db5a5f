"""What is promised of the order of messages, and what is not."""

import json
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

from chalicelib.broadcast import Broadcaster, Posted, Sending
from chalicelib.connections import Audience, Member
from chalicelib.gate import Gate
from chalicelib.messages import Router
from chalicelib.renewal import Renewal
from chalicelib.scopes import Scopes
from tests.factories import NOW, make_connection, make_incoming
from tests.fakes import Clock, FakeManagementAPI, InMemoryConnectionRepository, InMemoryRevocations

RECEIVER = "receiver"


class OvertakingManagementAPI(FakeManagementAPI):
    """The first broadcast waits until the second one has been sent, if that comes."""

    def __init__(self, patience: float) -> None:
        super().__init__()
        self._patience = patience
        self._numbers = count()
        self.first_began = threading.Event()
        self._second = threading.Event()

    def post_to_members(
        self, members: Iterable[Member | None], *rest: Any, **options: Any
    ) -> Iterator[Posted]:
        number = next(self._numbers)
        if number == 0:
            self.first_began.set()
            self._second.wait(self._patience)
        yield from super().post_to_members(members, *rest, **options)
        if number == 1:
            self._second.set()


def send(router: Router, clock: Clock, text: str) -> Any:
    clock.now += 0.001
    body = {"action": "sendmessage", "message": text}
    return json.loads(router.respond(make_incoming(body, connection_id=RECEIVER)).frame)["result"]


def received(management_api: FakeManagementAPI) -> list[Any]:
    return [json.loads(post) for post in management_api.posts[RECEIVER]]


def router_of(
    management_api: FakeManagementAPI, clock: Clock, executor: ThreadPoolExecutor
) -> Router:
    connections = InMemoryConnectionRepository()
    connections.add(make_connection(RECEIVER))
    broadcaster = Broadcaster(Sending(connections, management_api, executor, clock))

    def broadcast(audience: Audience, payload: bytes, message_id: str) -> Any:
        return broadcaster.broadcast(audience, payload, message_id).to_dict()

    scopes = Scopes.parse("connect sendmessage")
    gate = Gate(connections, None, clock)
    renew = Renewal(lambda: (), connections, InMemoryRevocations(), clock).renew
    return Router(gate, renew, connections, broadcast, clock, lambda bits: 0, scopes, 50)


def test_who_waits_for_each_reply_is_delivered_in_order() -> None:
    management_api, clock = OvertakingManagementAPI(0.05), Clock(NOW)
    with ThreadPoolExecutor(4) as executor:
        router = router_of(management_api, clock, executor)
        for text in ("first", "second", "third"):
            send(router, clock, text)
    assert [it["message"] for it in received(management_api)] == ["first", "second", "third"]


def test_who_does_not_wait_may_be_overtaken_and_message_ids_tell_the_order() -> None:
    management_api, clock = OvertakingManagementAPI(60.0), Clock(NOW)
    with ThreadPoolExecutor(4) as executor, ThreadPoolExecutor(1) as handler:
        router = router_of(management_api, clock, executor)
        first = handler.submit(send, router, clock, "first")
        assert management_api.first_began.wait(60)
        send(router, clock, "second")
        first.result()
    frames = received(management_api)
    assert [frame["message"] for frame in frames] == ["second", "first"]
    by_id = sorted(frames, key=lambda frame: str(frame["messageId"]))
    assert [frame["message"] for frame in by_id] == ["first", "second"]
