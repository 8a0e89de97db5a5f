"""What the command line said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from localgateway.errors import StartError

DISCONNECTS = {"once": 1, "never": 0, "twice": 2}
"""How often ``$disconnect`` is invoked, by the option's words."""


@dataclass(frozen=True, slots=True)
class Options:
    """See ``python -m localgateway --help``."""

    project_dir: Path
    stage: str
    host: str
    port: int
    api_stage: str
    templates: tuple[Path, ...]
    no_database: bool
    database: str | None
    database_port: int
    env: tuple[str, ...]
    limit: tuple[str, ...]
    disconnects: str
    log_format: str

    def variables(self) -> dict[str, str]:
        """Return the ``--env`` settings; raises ``StartError`` for one without a name."""
        pairs = [setting.partition("=") for setting in self.env]
        for name, equals, _ in pairs:
            if not name or not equals:
                raise StartError(f"--env {name!r}: write NAME=VALUE")
        return {name: value for name, _, value in pairs}
