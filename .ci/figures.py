"""Runs the commands that measure, as documented, but for how much and how often.

Nothing is concluded from the figures: they are there, and whoever is measured can be.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.documents.commands import commands  # noqa: E402

RUNS = commands("docs/performance.md")
# Of an option that is there twice the last one counts.
LITTLE: Mapping[str, str] = {
    "benchmarks": "--repeat 1 --seconds 0.1 --connections 10 --in-flight 5 --idle 10",
    "benchmarks.delivery": "--repeat 1 --members 100 --only reading --only costs",
}


def main() -> None:
    """Run each; any that fails, or prints no figures, ends this."""
    for command in RUNS:
        (module,) = (name for name in LITTLE if f" -m {name} " in f"{command.text} ")
        text = f"{command.text} {LITTLE[module]}"
        print(f"figures: {text}", flush=True)
        ran = subprocess.run(
            text, shell=True, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=3600
        )
        assert len(json.loads(ran.stdout)) > 1, "figures stand beside what the machine is"


if __name__ == "__main__":
    main()
