"""Runs the checks over a snapshot and writes what they say, one line each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import date
from functools import partial

from deployment.doctor import (
    api_checks,
    function_checks,
    http_checks,
    option_checks,
    role_checks,
    store_checks,
)
from deployment.doctor.expected import Expected
from deployment.doctor.findings import Finding, Level, unseen
from deployment.doctor.snapshot import Snapshot

FINE, PROBLEMS, COULD_NOT_LOOK = 0, 1, 2
Check = Callable[[Expected, Snapshot], Iterator[Finding]]


def findings(expected: Expected, found: Snapshot, today: date) -> list[Finding]:
    """Return what every check says, and one OK for each that says nothing."""
    said: list[Finding] = []
    for name, check in _checks(today).items():
        of_check = list(check(expected, found))
        of_check += [
            unseen(name, f"{it.what} could not be looked at", f"it takes {it.permission}")
            for it in found.unseen
            if it.check == name
        ]
        said += of_check or [Finding(Level.OK, name, "as it should be")]
    return [*said, *option_checks.say_what_could_be_on(expected, found)]


def _checks(today: date) -> dict[str, Check]:
    return {
        "api": api_checks.check_api,
        "authorizer": api_checks.check_authorizer,
        "routes": api_checks.check_routes,
        "stage": api_checks.check_stage,
        "http stage": http_checks.check_http_stage,
        "functions": partial(function_checks.check_functions, today=today),
        "permissions": function_checks.check_permissions,
        "roles": role_checks.check_roles,
        "tables": store_checks.check_tables,
        "queues": store_checks.check_queues,
        "log groups": store_checks.check_log_groups,
        "secrets": store_checks.check_secrets,
        "options": option_checks.check_options,
    }


def exit_code(said: Sequence[Finding]) -> int:
    """Return 1 where anything is wrong, else 2 where anything could not be seen, else 0."""
    levels = {finding.level for finding in said}
    if Level.PROBLEM in levels:
        return PROBLEMS
    return COULD_NOT_LOOK if Level.UNSEEN in levels else FINE


def as_text(said: Sequence[Finding]) -> str:
    """Return a line for each finding, and what follows from all."""
    lines = []
    for it in said:
        remedy = f"; {it.remedy}" if it.remedy else ""
        lines.append(f"{it.level:<8} {it.check}: {it.message}{remedy}")
    words = {
        FINE: "all is well",
        PROBLEMS: "something is wrong",
        COULD_NOT_LOOK: "not all was seen",
    }
    return "\n".join([*lines, words[exit_code(said)]])


def as_json(said: Sequence[Finding]) -> str:
    """Return the same for programs."""
    return json.dumps({"exitCode": exit_code(said), "findings": [asdict(it) for it in said]})
