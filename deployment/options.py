"""The ``deployment`` key of ``.chalice/config.json``: what a stage has that costs or restrains.

It may stand at the top level and in a stage; a stage's values win, one by one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from deployment.errors import DeploymentRefused


@dataclass(frozen=True, slots=True)
class Options:
    """Off by default is what costs money, or needs what not every account has."""

    throttling_rate_limit: float = 1000.0
    """Messages and connects per second that the stage accepts."""
    throttling_burst_limit: int = 2000
    alarms: bool = False
    alarm_topic: str | None = None
    """ARN of the SNS topic that alarms notify."""
    dashboard: bool = False
    access_logs: bool = False
    """Needs the account-wide role with which API Gateway writes to CloudWatch."""
    access_log_retention_days: int = 14
    own_variables: Sequence[str] = ()
    """Environment variables that are meant, though the app knows some that are nearly the same."""


def read(project_dir: str, chalice_stage: str) -> Options:
    """Read a project's options; DeploymentRefused names what is unknown or of the wrong type."""
    config = json.loads((Path(project_dir) / ".chalice" / "config.json").read_text("utf-8"))
    stages = config.get("stages", {})
    return parse(
        {**config.get("deployment", {}), **stages.get(chalice_stage, {}).get("deployment", {})}
    )


def parse(values: Mapping[str, Any]) -> Options:
    """Read options from plain JSON."""
    known = {field.name: field.default for field in fields(Options)}
    problems = [_problem(name, value, known) for name, value in values.items()]
    problems = [problem for problem in problems if problem]
    if problems:
        raise DeploymentRefused(f"deployment in config.json: {'; '.join(map(str, problems))}")
    return Options(**values)


def _problem(name: str, value: object, known: Mapping[str, Any]) -> str | None:
    if name not in known:
        return f"{name} is not an option (there are {', '.join(sorted(known))})"
    if not _fits(value, known[name]):
        return f"{name} cannot be {value!r}"
    return None


def _fits(value: object, default: object) -> bool:
    if isinstance(default, bool):
        return isinstance(value, bool)
    if default is None:
        return value is None or (isinstance(value, str) and value.startswith("arn:"))
    if default == ():
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    kinds = (int,) if isinstance(default, int) else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and value > 0
