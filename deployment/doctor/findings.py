"""What the doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is; only problems and what could not be seen change the exit code."""

    PROBLEM = "problem"
    UNSEEN = "unseen"
    WARNING = "warning"
    NOTE = "note"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what about what, and what to do. Never holds a value that may be secret."""

    level: Level
    check: str
    message: str
    remedy: str = ""


def problem(check: str, message: str, remedy: str = "") -> Finding:
    """Return something that is wrong."""
    return Finding(Level.PROBLEM, check, message, remedy)


def warning(check: str, message: str, remedy: str = "") -> Finding:
    """Return something that works and should not stay."""
    return Finding(Level.WARNING, check, message, remedy)


def note(check: str, message: str) -> Finding:
    """Return something worth knowing."""
    return Finding(Level.NOTE, check, message)


def unseen(check: str, message: str, remedy: str = "") -> Finding:
    """Return something that could not be looked at."""
    return Finding(Level.UNSEEN, check, message, remedy)


def not_looked(check: str) -> Finding:
    """Return that a check had nothing to judge; why is said elsewhere."""
    return note(check, "not looked at, for the API cannot be seen")
