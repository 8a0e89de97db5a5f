"""``python -m deployment doctor --stage dev``: see what is wrong with a deployed stage."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import click
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from deployment.doctor import expected, report
from deployment.doctor.collect import Collector
from deployment.errors import DeploymentRefused


@click.group()
def main() -> None:
    """Look after deployed stages."""


@main.command()
@click.option("--stage", default="dev", show_default=True, help="Chalice's stage")
@click.option("--project-dir", default=".", type=click.Path(file_okay=False, exists=True))
@click.option("--stack", help="the CloudFormation stack, for one that cannot be told by its API")
@click.option("--profile", help="AWS profile")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def doctor(
    stage: str,
    project_dir: str,
    stack: str | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Compare a deployed stage with this checkout. Exit: 0 fine, 1 problems, 2 could not look."""
    try:
        wanted = expected.load(str(Path(project_dir).resolve()), stage, os.environ)
        found = Collector(Session(profile=profile), wanted, stack).collect()
    except DeploymentRefused as error:
        _could_not_look(error.message)
    except ClientError as error:
        _could_not_look(f"AWS refuses {error.operation_name}: {error.response['Error']['Code']}")
    except BotoCoreError as error:
        _could_not_look(str(error))
    except Exception as error:  # whatever a project's app raises as it is loaded
        _could_not_look(f"{type(error).__name__}: {error}")
    said = report.findings(wanted, found, datetime.now(UTC).date())
    click.echo(report.as_json(said) if as_json else report.as_text(said))
    sys.exit(report.exit_code(said))


def _could_not_look(why: str) -> NoReturn:
    click.echo(f"could not look: {why}", err=True)
    sys.exit(report.COULD_NOT_LOOK)


if __name__ == "__main__":
    main()
