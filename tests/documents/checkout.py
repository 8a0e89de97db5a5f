"""A copy of the checkout for readers' commands, in which they find the emulator in place of AWS."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deployment.local_emulator import LocalEmulator
from tests.documents.commands import ROOT
from tests.documents.terminal import own

_IGNORED = shutil.ignore_patterns(
    *(".git", ".venv", "venv", "vendor", "node_modules", "out", "deployed", "deployments"),
    *("__pycache__", ".*_cache", ".hypothesis", ".coverage*"),
)
# By their times make tells that there is nothing to install: the second is to be no older.
_MADE = ("serves", "installed")
# API Gateway's name for a WebSocket API, which only AWS's DNS knows.
_ADDRESS = r"wss://([^./]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com"
_NPX = """#!/bin/sh
# The name of a WebSocket API means this emulator, as AWS_ENDPOINT_URL says it to other programs.
for word do
  shift
  set -- "$@" "$(printf %s "$word" | sed -E 's#{address}#{emulator}/\\1#')"
done
exec {npx} --yes "$@"
"""


def copy(directory: Path) -> Path:
    """Copy all that is in the repository, and give it the packages of the one that runs."""
    checkout = directory / "checkout"
    shutil.copytree(ROOT, checkout, ignore=_IGNORED, symlinks=True)
    environment = checkout / ".venv"
    environment.mkdir()
    for each in Path(sys.prefix).iterdir():
        if each.name not in _MADE:
            (environment / each.name).symlink_to(each)
    for name in _MADE:
        (environment / name).touch()
    _commit(checkout)
    return checkout


def environ(emulator: LocalEmulator, directory: Path) -> dict[str, str]:
    """Return an environment with AWS's command line, and npx where there is one."""
    programs = directory / "programs"
    programs.mkdir()
    (programs / "aws").symlink_to(Path(sys.prefix) / "bin" / "aws")
    base = emulator.environ(os.environ)
    _write_npx(programs / "npx", emulator, base)
    return {**base, "PATH": f"{programs}{os.pathsep}{base['PATH']}"}


def _write_npx(program: Path, emulator: LocalEmulator, base: Mapping[str, str]) -> None:
    npx = shutil.which("npx", path=base["PATH"])
    if npx is None:
        return
    there = emulator.websocket_url("", "").rstrip("/")
    program.write_text(_NPX.format(address=_ADDRESS, emulator=there, npx=npx))
    program.chmod(0o755)


def _commit(checkout: Path) -> None:
    """Make it a repository of its own, for commands of git."""
    identity = ("-c", "user.name=reader", "-c", "user.email=reader@example.com")
    # Whoever runs the tests may have told git to sign, or to run hooks.
    variables = own(os.environ) | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for arguments in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "-m", "all")):
        git = ("git", *identity, *arguments)
        subprocess.run(git, cwd=checkout, env=variables, check=True, stdout=subprocess.DEVNULL)


def filled(text: str, placeholders: Mapping[str, str]) -> str:
    """Put values where a text has placeholders, which are no parts of words."""
    names = "|".join(map(re.escape, placeholders))
    return re.sub(rf"(?<!\w)(?:{names})", lambda match: placeholders[match[0]], text)
