"""A stage's variables, as its Lambda functions have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
from chalice.cli.factory import CLIFactory


def stage_environ(project_dir: Path, stage: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Read ``.chalice/config.json`` as Chalice does, over the environment of this process.

    Raises ClickException where there is no such stage.
    """
    factory = CLIFactory(str(project_dir))
    try:
        stages = factory.load_project_config().get("stages", {})
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{project_dir} is no Chalice project: {error}") from error
    if stage not in stages:
        raise click.ClickException(f"config.json has no stage {stage}; it has {', '.join(stages)}")
    variables = factory.create_config_obj(stage).environment_variables
    return {**environ, **variables}
