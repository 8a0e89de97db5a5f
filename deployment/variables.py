"""Environment variables that nothing reads, for they are not written as the app would read them.

Left alone they would be ignored in silence, and a stage be more open than its config.json says.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from deployment.errors import DeploymentRefused

# MESSAGES_RATE for MESSAGE_RATE is 0.96, CEDAR_POLICY for CEDAR_POLICIES 0.85. STAGE_NAME, which
# may well be somebody's own, and TABLE_NAME are 0.8.
_ALIKE = 0.82
# What AWS's own libraries read, such as AWS_ENDPOINT_URL_S3 beside ours for SSM.
_OF_AWS = "AWS_"


def refuse_misspelt(
    variables: Iterable[str], known: Collection[str], own_variables: Collection[str]
) -> None:
    """Raise DeploymentRefused for variables that are nearly one of those the app knows.

    ``own_variables`` are somebody's own in spite of that.
    """
    unknown = sorted(set(variables) - set(known) - set(own_variables))
    found = [f"{name} (is {it} meant?)" for name in unknown if (it := _meant(name, known))]
    if found:
        raise DeploymentRefused(
            f"environment_variables in config.json that nothing reads: {', '.join(found)}; "
            "name your own in own_variables of deployment"
        )


def _meant(name: str, known: Collection[str]) -> str | None:
    """Return the known variable that is nearly this one, or begins with all of it."""
    name = name.upper()
    if name.startswith(_OF_AWS):
        return None
    near = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
    longer = [it for it in sorted(known) if "_" in name and it.startswith(f"{name}_")]
    return next(iter(near + longer), None)
