"""Blocks are split into the commands that a shell would see."""

from __future__ import annotations

import pytest

from tests.documents.checkout import filled
from tests.documents.commands import Block, Command, split


def commands(language: str, text: str) -> list[Command]:
    return list(split(Block("page.md", "Section", 10, language, text)))


@pytest.mark.parametrize(
    ("line", "text", "comment"),
    [
        ("make run", "make run", ""),
        ("make run    # serves it", "make run", "serves it"),
        ("echo '# no comment'", "echo '# no comment'", ""),
        ('echo "a # \\" b" # one', 'echo "a # \\" b"', "one"),
        ("echo a#b", "echo a#b", ""),
        ("API=$(aws x --query 'a[?b==`$c`]')", "API=$(aws x --query 'a[?b==`$c`]')", ""),
        ("cmd \\\n  --more  # why", "cmd \\\n  --more", "why"),
    ],
)
def test_a_comment_is_what_a_shell_takes_for_one(line: str, text: str, comment: str) -> None:
    (found,) = commands("sh", f"{line}\n")
    assert (found.text, found.comment) == (text, comment)
    assert commands("console", f"$ {line}\n")[0].text == text


def test_each_line_is_a_command_and_has_its_place() -> None:
    found = commands("sh", "one\n\ntwo \\\n  more\nthree\n")
    assert [(it.text, it.line) for it in found] == [
        ("one", 10),
        ("two \\\n  more", 12),
        ("three", 14),
    ]


def test_what_follows_a_prompt_is_typed_or_shown() -> None:
    one, two = commands("console", '$ one\n> {"a": 1}   # an answer\nshown\n$ two\n')
    assert (one.typed, one.output) == (('{"a": 1}',), ("shown",))
    assert (two.text, two.typed, two.output) == ("two", (), ())


def test_a_placeholder_is_a_word_and_no_part_of_one() -> None:
    values = {"REGION.": "us-east-1.", "<HTTP API>": "here"}
    assert filled("$AWS_REGION.a REGION.b", values) == "$AWS_REGION.a us-east-1.b"
    assert filled("https://<HTTP API>/api", values) == "https://here/api"
