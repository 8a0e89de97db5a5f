"""docs/console.md says how its pictures are drawn: so it is done here, in a copy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.documents import checkout
from tests.documents.commands import ROOT, commands
from tests.documents.terminal import Terminal

RUNS = commands("docs/console.md")
IMAGES = Path("docs") / "images"

pytestmark = pytest.mark.browser


def test_the_pictures_are_drawn_anew_by_the_command_of_the_guide(tmp_path: Path) -> None:
    (command,) = RUNS
    copy = checkout.copy(tmp_path)
    kept = {it.name: it.read_bytes() for it in (ROOT / IMAGES).iterdir()}
    for name in kept:
        (copy / IMAGES / name).unlink()
    with Terminal(copy, os.environ) as terminal:
        ran = terminal.run(command.text)
    assert ran.code == 0, ran.output
    assert {it.name for it in (copy / IMAGES).iterdir()} == kept.keys()
    assert {it.name: it.read_bytes() for it in (ROOT / IMAGES).iterdir()} == kept
