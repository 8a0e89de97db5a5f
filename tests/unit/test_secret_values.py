"""Secrets that are fetched: cached, rotated, and never a reason to let somebody in."""

import logging
import threading

import pytest

from chalicelib.errors import ConfigurationError, PortcullisError, ServiceUnavailable
from chalicelib.secret_values import (
    EARLY_SECONDS,
    MAX_STALE_SECONDS,
    FixedSecret,
    StoredSecret,
    Versions,
    literal,
)
from chalicelib.settings import DEMONSTRATION_VALUES
from tests.factories import NOW
from tests.fakes import Clock, FakeSecretStore

OLD, NEW = "0ld-horse-battery", "c0rrect-horse-battery"
CACHE_SECONDS = 300
DOWN = ServiceUnavailable("SSM, GetParameter: 500 InternalServerError")
GONE = ConfigurationError("SSM, GetParameter: 400 ParameterNotFound")
ROTATED = Versions(NEW, OLD, NOW + 3600)


class Stored:
    """A stored secret, what its store holds, and the time."""

    def __init__(self, holds: Versions | PortcullisError) -> None:
        self.store = FakeSecretStore(holds)
        self.clock = Clock(NOW)
        self.secret = StoredSecret(
            "SHARED_TOKEN (parameter /p/token)",
            self.store.fetch,
            self.clock,
            cache_seconds=CACHE_SECONDS,
            refused=DEMONSTRATION_VALUES,
        )

    def after(self, seconds: float, holds: Versions | PortcullisError) -> StoredSecret:
        self.clock.sleep(seconds)
        self.store.holds = holds
        return self.secret


def test_a_fixed_secret_is_its_value_and_does_not_show_it() -> None:
    assert FixedSecret(NEW).values() == (NEW,)
    assert NEW not in repr(FixedSecret(NEW))


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="empty"):
        FixedSecret("")


def test_a_missing_literal_names_all_the_places_it_may_come_from() -> None:
    assert literal("SHARED_TOKEN", NEW).values() == (NEW,)
    for variable in ("SHARED_TOKEN ", "SHARED_TOKEN_PARAMETER", "SHARED_TOKEN_SECRET"):
        with pytest.raises(ConfigurationError, match=variable):
            literal("SHARED_TOKEN", None)


def test_nothing_is_fetched_before_it_is_used_and_then_once_for_minutes() -> None:
    stored = Stored(Versions(NEW))
    assert stored.store.fetches == 0
    for _ in range(3):
        assert stored.after(CACHE_SECONDS / 3 - 1, Versions(NEW)).values() == (NEW,)
    assert stored.store.fetches == 1


def test_a_value_is_fetched_again_once_it_is_minutes_old() -> None:
    stored = Stored(Versions(OLD))
    stored.secret.values()
    assert stored.after(CACHE_SECONDS, Versions(NEW)).values() == (NEW,)
    assert stored.store.fetches == 2


def test_a_clock_that_was_set_back_does_not_keep_a_value_alive() -> None:
    stored = Stored(Versions(OLD))
    stored.secret.values()
    assert stored.after(-10_000, Versions(NEW)).values() == (NEW,)


def test_during_a_rotation_old_and_new_are_accepted_and_then_the_new_one_alone() -> None:
    stored = Stored(Versions(NEW, OLD, NOW + 10))
    assert stored.secret.values() == (NEW, OLD)
    assert stored.after(9.9, DOWN).values() == (NEW, OLD)
    assert stored.after(0.1, DOWN).values() == (NEW,)
    assert stored.store.fetches == 1


def test_while_the_store_is_silent_the_last_value_serves_for_an_hour_and_no_longer() -> None:
    stored = Stored(Versions(NEW))
    stored.secret.values()
    assert stored.after(CACHE_SECONDS, DOWN).values() == (NEW,)
    assert stored.after(MAX_STALE_SECONDS - 1, DOWN).values() == (NEW,)
    with pytest.raises(ServiceUnavailable, match="parameter /p/token"):
        stored.after(1, DOWN).values()
    assert stored.after(EARLY_SECONDS, Versions(OLD)).values() == (OLD,)


def test_a_store_that_is_silent_is_not_asked_all_the_time() -> None:
    stored = Stored(Versions(NEW))
    stored.secret.values()
    stored.after(CACHE_SECONDS, DOWN).values()
    for _ in range(10):
        stored.after((EARLY_SECONDS - 1) / 10, DOWN).values()
    assert stored.store.fetches == 2
    stored.after(1, DOWN).values()
    assert stored.store.fetches == 3


def test_a_stale_value_is_logged_by_its_name_alone(caplog: pytest.LogCaptureFixture) -> None:
    stored = Stored(Versions(NEW, OLD, NOW + 3600))
    stored.secret.values()
    with caplog.at_level(logging.WARNING):
        stored.after(CACHE_SECONDS, DOWN).values()
    (record,) = caplog.records
    assert "SHARED_TOKEN (parameter /p/token)" in record.getMessage()
    assert "InternalServerError" in record.getMessage()
    assert not {NEW, OLD} & set(record.getMessage().split('"'))


@pytest.mark.parametrize(
    "holds",
    [
        pytest.param(DOWN, id="a store that does not answer"),
        pytest.param(GONE, id="no such secret"),
        pytest.param(Versions(""), id="an empty value"),
        pytest.param(Versions("", OLD, NOW + 3600), id="an empty value after another one"),
        pytest.param(Versions("hello"), id="a demonstration value"),
    ],
)
def test_where_there_was_never_a_value_the_fault_is_raised_as_what_it_is(
    holds: Versions | PortcullisError,
) -> None:
    stored = Stored(holds)
    kind = ServiceUnavailable if holds is DOWN else ConfigurationError
    for _ in range(3):
        with pytest.raises(kind, match="SHARED_TOKEN") as caught:
            stored.secret.values()
        assert "hello" not in str(caught.value)
    assert stored.store.fetches == 1
    with pytest.raises(kind):
        stored.secret.reread()


def test_a_store_that_failed_at_first_is_asked_again_a_second_later() -> None:
    stored = Stored(DOWN)
    with pytest.raises(ServiceUnavailable):
        stored.secret.values()
    assert stored.after(1, Versions(NEW)).values() == (NEW,)


@pytest.mark.parametrize(
    "holds", [GONE, Versions(""), Versions("hello")], ids=["deleted", "emptied", "set to hello"]
)
def test_a_clear_answer_of_the_store_ends_the_old_value_at_once(
    holds: Versions | PortcullisError,
) -> None:
    stored = Stored(Versions(NEW))
    stored.secret.values()
    with pytest.raises(ConfigurationError, match="SHARED_TOKEN"):
        stored.after(CACHE_SECONDS, holds).values()
    with pytest.raises(ServiceUnavailable):
        stored.after(1, DOWN).values()


def test_a_clear_answer_counts_though_the_cached_value_is_young_and_so_does_the_next_one() -> None:
    stored = Stored(Versions(OLD))
    stored.secret.values()
    with pytest.raises(ConfigurationError, match="SHARED_TOKEN"):
        stored.after(EARLY_SECONDS, GONE).reread()
    assert stored.after(1, Versions(NEW)).values() == (NEW,)


def test_a_fault_of_the_program_is_not_taken_for_an_answer() -> None:
    stored = Stored(Versions(NEW))

    def fetch() -> Versions:
        raise KeyError("Parameter")

    secret = StoredSecret("SHARED_TOKEN", fetch, stored.clock, cache_seconds=CACHE_SECONDS)
    with pytest.raises(KeyError):
        secret.values()
    with pytest.raises(ServiceUnavailable, match="SHARED_TOKEN: not fetched"):
        secret.values()


@pytest.mark.parametrize("previous", ["hello", "", None])
def test_a_demonstration_value_that_was_mended_is_not_accepted_for_a_rotation(
    previous: str | None,
) -> None:
    assert Stored(Versions(NEW, previous, NOW + 3600)).secret.values() == (NEW,)


def test_a_mismatch_fetches_early_but_not_more_often_than_twice_a_minute() -> None:
    stored = Stored(Versions(OLD))
    stored.secret.values()
    for _ in range(100):
        assert not stored.after(0.25, ROTATED).reread()
    assert stored.secret.values() == (OLD,)
    assert stored.after(EARLY_SECONDS - 25, ROTATED).reread()
    assert stored.secret.values() == (NEW, OLD)
    assert not stored.secret.reread()
    assert stored.store.fetches == 2


def test_a_mismatch_while_the_cached_value_is_young_is_a_mismatch_though_the_store_is_down() -> (
    None
):
    stored = Stored(Versions(NEW))
    stored.secret.values()
    assert not stored.after(EARLY_SECONDS, DOWN).reread()
    assert stored.secret.values() == (NEW,)


def test_a_mismatch_with_a_stale_value_proves_nothing_and_is_raised_as_a_fault() -> None:
    stored = Stored(Versions(NEW))
    stored.secret.values()
    assert stored.after(CACHE_SECONDS, DOWN).values() == (NEW,)
    with pytest.raises(ServiceUnavailable, match="SHARED_TOKEN"):
        stored.secret.reread()


def test_values_are_not_shown() -> None:
    stored = Stored(ROTATED)
    stored.secret.values()
    for shown in (repr(stored.secret), str(stored.secret), repr(ROTATED)):
        assert NEW not in shown
        assert OLD not in shown


def test_threads_that_come_together_fetch_once() -> None:
    release = threading.Event()
    stored = Stored(Versions(NEW))

    def fetch() -> Versions:
        assert release.wait(60)
        return stored.store.fetch()

    secret = StoredSecret("name", fetch, stored.clock, cache_seconds=CACHE_SECONDS)
    found: list[tuple[str, ...]] = []
    threads = [threading.Thread(target=lambda: found.append(secret.values())) for _ in range(8)]
    for thread in threads:
        thread.start()
    release.set()
    for thread in threads:
        thread.join(60)
    assert found == [(NEW,)] * 8
    assert stored.store.fetches == 1
