"""Checks of roles: each allows what the extension would write for it now, no more and no less."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deployment.doctor.api_checks import REDEPLOY
from deployment.doctor.expected import Expected
from deployment.doctor.findings import Finding, not_looked, problem, warning
from deployment.doctor.snapshot import Role, Snapshot


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One action on one resource under one condition: what a statement comes to."""

    effect: str
    action: str
    resource: str
    condition: str

    def __str__(self) -> str:
        condition = f", if {self.condition}" if self.condition else ""
        return f"{self.action} on {self.resource}{condition}"


def check_roles(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    """Compare each role's inline policies with the policy file of its function, filled in."""
    if found.api is None:  # its id is in the policies
        yield not_looked("roles")
        return
    for resource_name, role in found.roles.items():
        name = expected.functions[resource_name].name
        if role is None:
            yield problem("roles", f"{name}: its role is missing", REDEPLOY)
            continue
        for arn in role.attached:
            yield problem(
                "roles", f"{name}: {arn} is attached to its role", f"detach {arn} from the role"
            )
        yield from _differences(expected, found, resource_name, name, role)


def _differences(
    expected: Expected, found: Snapshot, resource_name: str, name: str, role: Role
) -> Iterator[Finding]:
    statements = expected.role_statements(resource_name, found.names)
    if statements is None:
        yield warning(
            "roles",
            f"{name}: config.json gives it no policy file of its own, so nothing is compared",
            "set autogen_policy to false and iam_policy_file",
        )
        return
    wanted = grants(statements)
    present = grants(it for document in role.inline.values() for it in document["Statement"])
    for grant in sorted(present - wanted):
        yield problem("roles", f"{name}: its role is too wide: {_words(grant)}", REDEPLOY)
    for grant in sorted(wanted - present):
        yield problem("roles", f"{name}: its role is too narrow: no {grant}", REDEPLOY)


def _words(grant: Grant) -> str:
    return str(grant) if grant.effect == "Allow" else f"{grant.effect} {grant}"


def grants(statements: Iterable[Mapping[str, Any]]) -> set[Grant]:
    """Return what statements come to; order, names and lists of one make no difference."""
    return {
        Grant(statement["Effect"], action, resource, _condition(statement.get("Condition")))
        for statement in statements
        for action in _list(_either(statement, "Action"))
        for resource in _list(_either(statement, "Resource"))
    }


def _either(statement: Mapping[str, Any], key: str) -> Any:
    if key in statement:
        return statement[key]
    return [f"anything but {it}" for it in _list(statement.get(f"Not{key}", []))]


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _condition(condition: Mapping[str, Any] | None) -> str:
    if not condition:
        return ""
    plain = {
        operator: {key: sorted(_list(value)) for key, value in keys.items()}
        for operator, keys in condition.items()
    }
    return json.dumps(plain, sort_keys=True)
