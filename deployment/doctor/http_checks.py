"""Checks of the HTTP API: its stage has the variables of the definition."""

from __future__ import annotations

from collections.abc import Iterator

from deployment.doctor.api_checks import REDEPLOY
from deployment.doctor.expected import Expected
from deployment.doctor.findings import Finding, not_looked, note, problem
from deployment.doctor.snapshot import Snapshot, Unseen


def check_http_stage(expected: Expected, found: Snapshot) -> Iterator[Finding]:
    """The stage is there, with these variables and no others; values are not repeated."""
    stage, present = expected.rest_stage, found.http_stage_variables
    if stage is None:
        yield note("http stage", "the app has no HTTP routes")
    elif isinstance(present, Unseen):
        yield not_looked("http stage")
    elif present is None:
        yield problem("http stage", f"stage {stage} is missing: no HTTP route answers", REDEPLOY)
    else:
        wanted = expected.blueprint.stage_variables
        for name in sorted(wanted.keys() - present.keys()):
            message = f"variable {name} is missing: who is let in by it is refused over HTTP"
            yield problem("http stage", message, REDEPLOY)
        for name in sorted(wanted.keys() & present.keys()):
            if present[name] != wanted[name]:
                yield problem("http stage", f"variable {name} has another value", REDEPLOY)
        for name in sorted(present.keys() - wanted.keys()):
            message = f"variable {name} is not in the definition"
            yield problem("http stage", message, _how_to_remove(found, stage, name))


def _how_to_remove(found: Snapshot, stage: str, name: str) -> str:
    """CloudFormation leaves variables that a template has no more.

    https://github.com/aws/aws-cdk/issues/23438
    """
    command = (
        f"aws apigateway update-stage --rest-api-id {found.rest_api_id} --stage-name {stage} "
        f"--patch-operations op=remove,path=/variables/{name}"
    )
    return f"{REDEPLOY}; of a stack: {command}"
