"""Checks of functions: there, set as config.json says, invoked by the API and by no one else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from deployment import permissions
from deployment.blueprint import AUTHORIZER_NAME
from deployment.doctor.api_checks import REDEPLOY
from deployment.doctor.expected import Expected, Function
from deployment.doctor.findings import Finding, not_looked, problem, warning
from deployment.doctor.snapshot import Json, Snapshot

INTEGRATION_LIMIT = 29  # seconds, and cannot be raised for a WebSocket API
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html, read 2026-11.
DEPRECATED_ON = {
    "python3.8": date(2024, 10, 14),
    "python3.9": date(2025, 12, 15),
    "python3.10": date(2026, 10, 31),
    "python3.11": date(2027, 6, 30),
    "python3.12": date(2028, 10, 31),
    "python3.13": date(2029, 6, 30),
    "python3.14": date(2029, 6, 30),
}
NOTICE_DAYS = 180


def check_functions(expected: Expected, found: Snapshot, today: date) -> Iterator[Finding]:
    """Each function is there and set as config.json says; values of variables are not repeated."""
    for resource_name, function in expected.functions.items():
        if resource_name not in found.functions:
            continue
        configuration = found.functions[resource_name]
        if configuration is None:
            yield problem("functions", f"function {function.name} is missing", REDEPLOY)
            continue
        wanted = expected.variables(resource_name, found.names)
        yield from _variable_differences(function, wanted, configuration)
        yield from _setting_differences(function, configuration)
        if resource_name in found.concurrency:
            yield from _concurrency(function, found.concurrency[resource_name])
        yield from _runtime(function, str(configuration.get("Runtime")), today)
    yield from _too_slow(expected, found)


def _variable_differences(
    function: Function, wanted: Mapping[str, str], configuration: Json
) -> Iterator[Finding]:
    present: Mapping[str, str] = configuration.get("Environment", {}).get("Variables", {})
    configured = function.environment.keys()
    differences = {
        "is missing": configured - present.keys(),
        "is not in config.json": present.keys() - configured,
        "has another value": {
            it for it in wanted.keys() & present.keys() if wanted[it] != present[it]
        },
    }
    for what, names in differences.items():
        for name in sorted(names):
            yield problem("functions", f"{function.name}: variable {name} {what}", REDEPLOY)


def _setting_differences(function: Function, configuration: Json) -> Iterator[Finding]:
    wanted = {"Timeout": function.timeout, "MemorySize": function.memory_size}
    for name, value in wanted.items():
        if configuration.get(name) != value:
            yield problem(
                "functions",
                f"{function.name}: {name} is {configuration.get(name)}, not {value}",
                REDEPLOY,
            )


def _concurrency(function: Function, reserved: int | None) -> Iterator[Finding]:
    wanted = function.reserved_concurrency
    if reserved != wanted:
        present = "reserves nothing" if reserved is None else f"reserves {reserved}"
        yield problem("functions", f"{function.name}: it {present}, not {wanted}", REDEPLOY)


def _runtime(function: Function, runtime: str, today: date) -> Iterator[Finding]:
    end = DEPRECATED_ON.get(runtime)
    remedy = "deploy with a newer Python: Chalice takes the one it runs on"
    if end is None:
        return
    if end <= today:
        yield problem("functions", f"{function.name}: {runtime} is deprecated since {end}", remedy)
    elif (end - today).days < NOTICE_DAYS:
        yield warning("functions", f"{function.name}: {runtime} is deprecated on {end}", remedy)


def _too_slow(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    blueprint = expected.blueprint
    invoked = {route.integration.function for route in blueprint.routes}
    for resource_name in sorted(invoked | {blueprint.authorizer.function}):
        configuration = found.functions.get(resource_name)
        timeout = (configuration or {}).get("Timeout", 0)
        if timeout >= INTEGRATION_LIMIT:
            yield problem(
                "functions",
                f"{expected.functions[resource_name].name} may run {timeout} s, but API Gateway "
                f"gives it up after {INTEGRATION_LIMIT}: a fault would look like a slow network",
                "set lambda_timeout below 29 in config.json",
            )


def check_permissions(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    """Routes and authorizers of this API, and nobody else, may invoke each function."""
    wanted = _wanted_sources(expected, found)
    if not wanted:
        yield not_looked("permissions")
    for resource_name, statements in found.permissions.items():
        name = expected.functions[resource_name].name
        allowed = [it for it in statements if it.get("Effect") == "Allow"]
        sources = {str(it["SourceArn"]) for it in allowed if it.get("SourceArn")}
        for source in sorted(wanted.get(resource_name, set()) - sources):
            yield problem("permissions", f"{name} may not be invoked by {source}", REDEPLOY)
        for statement in allowed:
            yield from _too_wide(name, statement, wanted.get(resource_name))


def _wanted_sources(expected: Expected, found: Snapshot) -> dict[str, set[str]]:
    """Return the source ARNs of each function; without an entry where an id is not known."""
    names = found.names
    arn = f"arn:{names.get('Partition')}:execute-api:{names.get('Region')}:{names.get('AccountId')}"
    wanted: dict[str, set[str]] = {}
    authorizers = [it for it in found.authorizers or [] if it["Name"] == AUTHORIZER_NAME]
    if found.api and authorizers:
        ends = permissions.wanted_resources(expected.blueprint, authorizers[0]["AuthorizerId"])
        for function, resources in ends.items():
            wanted[function] = {f"{arn}:{found.api['ApiId']}/{end}" for end in resources}
    if found.rest_api_id:
        by_name = {it.name: key for key, it in expected.functions.items()}
        for name, rest_ends in expected.rest_permissions.items():
            of_rest = {f"{arn}:{found.rest_api_id}/{end}" for end in rest_ends}
            wanted.setdefault(by_name[name], set()).update(of_rest)
    return wanted


def _too_wide(name: str, statement: Json, wanted: set[str] | None) -> Iterator[Finding]:
    source = statement.get("SourceArn")
    principal = _principal(statement.get("Principal"))
    remedy = f"remove statement {statement.get('Sid', 'without a Sid')} of the function's policy"
    if not source and not statement.get("Condition"):
        who = "anyone" if principal == "*" else f"any customer of {principal}"
        yield problem("permissions", f"{name} may be invoked by {who}", remedy)
    elif principal.startswith("apigateway.") and wanted is not None and source not in wanted:
        yield problem("permissions", f"{name} may be invoked by {source} too", remedy)


def _principal(principal: Any) -> str:
    if isinstance(principal, Mapping):
        return str(next(iter(principal.values()), ""))
    return str(principal)
