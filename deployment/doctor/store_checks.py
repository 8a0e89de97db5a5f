"""Checks of tables, queues, log groups, and of where credentials are kept."""

from __future__ import annotations

from collections.abc import Iterator

from deployment import observability
from deployment.doctor.api_checks import REDEPLOY
from deployment.doctor.expected import Expected
from deployment.doctor.findings import Finding, problem, warning
from deployment.doctor.snapshot import Snapshot


def check_tables(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    """Each table is there with its key, and lets expired items go."""
    for properties in expected.blueprint.tables:
        name = properties["TableName"]
        if name not in found.tables:
            continue
        table = found.tables[name]
        if table is None:
            yield problem("tables", f"table {name} is missing: nobody can connect", REDEPLOY)
            continue
        if list(table.key_schema) != list(properties["KeySchema"]):
            yield problem(
                "tables", f"table {name} has another key", "delete it, or choose another TABLE_NAME"
            )
        wanted = properties.get("TimeToLiveSpecification", {}).get("AttributeName")
        if wanted and table.expires_by is None:
            yield problem("tables", f"table {name} keeps what has expired: TTL is off", REDEPLOY)
        elif wanted and table.expires_by != wanted:
            yield problem(
                "tables",
                f"table {name} lets items expire by {table.expires_by}, not {wanted}",
                "turn TTL off, wait an hour, deploy the stage again",
            )


def check_queues(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    """Each queue is there."""
    for properties in expected.blueprint.queues:
        if found.queues.get(properties["QueueName"]) is False:
            yield problem("queues", f"queue {properties['QueueName']} is missing", REDEPLOY)


def check_log_groups(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    """Each function has a log group, which roles may not make, and it forgets in time."""
    wanted = {it.log_group: it.log_retention_days for it in expected.functions.values()}
    options = expected.blueprint.options
    if options.access_logs:
        group = observability.access_log_group(expected.blueprint)
        wanted[group] = options.access_log_retention_days
    for name, days in wanted.items():
        if name not in found.log_groups:
            continue
        retention = found.log_groups[name]
        if retention is None:
            yield problem(
                "log groups", f"log group {name} is missing: its lines are lost", REDEPLOY
            )
        elif retention != days:
            kept = f"{retention} days" if retention else "for ever"
            yield problem(
                "log groups", f"log group {name} keeps lines {kept}, not {days} days", REDEPLOY
            )


def check_secrets(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    """Credentials are kept encrypted, by name, and are not what the documents show."""
    for variable, secret in sorted(found.secrets.items()):
        kind = "parameter" if variable.endswith("_PARAMETER") else "secret"
        if not secret.exists:
            yield problem(
                "secrets",
                f"the {kind} that {variable} names does not exist: every client gets 500",
                "create it; docs/deployment.md says how",
            )
            continue
        if not secret.encrypted:
            yield problem(
                "secrets",
                f"the parameter of {variable} is a plain String: whoever may read parameters may "
                "read it",
                "create it again with --type SecureString",
            )
        if secret.is_demonstration:
            yield problem(
                "secrets",
                f"the {kind} of {variable} is empty or holds a value that is in the documents",
                "put another value in its place",
            )
    yield from _literals(expected, found)


def _literals(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    for resource_name, configuration in found.functions.items():
        variables = (configuration or {}).get("Environment", {}).get("Variables", {})
        name = expected.functions[resource_name].name
        for variable in sorted(expected.credential_variables & variables.keys()):
            if variables[variable] in expected.demonstration_values:
                yield problem(
                    "secrets",
                    f"{name}: {variable} holds a value that is in the documents",
                    f"name a parameter in {variable}_PARAMETER instead",
                )
            elif variables[variable]:
                yield warning(
                    "secrets",
                    f"{name}: {variable} is in the environment, where whoever may see the function "
                    "may read it",
                    f"name a parameter in {variable}_PARAMETER instead",
                )
