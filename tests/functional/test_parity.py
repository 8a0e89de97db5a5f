"""docs/parity.md: every behaviour it lists has a source and is held by a test that is there."""

import ast
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "parity.md"
COLUMNS = ["What AWS does", "How sure", "What the gateway does", "Held by"]
CERTAINTY = re.compile(r"(documented|observed|reported|inferred|not known)\b")
NAMED = re.compile(r"`([a-z_/]+\.py)::(test_[a-z0-9_]+)`")


@dataclass(frozen=True)
class Row:
    """A line of a table, and the heading it stands under."""

    line: int
    heading: str
    cells: tuple[str, ...]

    def __str__(self) -> str:
        return f"line {self.line}"


def rows(text: str) -> list[Row]:
    """Return what stands in the page's tables, without their heads."""
    heading, found = "", []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line.startswith("|"):
            cells = tuple(cell.strip() for cell in line.strip().removesuffix("|")[1:].split("|"))
            if not set("".join(cells)) <= set("-: ") and list(cells) != COLUMNS:
                found.append(Row(number, heading, cells))
    return found


ROWS = rows(PAGE.read_text())


@cache
def defined_in(path: str) -> frozenset[str]:
    """Return the names of the tests a module defines; it is read, not run."""
    module = ast.parse((TESTS / path).read_text())
    return frozenset(node.name for node in module.body if isinstance(node, ast.FunctionDef))


def missing(row: Row) -> list[str]:
    """Return the tests a row names that are not there."""
    return [
        f"{path}::{name}"
        for path, name in NAMED.findall(row.cells[-1])
        if not (TESTS / path).is_file() or name not in defined_in(path)
    ]


def test_the_page_has_its_tables() -> None:
    headings = Counter(row.heading for row in ROWS)
    assert len(headings) == 11
    assert min(headings.values()) >= 5


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_has_a_source_and_a_test_that_is_there(row: Row) -> None:
    assert len(row.cells) == len(COLUMNS)
    assert all(row.cells), "an empty cell"
    assert CERTAINTY.match(row.cells[1])
    assert NAMED.findall(row.cells[-1]), "no test"
    assert NAMED.sub("", row.cells[-1]).replace("<br>", "") == "", "something else than tests"
    assert missing(row) == []


def test_every_parity_test_has_its_row() -> None:
    named = {test for row in ROWS for test in NAMED.findall(row.cells[-1])}
    for path in sorted((TESTS / "end_to_end").glob("test_parity_*.py")):
        here = f"end_to_end/{path.name}"
        tests = {name for name in defined_in(here) if name.startswith("test_")}
        assert tests == {name for where, name in named if where == here}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("`unit/localgateway/test_iam.py::test_statements_together`", []),
        (
            "`unit/localgateway/test_iam.py::test_nothing`",
            ["unit/localgateway/test_iam.py::test_nothing"],
        ),
        ("`unit/test_gone.py::test_x`", ["unit/test_gone.py::test_x"]),
        ("`unit/localgateway/test_iam.py::statement`", []),
    ],
)
def test_a_test_that_is_not_there_is_missed(cell: str, expected: list[str]) -> None:
    (row,) = rows(f"# A\n| a | documented: b | c | {cell} |\n")
    assert missing(row) == expected
