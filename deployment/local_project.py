"""A copy of a Chalice project to deploy from, and what its stage expects to find in an account.

Chalice writes beside the config it reads, and remembers what it deployed: nothing of that belongs
into a checkout from which somebody deploys to AWS.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PARTS = ("app.py", "app", "chalicelib", "deployment", "vendor", ".chalice", "requirements.txt")
_IGNORED = shutil.ignore_patterns("__pycache__", "deployed", "deployments")


@dataclass(frozen=True, slots=True)
class LocalProject:
    """A copy of a project, one stage of it, and the environment Chalice runs in."""

    directory: Path
    stage: str
    environ: Mapping[str, str]

    @classmethod
    def copy(
        cls, source: Path, directory: Path, stage: str, environ: Mapping[str, str]
    ) -> LocalProject:
        """Copy what Chalice needs of a project."""
        for name in _PARTS:
            part = source / name
            if part.is_dir():
                shutil.copytree(part, directory / name, ignore=_IGNORED)
            elif part.is_file():
                shutil.copy(part, directory / name)
        return cls(directory, stage, environ)

    def variables(self) -> dict[str, str]:
        """Return the environment variables of the stage."""
        config = self._config()
        stage = config.get("stages", {}).get(self.stage, {})
        return {**config.get("environment_variables", {}), **stage.get("environment_variables", {})}

    def set_variable(self, name: str, value: str) -> None:
        """Give the stage another environment variable."""
        config = self._config()
        stage = config.setdefault("stages", {}).setdefault(self.stage, {})
        stage.setdefault("environment_variables", {})[name] = value
        self._config_path.write_text(json.dumps(config))

    def store_secrets(self, ssm: Any, secrets_manager: Any, value: str) -> list[str]:
        """Put ``value`` wherever the stage looks for a credential, and return where that is."""
        stored = []
        for variable, name in sorted(self.variables().items()):
            if variable.endswith("_PARAMETER"):
                ssm.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
                stored.append(f"parameter {name}")
            elif variable.endswith("_SECRET"):
                secrets_manager.create_secret(Name=name, SecretString=value)
                stored.append(f"secret {name}")
        return stored

    def chalice(self, *arguments: str) -> Iterator[str]:
        """Run ``chalice`` as it is installed; yield the lines it writes, then raise if it fails.

        Raises subprocess.CalledProcessError.
        """
        command = [
            sys.executable,
            "-c",
            "import sys; from chalice.cli import main; sys.exit(main())",
        ]
        with subprocess.Popen(
            [*command, *arguments, "--stage", self.stage],
            cwd=self.directory,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield line.rstrip("\n")
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, ["chalice", *arguments])

    def websocket_api(self) -> tuple[str, str]:
        """Return id and stage of the deployed WebSocket API."""
        record = self.directory / ".chalice" / "deployed" / f"{self.stage}.json"
        resources = json.loads(record.read_text())["resources"]
        (api,) = [it for it in resources if it["resource_type"] == "websocket_api"]
        return api["websocket_api_id"], api["websocket_api_url"].rstrip("/").rpartition("/")[2]

    @property
    def _config_path(self) -> Path:
        return self.directory / ".chalice" / "config.json"

    def _config(self) -> Any:
        return json.loads(self._config_path.read_text())
