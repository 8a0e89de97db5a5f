"""Checks of options: those that are on are there, and whether those that are off could be on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deployment import observability
from deployment.doctor.api_checks import REDEPLOY
from deployment.doctor.expected import Expected
from deployment.doctor.findings import Finding, note, problem, warning
from deployment.doctor.snapshot import Snapshot, Unseen

# What Lambda keeps for functions that reserve nothing:
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
KEPT_UNRESERVED = 100


def check_options(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    """Alarms, what they count, dashboard and access logs are there where they are on."""
    for kind, present in (("alarm", found.alarms), ("dashboard", found.dashboards)):
        wanted = [it for it in observability.resources(expected.blueprint) if it.kind == kind]
        for described in wanted if present is not None else []:
            if described.name not in (present or set()):
                yield problem("options", f"{kind} {described.name} is missing", REDEPLOY)
    if found.metric_filters is not None:
        yield from _metric_filters(expected, found.metric_filters)
    yield from _access_logs(expected, found)
    yield from _throttling(expected, found)


def _metric_filters(expected: Expected, present: Mapping[str, str]) -> Iterator[Finding]:
    for it in observability.resources(expected.blueprint):
        if it.kind != "metric_filter":
            continue
        name = it.properties["FilterName"]
        if it.name not in present:
            yield problem(
                "options", f"metric filter {name} is missing: its alarm never goes off", REDEPLOY
            )
        elif present[it.name] != it.properties["FilterPattern"]:
            yield problem("options", f"metric filter {name} has another pattern", REDEPLOY)


def _access_logs(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    is_on = expected.blueprint.options.access_logs
    stages = [it for it in found.stages or [] if it["StageName"] == expected.blueprint.stage]
    settings = stages[0].get("AccessLogSettings") if stages else None
    if stages and is_on and not settings:
        yield problem("options", "access_logs is on, but the stage writes none", REDEPLOY)
    elif stages and settings and not is_on:
        yield problem("options", "the stage writes access logs, but access_logs is off", REDEPLOY)
    if is_on and found.account.cloudwatch_role is None:
        yield problem(
            "options",
            "access_logs is on, but API Gateway has no role in this account to write logs with",
            "give it one; docs/deployment.md says how",
        )


def _throttling(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    options, account = expected.blueprint.options, found.account
    limits = (
        ("throttling_rate_limit", options.throttling_rate_limit, account.throttling_rate_limit),
        ("throttling_burst_limit", options.throttling_burst_limit, account.throttling_burst_limit),
    )
    for name, wanted, most in limits:
        if most is not None and wanted > most:
            yield warning(
                "options",
                f"{name} is {wanted:g}, but the whole account has {most:g} in this region",
                "lower it, or have the quota raised",
            )


def say_what_could_be_on(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    """Say of each option that is off whether this account could have it."""
    options, account = expected.blueprint.options, found.account
    role = account.cloudwatch_role
    if not options.access_logs and not isinstance(role, Unseen):
        able = "could be on" if role else "cannot be on: API Gateway has no role to write logs with"
        yield note("options", f"access_logs is off; it {able}")
    for name in ("alarms", "dashboard"):
        if not getattr(options, name):
            yield note("options", f"{name} is off; it could be on, and costs money")
    if account.concurrency_limit is not None and account.concurrency_unreserved is not None:
        free = max(0, account.concurrency_unreserved - KEPT_UNRESERVED)
        able = f"{free} can be reserved" if free else "none can be reserved"
        yield note(
            "options",
            f"reserved_concurrency: the account runs {account.concurrency_limit} at a time in this "
            f"region, of which {able}",
        )
