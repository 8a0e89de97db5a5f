from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from localgateway.errors import StartError
from localgateway.schedules import Schedule, scheduled_event

FRIDAY = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)


def runs(expression: str, at: str) -> bool:
    return Schedule(expression).is_due(datetime.fromisoformat(f"{at}+00:00"), 1)


@pytest.mark.parametrize(
    ("expression", "minutes"),
    [
        ("rate(1 minute)", [1, 2, 3, 4]),
        ("rate(2 minutes)", [2, 4]),
        ("rate(1 hour)", [60, 120]),
        ("rate(1 day)", [1440]),
    ],
)
def test_a_rate_counts_from_the_start(expression: str, minutes: list[int]) -> None:
    schedule = Schedule(expression)
    due = [n for n in range(1, max(minutes) + 1) if schedule.is_due(FRIDAY, n)]
    assert due == minutes


@pytest.mark.parametrize(
    ("expression", "at", "due"),
    [
        pytest.param("cron(15 10 * * ? *)", "2026-11-20T10:15", True, id="a time of each day"),
        pytest.param("cron(15 10 * * ? *)", "2026-11-20T10:16", False, id="a minute late"),
        pytest.param("cron(0/15 * * * ? *)", "2026-11-20T10:45", True, id="every 15 minutes"),
        pytest.param("cron(0/15 * * * ? *)", "2026-11-20T10:50", False, id="between them"),
        pytest.param("cron(5/15 * * * ? *)", "2026-11-20T10:20", True, id="every 15 from 5"),
        pytest.param("cron(0 18 ? * MON-FRI *)", "2026-11-20T18:00", True, id="on a weekday"),
        pytest.param("cron(0 18 ? * MON-FRI *)", "2026-11-21T18:00", False, id="not on Saturday"),
        pytest.param("cron(0 8 1 * ? *)", "2026-12-01T08:00", True, id="first of the month"),
        pytest.param("cron(0 8 L * ? *)", "2026-02-28T08:00", True, id="last of February"),
        pytest.param("cron(0 8 L * ? *)", "2028-02-28T08:00", False, id="not in a leap year"),
        pytest.param("cron(0 8 15W * ? *)", "2026-11-16T08:00", True, id="15th is a Sunday"),
        pytest.param("cron(0 8 1W * ? *)", "2026-08-03T08:00", True, id="1st is a Saturday"),
        pytest.param("cron(0 8 ? * 6#3 *)", "2026-11-20T08:00", True, id="third Friday"),
        pytest.param("cron(0 8 ? * 6#3 *)", "2026-11-27T08:00", False, id="not the fourth"),
        pytest.param("cron(0 8 ? * 6L *)", "2026-11-27T08:00", True, id="last Friday"),
        pytest.param("cron(0 8 ? JAN,NOV * *)", "2026-11-20T08:00", True, id="named months"),
        pytest.param("cron(0 8 ? * SUN 2026-2027)", "2026-11-22T08:00", True, id="Sunday is 1"),
        pytest.param("cron(0 8 ? * 1 2027)", "2026-11-22T08:00", False, id="another year"),
    ],
)
def test_a_cron_expression_is_due(expression: str, at: str, due: bool) -> None:
    assert runs(expression, at) is due


def test_a_daily_schedule_is_due_once_a_day() -> None:
    schedule = Schedule("cron(15 10 * * ? *)")
    minutes = [FRIDAY + timedelta(minutes=n) for n in range(3 * 1440)]
    assert sum(schedule.is_due(at, 1) for at in minutes) == 3


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "rate(5)",
        "rate(0 minutes)",
        "rate(five minutes)",
        "cron(* * *)",
        "cron(x * * * ? *)",
        "cron(30 FOO * * ? *)",
        "cron(*/0 * * * ? *)",
        "cron(*/x * * * ? *)",
        "cron(0 8 ? * XYZ#2 *)",
        "at(1)",
    ],
)
def test_what_eventbridge_refuses_is_refused_at_start(expression: str) -> None:
    with pytest.raises(StartError):
        Schedule(expression)


def test_a_scheduled_event_is_of_eventbridges_shape() -> None:
    event = scheduled_event("sweep", FRIDAY, "us-east-1", "123456789012", "an-id")
    assert event["source"] == "aws.events"
    assert event["detail-type"] == "Scheduled Event"
    assert event["time"] == "2026-11-20T10:15:00Z"
    assert event["resources"] == ["arn:aws:events:us-east-1:123456789012:rule/sweep"]
    assert event["detail"] == {}
