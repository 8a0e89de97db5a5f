"""``--reload``: starts the gateway anew, as a child process, whenever a file is saved."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from watchfiles import Change, DefaultFilter, run_process

from localgateway.log import logger

_WATCHED = (".py", ".json", ".vtl", ".yaml", ".yml", ".template")


class ProjectFilter(DefaultFilter):
    """Source, templates and settings; not what tools and Chalice itself write."""

    ignore_dirs = (*DefaultFilter.ignore_dirs, "deployed", "deployments", "out")

    def __call__(self, change: Change, path: str) -> bool:
        """Tell whether a change of this file matters."""
        return path.endswith(_WATCHED) and super().__call__(change, path)


def run_reloading(paths: Sequence[Path], arguments: Sequence[str]) -> None:
    """Serve until Ctrl-C. A start that fails says why, and the next save is another try."""
    command = shlex.join([sys.executable, "-m", "localgateway", *arguments])
    run_process(
        *paths,
        target=command,
        target_type="command",
        callback=_say,
        watch_filter=ProjectFilter(),
        sigint_timeout=10,
    )


def _say(changes: set[tuple[Change, str]]) -> None:
    names = ", ".join(sorted({Path(path).name for _, path in changes}))
    logger.info("%s saved: starting anew", names)
