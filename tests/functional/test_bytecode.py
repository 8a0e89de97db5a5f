"""Byte code in the real package, as Chalice makes it and as Lambda runs it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.factories import authorizer_event, connect_event

ROOT = Path(__file__).parents[2]
TAG = sys.implementation.cache_tag
CHALICE = "from deployment import bytecode; bytecode.install(); bytecode.install(); "
PACKAGE = CHALICE + "from chalice.cli import main; main()"
INJECT = f"""
import sys
{CHALICE}
from chalice.deploy.packager import DependencyBuilder, LambdaDeploymentPackager
from chalice.utils import UI, OSUtils
osutils = OSUtils()
packager = LambdaDeploymentPackager(osutils, DependencyBuilder(osutils), UI())
packager.inject_latest_app(sys.argv[1], '.')
"""
# What takes long to import, and what an authorizer without a network does not need.
HEAVY = {
    *("asyncio", "boto3", "botocore", "email", "http", "logging.config", "multiprocessing"),
    *("ssl", "unittest", "urllib.request", "uuid", "xml", "chalicelib.api"),
}
ANSWER = """
import sys
sys.path.insert(0, sys.argv[1])
import app
import json
answer = getattr(app, sys.argv[2])(json.loads(sys.argv[3]), None)
print(json.dumps({"answer": answer, "modules": sorted(sys.modules)}))
"""


def copy_of_project(directory: Path) -> Path:
    project = directory / "project"
    ignored = shutil.ignore_patterns("__pycache__", "deployments", "deployed")
    for name in ("chalicelib", ".chalice"):
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    for name in ("app.py", "requirements.txt"):
        shutil.copy(ROOT / name, project)
    return project


def chalice(project: Path, script: str, *arguments: str) -> str:
    """Run Chalice with byte code installed, as a user who lets Python write its caches."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=project,
        env={**environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def packaged(project: Path) -> Path:
    said = chalice(project, PACKAGE, "package", "--stage", "prod", "out")
    assert said.count("Compiled") == 1  # though it was installed twice
    return project / "out" / "deployment.zip"


def unpacked(package: Path, directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    with zipfile.ZipFile(package) as archive:
        archive.extractall(directory)
    return directory


def run(directory: Path, handler: str, event: dict[str, Any]) -> Any:
    """Have a handler answer in a process that has the package and Python's own library alone."""
    completed = subprocess.run(
        [
            *(sys.executable, "-I", "-S", "-B", "-c", ANSWER),
            *(str(directory), handler, json.dumps(event)),
        ],
        env={
            "STAGE": "prod",
            "TABLE_NAME": "portcullis-prod",
            "SHARED_TOKEN": "c0rrect",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert not completed.stderr, completed.stderr
    return json.loads(completed.stdout.splitlines()[-1])


def edit(project: Path, old: str, new: str) -> None:
    """Change the source, as fast as an editor can: neither its size nor its date need change."""
    path = project / "app.py"
    before, text = path.stat(), path.read_text()
    assert text.count(old) == 1
    assert len(old) == len(new)
    path.write_text(text.replace(old, new))
    os.utime(path, (before.st_atime, before.st_mtime))


AUTHORIZE = authorizer_event(headers=[("token", "c0rrect")])
OLD_EFFECT = 'principal.principal_id, method_arn, "Allow", principal.context()'
NEW_EFFECT = 'principal.principal_id, method_arn, "Deny" , principal.context()'


def effect(directory: Path) -> str:
    answer = run(directory, "websocket_authorizer", AUTHORIZE)["answer"]
    return str(answer["policyDocument"]["Statement"][0]["Effect"])


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packaged(copy_of_project(tmp_path_factory.mktemp("bytecode")))


def test_every_module_of_the_package_is_compiled_and_runs_as_such(
    package: Path, tmp_path: Path
) -> None:
    directory = unpacked(package, tmp_path / "task")
    for source in directory.rglob("*.py"):
        assert (source.parent / "__pycache__" / f"{source.stem}.{TAG}.pyc").exists()
        source.write_text("raise AssertionError('compiled anew')")
    assert effect(directory) == "Allow"


def test_nothing_of_the_machine_it_was_made_on_is_in_the_package(package: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            for place in (str(package.parents[1]), str(ROOT), sys.prefix, sys.base_prefix):
                assert place.encode() not in data, name


def test_packaging_again_elsewhere_gives_the_same_bytes(package: Path, tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)
    assert packaged(project).read_bytes() == package.read_bytes()
    # By now Chalice has imported the project, and Python may have left its own byte code there.
    cache = project / "chalicelib" / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / f"errors.{TAG}.pyc").write_bytes(b"of this machine")
    assert packaged(project).read_bytes() == package.read_bytes()


def test_what_was_edited_is_what_runs_after_packaging_again(tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)
    assert effect(unpacked(packaged(project), tmp_path / "task")) == "Allow"
    edit(project, OLD_EFFECT, NEW_EFFECT)
    assert effect(unpacked(packaged(project), tmp_path / "task")) == "Deny"
    edit(project, NEW_EFFECT, OLD_EFFECT)
    assert effect(unpacked(packaged(project), tmp_path / "task")) == "Allow"


def test_what_was_edited_is_what_runs_after_it_was_put_into_a_package_that_was_there(
    package: Path, tmp_path: Path
) -> None:
    project = copy_of_project(tmp_path)
    older = Path(shutil.copy(package, tmp_path / "package.zip"))
    edit(project, OLD_EFFECT, NEW_EFFECT)
    chalice(project, INJECT, str(older))
    assert effect(unpacked(older, tmp_path / "task")) == "Deny"


def test_the_authorizer_answers_without_what_takes_long_to_import(
    package: Path, tmp_path: Path
) -> None:
    directory = unpacked(package, tmp_path / "task")
    found = run(directory, "websocket_authorizer", AUTHORIZE)
    (statement,) = found["answer"]["policyDocument"]["Statement"]
    assert statement["Effect"] == "Allow"
    assert not HEAVY & set(found["modules"])


def test_the_connect_handler_refuses_without_what_takes_long_to_import(
    package: Path, tmp_path: Path
) -> None:
    directory = unpacked(package, tmp_path / "task")
    found = run(directory, "websocket_connect", connect_event(None))
    assert found["answer"]["statusCode"] == 401
    assert not HEAVY & set(found["modules"])
