"""Byte code in what Chalice packages.

Chalice packages sources alone (or what happens to lie in a ``__pycache__``, which Lambda finds too
old), and a function's directory cannot be written, so every cold start compiles every module again.

What is added here is not compared with its source when it is imported, for the dates in the
package say nothing. So it must never outlive its source: nothing of it is ever kept. Each time
Chalice makes a package, or takes one it has made before, all byte code is dropped and made anew
from the sources that are in it, and where it cannot be made there is none.

Nothing else is dropped. Tests and ``*.dist-info`` in dependencies take space, not time, and what
looks like them may be imported or read (``importlib.metadata`` reads ``METADATA`` and ``RECORD``).
"""

from __future__ import annotations

import functools
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from chalice.deploy.packager import (
    AppOnlyDeploymentPackager,
    BaseLambdaDeploymentPackager,
    LambdaDeploymentPackager,
    LayerDeploymentPackager,
)

FUNCTION_ROOT = "/var/task"
LAYER_ROOT = "/opt"
CHALICE_NAMES = (
    "chalice.deploy.packager.BaseLambdaDeploymentPackager.inject_latest_app",
    "chalice.deploy.packager.LambdaDeploymentPackager.create_deployment_package",
    "chalice.deploy.packager.AppOnlyDeploymentPackager.create_deployment_package",
    "chalice.deploy.packager.LayerDeploymentPackager.create_deployment_package",
    "chalice.deploy.packager.BaseLambdaDeploymentPackager._ui",
)
"""What of Chalice, which does not promise it, is relied on."""

# The date Chalice gives its own entries: the same sources are the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_FILE = (stat.S_IFREG | 0o644) << 16

_Create = Callable[[BaseLambdaDeploymentPackager, str, str], str]
_Inject = Callable[[BaseLambdaDeploymentPackager, str, str], None]


def install() -> None:
    """Have Chalice add byte code to what it packages from now on; once is enough."""
    if hasattr(BaseLambdaDeploymentPackager.inject_latest_app, "__wrapped__"):
        return
    _wrap(BaseLambdaDeploymentPackager, "inject_latest_app", _injecting)
    for packager, root in (
        (LambdaDeploymentPackager, FUNCTION_ROOT),
        (AppOnlyDeploymentPackager, FUNCTION_ROOT),
        (LayerDeploymentPackager, LAYER_ROOT),
    ):
        _wrap(packager, "create_deployment_package", functools.partial(_creating, root=root))


def _wrap(packager: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
    setattr(packager, name, wrapper(getattr(packager, name)))


def _creating(create: _Create, root: str) -> _Create:
    @functools.wraps(create)
    def create_deployment_package(
        self: BaseLambdaDeploymentPackager, project_dir: str, python_version: str
    ) -> str:
        filename = create(self, project_dir, python_version)
        self._ui.write(f"{add(Path(filename), python_version, root)}\n")
        return filename

    return create_deployment_package


def _injecting(inject: _Inject) -> _Inject:
    @functools.wraps(inject)
    def inject_latest_app(
        self: BaseLambdaDeploymentPackager, package_filename: str, project_dir: str
    ) -> None:
        # It replaces app.py, and leaves __pycache__/app.*.pyc, which would go on running.
        inject(self, package_filename, project_dir)
        remove(Path(package_filename))

    return inject_latest_app


def add(package: Path, runtime: str, root: str = FUNCTION_ROOT) -> str:
    """Compile all sources of a package, and say what was done.

    ``runtime`` is Lambda's, ``root`` the directory the package is unpacked to there. Byte code
    fits one version of Python: that of this interpreter, or there will be none.
    """
    ours = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if runtime != ours or sys.implementation.name != "cpython":
        remove(package)
        return f"No byte code in the package: it is for {runtime}, and this is {ours}."
    sources = {name: content for name, content in _read(package).items() if name.endswith(".py")}
    compiled = _compile({name: content.data for name, content in sources.items()}, root)
    _rewrite(package, compiled)
    rest = len(sources) - len(compiled)
    return f"Compiled {len(compiled)} modules for {runtime}{f', not {rest}' if rest else ''}."


def remove(package: Path) -> None:
    """Drop all byte code from a package."""
    _rewrite(package, {})


class _Entry(NamedTuple):
    data: bytes
    attributes: int = _FILE


def _read(package: Path) -> dict[str, _Entry]:
    """Return what is in a package, but for byte code; of two files of one name the last counts.

    A module that comes as a ``.pyc`` alone, without its source, is no such byte code.
    """
    with ZipFile(package) as archive:
        return {
            info.filename: _Entry(archive.read(info), info.external_attr)
            for info in archive.infolist()
            if PurePosixPath(info.filename).parent.name != "__pycache__"
        }


def _rewrite(package: Path, compiled: Mapping[str, bytes]) -> None:
    """Put this byte code in place of any other; by name, so that the same files are one zip."""
    entries = {**_read(package), **{name: _Entry(data) for name, data in compiled.items()}}
    partial = package.with_name(f"{package.name}.tmp")
    with ZipFile(partial, "w", ZIP_DEFLATED) as archive:
        for name, entry in sorted(entries.items()):
            info = ZipInfo(name, _DATE)
            info.compress_type = ZIP_DEFLATED
            info.external_attr = entry.attributes
            archive.writestr(info, entry.data)
    partial.replace(package)


def _compile(sources: Mapping[str, bytes], root: str) -> dict[str, bytes]:
    """Return the byte code of all sources that are Python of this version, by where it belongs."""
    with tempfile.TemporaryDirectory() as directory:
        for name, data in sources.items():
            path = Path(directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        # In a process that has loaded nothing else: what is marshalled depends on who else holds
        # the same strings. As if at the root, so that no path of this machine gets in.
        subprocess.run(
            [
                *(sys.executable, "-I", "-S", "-m", "compileall", "-qq", "-f", "-o", "0"),
                *("--invalidation-mode", "unchecked-hash", "-d", root, "."),
            ],
            cwd=directory,
            check=False,  # dependencies may hold templates, or code for another version
            capture_output=True,
        )
        found = Path(directory).rglob("*.pyc")
        return {str(path.relative_to(directory)): path.read_bytes() for path in found}
