"""The log: one readable line an event, or one JSON object; colour on a terminal only."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import IO, Any

logger = logging.getLogger("localgateway")

_RED, _GREEN, _DIM, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
_FINE = ("ok", "101", "1000", "1001", "1005")


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened to a connection; never what a client sent."""

    connection_id: str
    route_key: str
    status: str
    milliseconds: float


def occurred(occurrence: Occurrence) -> None:
    """Log one event of the gateway.

    Written without a ``LogRecord``, which is most of what a line costs, and a busy gateway writes
    thousands a second.
    """
    for handler in logger.handlers:
        if isinstance(handler, OccurrenceHandler):
            handler.write(occurrence)


class OccurrenceFormatter(logging.Formatter):
    """Formats both what goes through logging and what ``occurred``."""

    def occurrence(self, occurrence: Occurrence, at: float) -> str:
        """Return one event's line; ``at`` is in seconds since the epoch."""
        raise TypeError("one of the two below is meant")


class TextFormatter(OccurrenceFormatter):
    """``10:23:51.071 7qc1Uo6E1mmKkVM= sendmessage ok 14.3 ms``."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def occurrence(self, occurrence: Occurrence, at: float) -> str:
        """Return one event's line."""
        colour = _GREEN if occurrence.status in _FINE else _RED
        status = self._paint(colour, occurrence.status)
        where = f"{occurrence.connection_id} {occurrence.route_key}"
        return f"{self._clock(at)} {where} {status} {occurrence.milliseconds:.1f} ms"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and a traceback below it where there is one."""
        bad = record.levelno >= logging.WARNING
        text = self._paint(_RED, record.getMessage()) if bad else record.getMessage()
        line = f"{self._clock(record.created)} {text}"
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return line

    def _clock(self, at: float) -> str:
        return self._paint(_DIM, f"{_second(int(at))}.{int(at % 1 * 1000):03d}")

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colour else text


class JsonFormatter(OccurrenceFormatter):
    """One object a line: ``time``, ``level``, and the occurrence's fields or ``message``."""

    def occurrence(self, occurrence: Occurrence, at: float) -> str:
        """Return one event's line."""
        fields = asdict(occurrence) | {"milliseconds": round(occurrence.milliseconds, 3)}
        return json.dumps({"time": round(at, 3), "level": "INFO", **fields})

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {"time": round(record.created, 3), "level": record.levelname}
        line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class OccurrenceHandler(logging.StreamHandler[IO[str]]):
    """Writes to a stream what goes through logging and what ``occurred``."""

    def __init__(self, stream: IO[str], formatter: OccurrenceFormatter) -> None:
        super().__init__(stream)
        self.setFormatter(formatter)
        self._lines = formatter

    def write(self, occurrence: Occurrence) -> None:
        """Write one event's line."""
        self.stream.write(self._lines.occurrence(occurrence, time.time()) + "\n")
        self.stream.flush()


@lru_cache(maxsize=2)
def _second(at: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def configure(log_format: str, stream: IO[str]) -> None:
    """Write the gateway's log to a stream as ``text`` or ``json``; the app's own log is its own."""
    json_lines = log_format == "json"
    formatter = JsonFormatter() if json_lines else TextFormatter(colour=stream.isatty())
    # Nothing here or in Chalice's format says which thread or process wrote a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logger.handlers = [OccurrenceHandler(stream, formatter)]
    logger.propagate = False
    logger.setLevel(logging.INFO)
