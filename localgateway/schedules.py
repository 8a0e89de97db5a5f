"""When a schedule of EventBridge is due: ``rate(5 minutes)`` and ``cron(0 10 ? * MON-FRI *)``.

Pure. Times are UTC, as EventBridge's are.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from localgateway.errors import StartError
from localgateway.events import Event

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
_MINUTES = {"minute": 1, "hour": 60, "day": 1440}
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {
    name: number for number, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], 1)
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule, checked once a minute."""

    expression: str

    def __post_init__(self) -> None:
        """Refuse at start what EventBridge would refuse."""
        if _RATE.fullmatch(self.expression) is None and _CRON.fullmatch(self.expression) is None:
            raise StartError(f"schedule {self.expression!r} is neither rate(…) nor cron(…)")
        rate, cron = _RATE.fullmatch(self.expression), _CRON.fullmatch(self.expression)
        if rate is not None and int(rate[1]) == 0:
            raise StartError(f"schedule {self.expression!r}: a rate is 1 or more")
        if cron is not None:
            list(_fields(cron, datetime(2026, 1, 1, tzinfo=UTC)))  # every field, to refuse any

    def is_due(self, at: datetime, minutes_since_start: int) -> bool:
        """Tell whether the schedule runs in the minute of ``at``; a rate counts from the start."""
        rate = _RATE.fullmatch(self.expression)
        if rate is not None:
            return minutes_since_start % (int(rate[1]) * _MINUTES[rate[2]]) == 0
        cron = _CRON.fullmatch(self.expression)
        assert cron is not None
        return all(_fields(cron, at))


def scheduled_event(name: str, at: datetime, region: str, account_id: str, event_id: str) -> Event:
    """Return what EventBridge hands to a scheduled function."""
    return {
        "version": "0",
        "id": event_id,
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": account_id,
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [f"arn:aws:events:{region}:{account_id}:rule/{name}"],
        "detail": {},
    }


def _fields(cron: re.Match[str], at: datetime) -> Iterator[bool]:
    """Yield for each field whether it holds at a time; raises ``StartError`` for a wrong one."""
    minute, hour, day, month, weekday, year = cron.groups()
    yield _matches(minute, at.minute, 0, 59)
    yield _matches(hour, at.hour, 0, 23)
    yield _matches(month, at.month, 1, 12, _MONTHS)
    yield _matches(year, at.year, 1970, 2199)
    yield _is_day(day, at)
    yield _is_weekday(weekday, at)


def _matches(
    field: str, value: int, lowest: int, highest: int, names: dict[str, int] | None = None
) -> bool:
    parts = [_in_part(part, value, lowest, highest, names or {}) for part in field.split(",")]
    return any(parts)


def _in_part(part: str, value: int, lowest: int, highest: int, names: dict[str, int]) -> bool:
    span, _, step = part.partition("/")
    if span in {"*", "?"}:
        first, last = lowest, highest
    else:
        start, _, end = span.partition("-")
        first = _number(start, names)
        last = _number(end, names) if end else (highest if step else first)
    every = _number(step, {}) if step else 1
    if every < 1:
        raise StartError(f"{part!r}: a step is 1 or more")
    return first <= value <= last and (value - first) % every == 0


def _is_day(field: str, at: datetime) -> bool:
    last = calendar.monthrange(at.year, at.month)[1]
    if field == "L":
        return at.day == last
    if field.endswith("W"):
        return at.day == _nearest_weekday(at.year, at.month, min(_number(field[:-1], {}), last))
    return _matches(field, at.day, 1, 31)


def _is_weekday(field: str, at: datetime) -> bool:
    weekday = at.isoweekday() % 7 + 1  # Sunday is 1
    if field.endswith("L") and field != "L":
        last = calendar.monthrange(at.year, at.month)[1]
        return weekday == _number(field[:-1], _DAYS) and at.day + 7 > last
    if "#" in field:
        day, _, nth = field.partition("#")
        return weekday == _number(day, _DAYS) and (at.day - 1) // 7 + 1 == _number(nth, {})
    return _matches("7" if field == "L" else field, weekday, 1, 7, _DAYS)


def _nearest_weekday(year: int, month: int, day: int) -> int:
    last = calendar.monthrange(year, month)[1]
    weekday = datetime(year, month, day, tzinfo=UTC).isoweekday()
    if weekday == 6:
        return day - 1 if day > 1 else day + 2
    if weekday == 7:
        return day + 1 if day < last else day - 2
    return day


def _number(text: str, names: dict[str, Any]) -> int:
    try:
        return int(names.get(text.upper(), text))
    except ValueError as error:
        raise StartError(f"{text!r} has no place in a schedule") from error
