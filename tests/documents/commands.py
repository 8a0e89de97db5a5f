"""What a reader of the documentation is told to type: the commands of its fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    *sorted(str(it.relative_to(ROOT)) for it in (ROOT / "docs").rglob("*.md")),
)
SHELLS = ("sh", "bash", "console")
_FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
# A quoted piece, or what is in no quotes: a comment begins at a # in the latter.
_COMMENT = re.compile(r"(?:^|\s)#.+", re.DOTALL)
_PIECES = re.compile(rf"'[^']*'|\"(?:[^\"\\]|\\.)*\"|{_COMMENT.pattern}|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; ``line`` is that of its first line in the document, from 1."""

    document: str
    section: str
    line: int
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command without its comment; ``typed`` is what its program is given, ``output`` follows.

    Where a comment stands behind the command, it says what comes of it.
    """

    document: str
    section: str
    line: int
    language: str
    text: str
    comment: str = ""
    typed: tuple[str, ...] = ()
    output: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.text}"


@cache
def blocks(document: str) -> tuple[Block, ...]:
    """Return the fenced blocks of a document, in order."""
    text = (ROOT / document).read_text()
    prose = _FENCE.sub(lambda match: re.sub(r"[^\n]", "", match[0]), text)
    return tuple(
        Block(document, _section(prose, match.start(3), text), line, match[2], match[3])
        for match in _FENCE.finditer(text)
        if (line := text.count("\n", 0, match.start(3)) + 1)
    )


def commands(document: str, section: str | None = None) -> tuple[Command, ...]:
    """Return the commands of a document, or of one section, in order; none is an error."""
    found = tuple(
        command
        for block in blocks(document)
        if block.language in SHELLS and section in (None, block.section)
        for command in split(block)
    )
    assert found or section is None, f"{document} has no commands under {section!r}"
    return found


def transcripts(document: str) -> tuple[Command, ...]:
    """Return what a document shows of commands and all that they print, as blocks of ``text``."""
    return tuple(
        Command(document, it.section, it.line, it.language, first[2:], output=tuple(rest))
        for it in blocks(document)
        if it.language == "text"
        for first, *rest in [it.text.splitlines()]
        if first.startswith("$ ")
    )


def split(block: Block) -> Iterator[Command]:
    """Split a block of a shell's into its commands."""
    prompt = "$ " if block.language == "console" else ""
    lines = list(enumerate(block.text.splitlines(), block.line))
    while lines:
        number, line = lines.pop(0)
        if not line.strip() or not line.startswith(prompt):
            continue
        text = line.removeprefix(prompt)
        while text.endswith("\\") and lines:
            text += "\n" + lines.pop(0)[1]
        following = list(_until(lines, prompt)) if prompt else []
        del lines[: len(following)]
        yield _command(block, number, text, following)


def _command(block: Block, number: int, text: str, following: list[str]) -> Command:
    pieces = _PIECES.findall(text)
    comment = next((it for it in pieces if _COMMENT.match(it)), "")
    bare = "".join(pieces[: pieces.index(comment)]) if comment else text
    typed = [it.removeprefix("> ") for it in following if it.startswith("> ")]
    return Command(
        document=block.document,
        section=block.section,
        line=number,
        language=block.language,
        text=bare.strip(),
        comment=comment.strip().removeprefix("#").strip(),
        typed=tuple(re.sub(r"\s+# .*", "", it) for it in typed),
        output=tuple(it for it in following if not it.startswith("> ")),
    )


def _until(lines: list[tuple[int, str]], prompt: str) -> Iterator[str]:
    for _, line in lines:
        if line.startswith(prompt):
            return
        yield line


def _section(prose: str, position: int, text: str) -> str:
    """Return the heading above a position; a ``#`` in a block is none."""
    lines_before = text.count("\n", 0, position)
    above = "\n".join(prose.split("\n")[:lines_before])
    headings: list[str] = _HEADING.findall(above)
    return headings[-1] if headings else ""


def spans(document: str) -> tuple[str, ...]:
    """Return what stands between backticks in the running text of a document."""
    prose = _FENCE.sub("", (ROOT / document).read_text())
    return tuple(" ".join(it.split()) for it in re.findall(r"`([^`]+)`", prose))
