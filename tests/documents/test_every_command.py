"""Every command of README.md, CHANGELOG.md and docs is run by somebody, and none is made up."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

import click
import pytest
from chalice.cli import cli as chalice

import admin.__main__
import benchmarks.__main__
import benchmarks.delivery.__main__
import deployment.__main__
import wsclient.commands
from tests.documents import test_deployment_page, test_local_pages, test_pictures_command
from tests.documents.commands import (
    DOCUMENTS,
    ROOT,
    SHELLS,
    Command,
    blocks,
    commands,
    spans,
    split,
    transcripts,
)
from tests.end_to_end import test_wsclient, test_wsclient_admin


def ci(name: str) -> ModuleType:
    """Load a script of ``.ci``, which is no package, without running it."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLICK: Mapping[str, click.Command] = {
    "admin": admin.__main__.main,
    "benchmarks": benchmarks.__main__.main,
    "benchmarks.delivery": benchmarks.delivery.__main__.main,
    "deployment": deployment.__main__.main,
    "wsclient": wsclient.commands.cli,
}
PROSE = tuple((document, span) for document in DOCUMENTS for span in spans(document))
ALL = tuple(
    command for document in DOCUMENTS for command in (*commands(document), *transcripts(document))
)
RUNNERS: Mapping[str, Iterable[Command]] = {
    ".ci/readme.py": ci("readme").RUNS,
    ".ci/figures.py": ci("figures").RUNS,
    "tests/documents/test_deployment_page.py": test_deployment_page.RUNS,
    "tests/documents/test_local_pages.py": test_local_pages.RUNS,
    "tests/documents/test_pictures_command.py": test_pictures_command.RUNS,
    "tests/end_to_end/test_wsclient.py": test_wsclient.RUNS,
    "tests/end_to_end/test_wsclient_admin.py": test_wsclient_admin.RUNS,
}
# What is neither a command of ours nor of AWS.
OTHERS = {
    "apt-get install chromium": ".ci/run does that",
    "aws configure": "asks for credentials",
    "cut -d. -f2 | base64 -d": "is told of a token of the reader's",
    "npx wscat -c URL -H token:VALUE": "is run with values in place of words, as a block",
    "pip install .": ".ci/distribution.py does that",
}


def test_every_command_is_run_by_exactly_one() -> None:
    run = Counter(command for commands in RUNNERS.values() for command in commands)
    assert [str(it) for it in ALL if run[it] == 0] == []
    assert [str(it) for it, times in run.items() if times > 1 or it not in ALL] == []


def test_what_is_no_test_is_run_by_the_pipeline() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert [it for it in RUNNERS if it.startswith(".ci/") and it not in script] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_command_hides_in_a_block_of_another_kind(document: str) -> None:
    programs = re.compile(r"(\$ |(\w+=\S+ )*(\.venv/|make |npx |aws |curl |pip |python3? -m ))")
    hidden = [
        it
        for it in blocks(document)
        if it.language not in (*SHELLS, "text")
        for line in it.text.splitlines()
        if programs.match(line)
    ]
    assert hidden == []
    shown = [it for it in blocks(document) if it.language == "text"]
    assert len(shown) == len(transcripts(document))
    assert all(it.text for block in blocks(document) for it in split(block))


def unknown(command: click.Command, words: list[str]) -> list[str]:
    """Return those of a command's words that name neither an option nor a command of it."""
    options = {it for parameter in command.params for it in parameter.opts} | {"--help"}
    for number, word in enumerate(words):
        if isinstance(command, click.Group) and word in command.commands:
            return unknown(command.commands[word], words[number + 1 :])
        if isinstance(command, click.Group) and not word.startswith("-"):
            return [word]
        if word.startswith("-") and word.partition("=")[0] not in options:
            return [word]
    return []


def wrong(text: str) -> list[str]:
    """Return the words of a command in running text that name nothing; all, if nobody knows it."""
    words = [it for it in shlex.split(text) if not re.match(r"[A-Z_]+=", it)]
    program, *rest = (words[0].removeprefix(".venv/bin/"), *words[1:])
    if program == "make":
        return [it for it in rest if it not in targets()]
    if program == "python" and rest[:1] == ["-m"]:
        return unknown(CLICK[rest[1]], rest[2:]) if rest[1] in CLICK else words
    if program == "chalice":
        return unknown(chalice, rest)
    if program == "aws":
        return [] if operation_exists(*rest[:2]) else words
    if program == "pytest":
        return [it for it in rest if it.startswith("-") and it != "-m"]
    return words


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def operation_exists(service: str, operation: str) -> bool:
    """Ask AWS's command line, with an option that keeps it from doing anything."""
    command = [str(Path(sys.prefix) / "bin" / "aws"), service, operation, "--no-such-option"]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert asked.returncode != 0
    return "Invalid choice" not in asked.stderr


PROGRAM = re.compile(
    r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(make|python|chalice|npx|aws|pip|pytest|curl|apt-get|cut|jq"
    r"|git|node|npm|uv) \S"
)


@pytest.mark.parametrize(("document", "span"), [it for it in PROSE if PROGRAM.match(it[1])])
def test_a_command_in_running_text_names_what_there_is(document: str, span: str) -> None:
    assert span in OTHERS or wrong(span) == [], document


@pytest.mark.parametrize(
    "text",
    [
        "make everything",
        "python -m wsclient admit",
        "python -m wsclient admin connections --tokens hello",
        "python -m nothing",
        ".venv/bin/chalice undeploy",
        "chalice logs --level debug",
        "aws apigatewayv2 get-everything",
        "aws apigatewayv9 get-apis",
        "jq .",
    ],
)
def test_a_command_that_is_made_up_is_noticed(text: str) -> None:
    assert PROGRAM.match(text)
    assert wrong(text) != []


def test_every_name_of_others_is_still_written_somewhere() -> None:
    assert OTHERS.keys() <= {span for _, span in PROSE}
