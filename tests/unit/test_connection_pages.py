"""Pages of audiences, and cursors that nobody has to be trusted with."""

import base64
import hashlib
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.connection_pages import MAX_READS, read_page
from chalicelib.connections import EVERYONE, Audience, Page
from chalicelib.errors import ClientError
from tests.factories import NOW, make_connection
from tests.fakes import InMemoryConnectionRepository


def filled(count: int, shards: int = 4, **changes: Any) -> InMemoryConnectionRepository:
    connections = InMemoryConnectionRepository(everyone_shards=shards)
    for number in range(count):
        connections.add(make_connection(f"id{number:04}", **changes))
    return connections


def pages(connections: InMemoryConnectionRepository, limit: int) -> list[list[str]]:
    found, cursor = [], None
    while True:
        page = read_page(connections, EVERYONE, cursor, limit, NOW)
        found.append([member.connection_id for member in page.members])
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 7, 25, 26, 500])
def test_everyone_is_on_exactly_one_page(limit: int) -> None:
    found = pages(filled(25), limit)
    assert sorted(each for page in found for each in page) == [f"id{n:04}" for n in range(25)]
    assert all(len(page) <= limit for page in found)


def test_an_empty_audience_has_one_empty_page() -> None:
    assert pages(filled(0), 10) == [[]]


def test_those_who_have_expired_are_passed_over() -> None:
    connections = filled(10, expires_at=int(NOW) - 1)
    connections.add(make_connection("zz"))
    assert [each for page in pages(connections, 3) for each in page] == ["zz"]


def test_a_page_stops_reading_somewhere() -> None:
    connections = filled(MAX_READS + 10, shards=1, expires_at=int(NOW) - 1)
    page = read_page(connections, EVERYONE, None, 1, NOW)
    assert page.members == ()
    assert page.cursor is not None


class Spying(InMemoryConnectionRepository):
    """Remembers which partitions were read."""

    def __init__(self) -> None:
        super().__init__(everyone_shards=2)
        self.asked: set[tuple[str, int, str | None]] = set()

    def read(
        self, audience: Audience, shard: int, start: str | None, limit: int, now: float
    ) -> Page:
        self.asked.add((str(audience), shard, start))
        return super().read(audience, shard, start, limit, now)


def test_the_longest_names_have_cursors_that_are_taken() -> None:
    audience = Audience.parse("principal:" + "日" * 341)
    connections = InMemoryConnectionRepository()
    for number in range(3):
        connections.add(make_connection("x" * 127 + str(number), audience.name))
    cursor = None
    for _ in range(3):
        page = read_page(connections, audience, cursor, 1, NOW)
        assert len(page.members) == 1
        cursor = page.cursor
    assert cursor is None or read_page(connections, audience, cursor, 1, NOW).members == ()


def named(audience: str) -> str:
    return hashlib.sha256(audience.encode()).hexdigest()[:16]


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


EVERYONE_NAMED = named("everyone")
FORGED = {
    "an audience by its name": encoded(["everyone", 0, None]),
    "another audience": encoded([named("principal:bob"), 0, None]),
    "a shard that is none": encoded([EVERYONE_NAMED, 2, None]),
    "a negative shard": encoded([EVERYONE_NAMED, -1, None]),
    "a shard that is no number": encoded([EVERYONE_NAMED, True, None]),
    "a half shard": encoded([EVERYONE_NAMED, 0.5, None]),
    "a place that is no id": encoded([EVERYONE_NAMED, 0, "a#b"]),
    "a list too long": encoded([EVERYONE_NAMED, 0, None, None]),
    "an object": encoded({"pk": {"S": "keys"}}),
    "no JSON": base64.urlsafe_b64encode(b"{").decode(),
    "no base64": "!",
    "not ASCII": "é",
    "deep": base64.urlsafe_b64encode(b"[" * 1400).decode(),
    "long": "A" * 5000,
    "empty": "",
}


@pytest.mark.parametrize("cursor", FORGED.values(), ids=FORGED)
def test_a_forged_cursor_is_refused_and_reads_nothing(cursor: str) -> None:
    connections = Spying()
    with pytest.raises(ClientError) as refused:
        read_page(connections, EVERYONE, cursor, 10, NOW)
    assert refused.value.code == "invalid_cursor"
    assert connections.asked == set()


@given(st.one_of(st.text(max_size=80), st.lists(st.one_of(st.text(), st.integers(), st.none()))))
def test_no_cursor_reads_beyond_the_audience(value: object) -> None:
    connections = Spying()
    cursor = value if isinstance(value, str) else encoded(value)
    with suppress(ClientError):
        read_page(connections, EVERYONE, cursor, 10, NOW)
    assert {name for name, *_ in connections.asked} <= {"everyone"}


def test_what_is_forged_above_differs_from_a_good_one_in_one_thing_only() -> None:
    cursor = encoded([EVERYONE_NAMED, 1, "abc"])
    assert read_page(Spying(), EVERYONE, cursor, 10, NOW).members == ()


def test_a_connection_is_an_audience_of_one() -> None:
    connections = filled(3)
    page = read_page(connections, Audience.parse("connection:id0001"), None, 10, NOW)
    assert [member.connection_id for member in page.members] == ["id0001"]
    assert page.cursor is None
