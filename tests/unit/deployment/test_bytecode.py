"""Byte code in a package: all of it, always new, the same wherever it is made."""

import importlib
import io
import marshal
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from types import CodeType
from zipfile import ZipFile, ZipInfo

import pytest
from chalice.deploy.packager import (
    AppOnlyDeploymentPackager,
    BaseLambdaDeploymentPackager,
    DependencyBuilder,
    LambdaDeploymentPackager,
    LayerDeploymentPackager,
)
from chalice.utils import UI, OSUtils

from deployment import bytecode

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
TAG = sys.implementation.cache_tag
ROOT = Path(__file__).parents[3]
APP = b'def handler():\n    """Say hello."""\n    return "hello", {"a", "b", "c"}, __file__\n'
FILES = {"chalicelib/views.py": b"NAME = 'views'\n", "chalicelib/a.vtl": b"{}", "app.py": APP}
PYC = f"__pycache__/app.{TAG}.pyc"
VIEWS_PYC = f"chalicelib/__pycache__/views.{TAG}.pyc"
UNCHECKED_HASH = 1


def package(directory: Path, files: dict[str, bytes] = FILES) -> Path:
    """Return a zip as Chalice makes it."""
    path = directory / f"hash-{RUNTIME}.zip"
    with ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = ZipInfo(name)
            info.external_attr = (stat.S_IFREG | 0o755) << 16
            archive.writestr(info, data)
    return path


def contents(path: Path) -> dict[str, bytes]:
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def file_names(code: CodeType) -> set[str]:
    inner = (file_names(const) for const in code.co_consts if isinstance(const, CodeType))
    return {code.co_filename}.union(*inner)


def test_every_source_gets_byte_code_that_is_not_compared_with_it(tmp_path: Path) -> None:
    path = package(tmp_path)
    assert bytecode.add(path, RUNTIME) == f"Compiled 2 modules for {RUNTIME}."
    found = contents(path)
    assert found.keys() == FILES.keys() | {PYC, VIEWS_PYC}
    assert {name: found[name] for name in FILES} == FILES
    for name in (PYC, VIEWS_PYC):
        assert found[name][:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(found[name][4:8], "little") == UNCHECKED_HASH


@pytest.mark.parametrize("root", [bytecode.FUNCTION_ROOT, bytecode.LAYER_ROOT])
def test_tracebacks_name_the_file_as_it_is_on_lambda(tmp_path: Path, root: str) -> None:
    path = package(tmp_path)
    bytecode.add(path, RUNTIME, root)
    found = contents(path)
    assert file_names(marshal.loads(found[PYC][16:])) == {f"{root}/app.py"}
    assert file_names(marshal.loads(found[VIEWS_PYC][16:])) == {f"{root}/chalicelib/views.py"}


def test_the_same_sources_are_the_same_bytes_on_every_machine(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from deployment import bytecode; "
    script += "bytecode.add(Path(sys.argv[1]), sys.argv[2])"
    made = set()
    for number, names in enumerate((sorted(FILES), sorted(FILES, reverse=True))):
        directory = tmp_path / ("deep" * number) / str(number)
        directory.mkdir(parents=True)
        path = package(directory, {name: FILES[name] for name in names})
        subprocess.run(
            [sys.executable, "-c", script, str(path), RUNTIME],
            env={**os.environ, "PYTHONHASHSEED": str(number), "PYTHONOPTIMIZE": str(2 * number)},
            cwd=ROOT,
            check=True,
        )
        made.add(path.read_bytes())
    assert len(made) == 1


def test_entries_are_dated_as_chalices_are_and_keep_their_modes(tmp_path: Path) -> None:
    path = package(tmp_path)
    bytecode.add(path, RUNTIME)
    with ZipFile(path) as archive:
        modes = {info.filename: stat.S_IMODE(info.external_attr >> 16) for info in archive.filelist}
        assert {info.date_time for info in archive.filelist} == {(1980, 1, 1, 0, 0, 0)}
    assert modes == {**dict.fromkeys(FILES, 0o755), PYC: 0o644, VIEWS_PYC: 0o644}


def test_adding_it_twice_changes_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = package(tmp_path)
    bytecode.add(path, RUNTIME)
    once = path.read_bytes()
    bytecode.add(path, RUNTIME)
    assert path.read_bytes() == once
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", [PYC, "__pycache__/app.cpython-310.pyc", VIEWS_PYC])
def test_byte_code_that_was_there_before_is_gone(tmp_path: Path, name: str) -> None:
    path = package(tmp_path, {**FILES, name: b"stale"})
    bytecode.add(path, RUNTIME)
    assert contents(path).keys() == FILES.keys() | {PYC, VIEWS_PYC}
    assert b"stale" not in contents(path).values()


def test_byte_code_of_a_source_that_has_gone_is_gone_too(tmp_path: Path) -> None:
    path = package(tmp_path, {"app.py": APP, VIEWS_PYC: b"stale"})
    bytecode.add(path, RUNTIME)
    assert contents(path).keys() == {"app.py", PYC}


def test_a_module_that_comes_without_its_source_stays(tmp_path: Path) -> None:
    path = package(tmp_path, {"app.py": APP, "vendored.pyc": b"kept"})
    bytecode.add(path, RUNTIME)
    assert contents(path)["vendored.pyc"] == b"kept"


@pytest.mark.parametrize("runtime", ["python3.10", "python3.15", ""])
def test_for_another_python_there_is_none_and_it_is_said(tmp_path: Path, runtime: str) -> None:
    path = package(tmp_path, {**FILES, PYC: b"stale"})
    assert bytecode.add(path, runtime).startswith(
        f"No byte code in the package: it is for {runtime}"
    )
    assert contents(path) == FILES


def test_what_is_not_python_of_this_version_is_left_as_it_is_and_counted(tmp_path: Path) -> None:
    path = package(tmp_path, {"app.py": APP, "dependency/template.py": b"class {{ name }}:\n"})
    assert bytecode.add(path, RUNTIME) == f"Compiled 1 modules for {RUNTIME}, not 1."
    assert contents(path).keys() == {"app.py", PYC, "dependency/template.py"}


def test_what_is_compiled_is_not_run(tmp_path: Path) -> None:
    shadows = {f"{name}.py": b"raise SystemExit('run')\n" for name in ("struct", "sitecustomize")}
    path = package(tmp_path, {"app.py": APP, **shadows})
    assert bytecode.add(path, RUNTIME) == f"Compiled 3 modules for {RUNTIME}."


def test_removing_it_leaves_what_chalice_made(tmp_path: Path) -> None:
    path = package(tmp_path)
    bytecode.add(path, RUNTIME)
    bytecode.remove(path)
    assert contents(path) == FILES


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chalice with byte code, until the test ends."""
    for name in bytecode.CHALICE_NAMES:
        if not name.endswith("._ui"):
            monkeypatch.setattr(name, attribute_named(name))
    bytecode.install()
    bytecode.install()


def attribute_named(name: str) -> object:
    module, kind, attribute = name.rsplit(".", 2)
    return getattr(getattr(importlib.import_module(module), kind), attribute)


def made_by(
    kind: type[BaseLambdaDeploymentPackager], said: io.StringIO
) -> BaseLambdaDeploymentPackager:
    osutils = OSUtils()
    return kind(osutils, DependencyBuilder(osutils), UI(said, said))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A Chalice project without dependencies, but for one that is vendored."""
    for name, data in {"app.py": APP, "requirements.txt": b"", "vendor/dependency.py": b""}.items():
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_bytes(data)
    return tmp_path / "project"


@pytest.mark.parametrize(
    ("kind", "module", "origin"),
    [
        (LambdaDeploymentPackager, "app", "/var/task/app.py"),
        (LambdaDeploymentPackager, "dependency", "/var/task/dependency.py"),
        (AppOnlyDeploymentPackager, "app", "/var/task/app.py"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_whatever_chalice_packages_is_compiled_once(
    project: Path, kind: type[BaseLambdaDeploymentPackager], module: str, origin: str
) -> None:
    said = io.StringIO()
    path = made_by(kind, said).create_deployment_package(str(project), RUNTIME)
    data = contents(Path(path))[f"__pycache__/{module}.{TAG}.pyc"]
    assert marshal.loads(data[16:]).co_filename == origin
    assert said.getvalue().count("Compiled") == 1


@pytest.mark.usefixtures("installed")
def test_a_layer_is_compiled_as_it_is_unpacked(project: Path) -> None:
    (project / "vendor" / "dependency.py").write_bytes(APP)
    packager = made_by(LayerDeploymentPackager, io.StringIO())
    path = packager.create_deployment_package(str(project), RUNTIME)
    prefix = f"python/lib/{RUNTIME}/site-packages"
    data = contents(Path(path))[f"{prefix}/__pycache__/dependency.{TAG}.pyc"]
    assert marshal.loads(data[16:]).co_filename == f"/opt/{prefix}/dependency.py"


@pytest.mark.usefixtures("installed")
def test_a_package_that_chalice_made_before_and_takes_again_is_compiled_anew(
    project: Path,
) -> None:
    packager = made_by(LambdaDeploymentPackager, io.StringIO())
    path = Path(packager.create_deployment_package(str(project), RUNTIME))
    fresh = contents(path)
    package(path.parent, {**fresh, PYC: b"stale"}).replace(path)
    assert packager.create_deployment_package(str(project), RUNTIME) == str(path)
    assert contents(path) == fresh


@pytest.mark.usefixtures("installed")
def test_a_newer_app_put_into_a_package_leaves_no_byte_code_of_the_older_one(
    project: Path,
) -> None:
    packager = made_by(LambdaDeploymentPackager, io.StringIO())
    path = Path(packager.create_deployment_package(str(project), RUNTIME))
    (project / "app.py").write_bytes(APP.replace(b"hello", b"hallo"))
    packager.inject_latest_app(str(path), str(project))
    assert b"hallo" in contents(path)["app.py"]
    assert not [name for name in contents(path) if name.endswith(".pyc")]


def test_what_of_chalice_is_relied_on_is_there() -> None:
    packager = made_by(LambdaDeploymentPackager, io.StringIO())
    for name in bytecode.CHALICE_NAMES:
        module, kind, attribute = name.rsplit(".", 2)
        owner = getattr(importlib.import_module(module), kind)
        assert hasattr(owner, attribute) or attribute in vars(packager)
