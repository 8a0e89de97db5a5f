"""What the command line said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from localgateway.errors import StartError

DISCONNECTS = {"once": 1, "never": 0, "twice": 2}
"""How often ``$disconnect`` is invoked, by the option's words."""

DELIVERIES = {"once": 1, "twice": 2}
"""How often a queue's message is delivered, by the option's words."""

_STAGE_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


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
    queues: str | None
    env: tuple[str, ...]
    limit: tuple[str, ...]
    disconnects: str
    deliveries: str
    log_format: str
    all_cpus: bool

    def check(self) -> None:
        """Raise ``StartError`` for a stage name API Gateway would refuse."""
        if _STAGE_NAME.fullmatch(self.api_stage) is None:
            raise StartError(
                f"--api-stage {self.api_stage!r}: write 1 to 128 letters, digits, _ or -"
            )

    def variables(self) -> dict[str, str]:
        """Return the ``--env`` settings; raises ``StartError`` for one without a name."""
        pairs = [setting.partition("=") for setting in self.env]
        for name, equals, _ in pairs:
            if not name or not equals:
                raise StartError(f"--env {name!r}: write NAME=VALUE")
        return {name: value for name, _, value in pairs}
