"""The log: one readable line an event, or one JSON object; colour on a terminal only."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass
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
    """Log one event of the gateway."""
    logger.info("%s", occurrence, extra={"occurrence": occurrence})


class TextFormatter(logging.Formatter):
    """``10:23:51.071 7qc1Uo6E1mmKkVM= sendmessage ok 14.3 ms``."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and a traceback below it where there is one."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{self._paint(_DIM, f'{clock}.{int(record.msecs):03d}')} {self._text(record)}"
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return line

    def _text(self, record: logging.LogRecord) -> str:
        occurrence = getattr(record, "occurrence", None)
        if occurrence is None:
            bad = record.levelno >= logging.WARNING
            return self._paint(_RED, record.getMessage()) if bad else record.getMessage()
        colour = _GREEN if occurrence.status in _FINE else _RED
        status = self._paint(colour, occurrence.status)
        where = f"{occurrence.connection_id} {occurrence.route_key}"
        return f"{where} {status} {occurrence.milliseconds:.1f} ms"

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colour else text


class JsonFormatter(logging.Formatter):
    """One object a line: ``time``, ``level``, and the occurrence's fields or ``message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {"time": round(record.created, 3), "level": record.levelname}
        occurrence = getattr(record, "occurrence", None)
        if occurrence is None:
            line["message"] = record.getMessage()
        else:
            line |= asdict(occurrence) | {"milliseconds": round(occurrence.milliseconds, 3)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(log_format: str, stream: IO[str]) -> None:
    """Write the gateway's log to a stream as ``text`` or ``json``; the app's own log is its own."""
    handler = logging.StreamHandler(stream)
    colour = log_format == "text" and stream.isatty()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter(colour=colour))
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
