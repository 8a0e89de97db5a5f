"""Copies of the project for Chalice's command line, which writes beside the config it reads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Rules that go by the date: that a runtime is too old is no fault of a template.
_UNHEEDED = ("E2531", "E2533", "W2531")
_IGNORED = shutil.ignore_patterns("__pycache__", "deployments", "deployed")


@dataclass(frozen=True, slots=True)
class ChaliceProject:
    """A directory with an app, and the environment Chalice runs in."""

    directory: Path
    environ: Mapping[str, str]

    @classmethod
    def copy(cls, directory: Path, environ: Mapping[str, str] | None = None) -> ChaliceProject:
        """Copy this project, with all that Chalice's command line needs of it."""
        project = directory / "project"
        for name in ("chalicelib", "deployment", ".chalice"):
            shutil.copytree(ROOT / name, project / name, ignore=_IGNORED)
        for name in ("app.py", "requirements.txt"):
            shutil.copy(ROOT / name, project)
        return cls(project, environ or os.environ)

    @classmethod
    def parrot(
        cls, directory: Path, app_name: str, environ: Mapping[str, str] | None = None
    ) -> ChaliceProject:
        """Copy the small app under another name, so that several share one account."""
        shutil.copytree(ROOT / "tests" / "projects" / "parrot", directory / app_name)
        shutil.copytree(ROOT / "deployment", directory / app_name / "deployment", ignore=_IGNORED)
        project = cls(directory / app_name, environ or os.environ)
        project.edit("app.py", lambda text: text.replace('"parrot"', f'"{app_name}"'))
        project.edit("definition.json", lambda text: text.replace("parrot", app_name))
        project.edit(".chalice/config.json", lambda text: text.replace("parrot", app_name))
        return project

    @classmethod
    def of_another_team(
        cls, directory: Path, name: str, environ: Mapping[str, str] | None = None
    ) -> ChaliceProject:
        """Copy a project of tests/projects, and into it what its team took from here."""
        project = directory / name
        shutil.copytree(ROOT / "tests" / "projects" / name, project, ignore=_IGNORED)
        shutil.copytree(ROOT / "deployment", project / "deployment", ignore=_IGNORED)
        (project / "chalicelib").mkdir()
        (project / "chalicelib" / "__init__.py").touch()
        shutil.copy(ROOT / "chalicelib" / "whole_requests.py", project / "chalicelib")
        return cls(project, environ or os.environ)

    def run(
        self, *arguments: str, check: bool = True, seconds: float = 300.0
    ) -> subprocess.CompletedProcess[str]:
        """Run ``chalice``, as it is installed."""
        completed = self.start(*arguments)
        try:
            output, errors = completed.communicate(timeout=seconds)
        finally:
            completed.kill()
        if check and completed.returncode:
            raise AssertionError(f"chalice {' '.join(arguments)}: {output}{errors}")
        return subprocess.CompletedProcess(arguments, completed.returncode, output, errors)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; from chalice.cli import main; sys.exit(main())",
                *arguments,
            ],
            cwd=self.directory,
            env=dict(self.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def package(self, stage: str, *options: str) -> dict[str, Any]:
        """Package a stage and return the template; its files are in ``out``."""
        self.run("package", "--stage", stage, *options, "out")
        template: dict[str, Any] = json.loads((self.directory / "out" / "sam.json").read_text())
        return template

    def lint(self, *files: str) -> tuple[int, str, str]:
        """Return cfn-lint's exit status, what it finds in templates, and what goes wrong."""
        found = subprocess.run(
            [
                Path(sys.executable).with_name("cfn-lint"),
                *("--ignore-checks", *_UNHEEDED, "--", *files),
            ],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        return found.returncode, found.stdout, found.stderr

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        file = self.directory / path
        before = file.read_text()
        after = change(before)
        assert after != before, f"nothing to change in {path}"
        file.write_text(after)

    def define(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the small app's definition in place."""
        self._change(self.directory / "definition.json", change)

    def configure(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change config.json in place."""
        self._change(self.directory / ".chalice" / "config.json", change)

    def _change(self, file: Path, change: Callable[[dict[str, Any]], object]) -> None:
        values = json.loads(file.read_text())
        change(values)
        file.write_text(json.dumps(values, indent=2))

    @property
    def record(self) -> Path:
        """Where Chalice keeps what it has deployed."""
        return self.directory / ".chalice" / "deployed" / "dev.json"

    def deployed(self, key: str) -> str:
        """Return the one value of a kind that is recorded, such as ``websocket_api_id``."""
        resources = json.loads(self.record.read_text())["resources"]
        (value,) = [it[key] for it in resources if key in it]
        return str(value)
