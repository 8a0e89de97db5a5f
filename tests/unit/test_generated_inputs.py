"""What tests are given is the same each time, whatever else has run in their process."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

CONSTANTS = "\n".join(f"number_{each} = {each}, 'text {each}'" for each in range(1000, 1100))


def drawn() -> list[tuple[str, int]]:
    seen = []

    @settings(derandomize=True)
    @given(st.text(), st.integers())
    def note(text: str, number: int) -> None:
        seen.append((text, number))

    note()
    return seen


def test_they_do_not_depend_on_which_modules_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = drawn()
    module = ModuleType("loaded_meanwhile")
    module.__file__ = str(tmp_path / "loaded_meanwhile.py")
    Path(module.__file__).write_text(CONSTANTS)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert drawn() == before
