"""Reads environment variables, and gathers all that is wrong with them before it complains."""

import re
from collections.abc import Collection, Mapping

from chalicelib.errors import ConfigurationError

_ENDPOINT = re.compile(r"https?://[^\s/?#@]+[^\s?#]*")
_STAGE_VARIABLE = re.compile(r"([A-Za-z0-9_]+)=([A-Za-z0-9._~:/?#&=-]*)")


class Reader:
    """Reads variables and gathers what is wrong with them; never repeats a value."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.asked: set[str] = set()
        """The names of all that was asked for, set or not."""
        self._environ = environ
        self._missing: list[str] = []
        self._invalid: list[str] = []

    def optional(self, variable: str) -> str | None:
        """An empty variable counts as none: an empty secret must not match an empty header."""
        self.asked.add(variable)
        return self._environ.get(variable) or None

    def required(self, variable: str) -> str:
        """Return a text, empty where ``finish`` will say that it is missing."""
        value = self.optional(variable)
        if value is None:
            self._missing.append(variable)
        return value or ""

    def matching(self, variable: str, pattern: re.Pattern[str], default: str = "") -> str:
        """Return a text of this form."""
        value = self.optional(variable) or default
        if not value:
            self._missing.append(variable)
        elif not pattern.fullmatch(value):
            self._invalid.append(variable)
        return value

    def items(self, variable: str, default: str = "") -> tuple[str, ...]:
        """Return texts between commas, each once."""
        texts = (self.optional(variable) or default).split(",")
        return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))

    def choices(self, variable: str, known: Collection[str], default: str) -> tuple[str, ...]:
        """Return some of the known names, in the order they are written in."""
        chosen = self.items(variable, default)
        if not set(chosen) <= set(known) or not chosen:
            self.refuse(f"{variable} (of {', '.join(known)})")
            return tuple(name for name in chosen if name in known)
        return chosen

    def count(self, variable: str, default: int, *, least: int = 1, most: int) -> int:
        """Return a whole number."""
        value = self.optional(variable) or str(default)
        if re.fullmatch(r"0|[1-9][0-9]{0,8}", value) and least <= int(value) <= most:
            return int(value)
        self.refuse(f"{variable} (a number from {least} to {most})")
        return default

    def switch(self, variable: str) -> bool:
        """Return whether it is on; off where nothing is said."""
        value = self.optional(variable) or "off"
        if value not in {"on", "off"}:
            self.refuse(f"{variable} (on or off)")
        return value == "on"

    def endpoint(self, variable: str) -> str | None:
        """Return a URL without a query."""
        value = self.optional(variable)
        if value is not None and not _ENDPOINT.fullmatch(value):
            self.refuse(f"{variable} (a URL)")
        return value

    def stage_variables(self, variable: str) -> dict[str, str]:
        """Return ``Name=value,Name=value`` by name."""
        pairs = [pair.strip() for pair in (self.optional(variable) or "").split(",")]
        matches = [_STAGE_VARIABLE.fullmatch(pair) for pair in pairs if pair]
        found = {match[1]: match[2] for match in matches if match}
        if len(found) != len(matches):
            self.refuse(f"{variable} (Name=value,Name=value)")
        return found

    def miss(self, variable: str) -> None:
        """Note that a variable is missing."""
        self._missing.append(variable)

    def refuse(self, problem: str) -> None:
        """Note that a variable is invalid; the text names it and says what it should be."""
        self._invalid.append(problem)

    def finish(self) -> None:
        """Raise ConfigurationError if anything is wrong."""
        problems = []
        if self._missing:
            problems.append(f"missing environment variables: {', '.join(sorted(self._missing))}")
        if self._invalid:
            problems.append(f"invalid environment variables: {', '.join(sorted(self._invalid))}")
        if problems:
            raise ConfigurationError("; ".join(problems))
