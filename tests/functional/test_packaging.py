"""What Chalice packages is what runs: nothing missing, nothing that stays behind."""

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import app as app_module
from chalicelib import api
from chalicelib.settings import DEMONSTRATION_VALUES

ROOT = Path(__file__).parents[2]
SHIPPED = [ROOT / "app.py", *sorted((ROOT / "chalicelib").rglob("*.py"))]
CHALICE = [sys.executable, "-c", "from chalice.cli import main; main()"]
STAYS_BEHIND = {"admin", "localgateway", "deployment", "wsclient", "benchmarks", "tests"}
PREDEFINED = {"websocket_connect", "websocket_disconnect", "websocket_message"}


@dataclass
class Package:
    """A CloudFormation template, and the names of the files in the deployment package."""

    resources: dict[str, Any]
    files: set[str]

    def functions(self) -> list[dict[str, Any]]:
        kind = "AWS::Serverless::Function"
        return [it["Properties"] for it in self.resources.values() if it["Type"] == kind]


def copy_of_project(directory: Path) -> Path:
    """What Chalice writes beside its config must not land in the checkout."""
    project = directory / "project"
    ignored = shutil.ignore_patterns("__pycache__", "deployments", "deployed")
    for name in ("chalicelib", "deployment", ".chalice"):
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    for name in ("app.py", "requirements.txt"):
        shutil.copy(ROOT / name, project)
    return project


@pytest.fixture(scope="module", params=["dev", "prod"])
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Package:
    directory = tmp_path_factory.mktemp("package")
    subprocess.run(
        [*CHALICE, "package", "--stage", request.param, str(directory)],
        cwd=copy_of_project(directory),
        check=True,
        capture_output=True,
    )
    template = json.loads((directory / "sam.json").read_text())
    with zipfile.ZipFile(directory / "deployment.zip") as archive:
        return Package(template["Resources"], set(archive.namelist()))


def test_every_packaged_handler_is_there(package: Package) -> None:
    handlers = {function["Handler"] for function in package.functions()}
    authorizers = {"http_authorizer", "websocket_authorizer"}
    others = {*authorizers, "websocket_deliver", "websocket_sweep", *PREDEFINED}
    assert handlers == {"app.app", *(f"app.{name}" for name in others)}
    for handler in handlers:
        module, _, name = handler.partition(".")
        assert (module, callable(getattr(app_module, name))) == ("app", True)


def test_test_client_config_and_lambda_agree_on_names() -> None:
    names = {name for name in app_module.app.handler_map if name.startswith("websocket_")}
    assert names == {"websocket_authorizer", "websocket_sweep", *PREDEFINED}
    config = json.loads((ROOT / ".chalice" / "config.json").read_text())
    # Chalice's name for all routes, and a function that only stages with a queue have.
    others = {"api_handler", "http_authorizer", api.DELIVERY_FUNCTION}
    assert config["lambda_functions"].keys() == names | others


def test_all_that_ships_is_packaged_and_nothing_that_stays_behind(package: Package) -> None:
    shipped = {str(path.relative_to(ROOT)) for path in SHIPPED}
    templates = (ROOT / "chalicelib" / "mapping_templates").glob("*.vtl")
    pages = (ROOT / "chalicelib").rglob("*.html")
    shipped |= {str(path.relative_to(ROOT)) for path in (*templates, *pages)}
    assert "chalicelib/console/console.html" in shipped
    assert "chalicelib/mapping_templates/sendmessage.vtl" in shipped
    sources = {name for name in package.files if "__pycache__" not in name}
    assert sources == shipped | {"chalice/__init__.py", "chalice/app.py"}
    compiled = {Path(name) for name in package.files - sources}
    modules = {Path(name) for name in sources if name.endswith(".py")}
    assert {(it.parent.parent, it.name.partition(".")[0]) for it in compiled} == {
        (it.parent, it.stem) for it in modules
    }


def test_no_packaged_stage_has_a_secret_a_demonstration_value_or_a_local_address(
    package: Package,
) -> None:
    for function in package.functions():
        variables = dict(function["Environment"]["Variables"])
        assert variables.pop("CONSOLE", "off") == ("on" if variables["STAGE"] == "dev" else "off")
        if function["Handler"] == "app.app":  # no event of the WebSocket API tells it
            assert variables.pop("WEBSOCKET_API_ID") == {"Fn::Sub": "${WebsocketAPI}"}
            assert variables.pop("WEBSOCKET_STAGE") == "api"
        assert set(variables) == {
            "STAGE",
            "TABLE_NAME",
            "QUEUE_NAME",
            "SHARED_TOKEN_PARAMETER",
        }
        assert not set(variables.values()) & DEMONSTRATION_VALUES


def test_functions_end_before_api_gateway_gives_them_up(package: Package) -> None:
    assert all(function["Timeout"] < 29 for function in package.functions())


def test_the_queue_is_worked_one_task_at_a_time_and_gives_the_function_time(
    package: Package,
) -> None:
    (function,) = [it for it in package.functions() if it["Handler"] == "app.websocket_deliver"]
    (event,) = function["Events"].values()
    assert event["Type"] == "SQS"
    assert event["Properties"]["BatchSize"] == 1
    assert event["Properties"]["ScalingConfig"] == {"MaximumConcurrency": 4}
    queue_name = function["Environment"]["Variables"]["QUEUE_NAME"]
    queue_id, _arn = event["Properties"]["Queue"]["Fn::GetAtt"]
    assert package.resources[queue_id]["Properties"]["QueueName"] == queue_name
    queues = {
        it["Properties"]["QueueName"]: it["Properties"]
        for it in package.resources.values()
        if it["Type"] == "AWS::SQS::Queue"
    }
    queue = queues[queue_name]
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
    dead_letters = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::Sub"].rpartition(":")[2]
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 3
    assert dead_letters in queues


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield the modules a file imports, and whether it does so as soon as it is imported."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node in tree.body) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "house rule: absolute imports"
            yield (node.module or "").partition(".")[0], node in tree.body


# Imported by nobody who does not ask for it, in the right stage: see docs/dependencies.md.
LATE = {
    "credentials.py": {"boto3"},
    "cedar.py": {"cedarpy"},
    "jwt_keys.py": {"jwt", "cryptography"},
}


def imported(path: Path) -> set[str]:
    return {name for name, _ in imports(path)}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_ships_imports_only_what_is_there_on_lambda(path: Path) -> None:
    ours = {"chalicelib"} | ({"chalice", "deployment"} if path.name == "app.py" else set())
    late = LATE.get(path.name, set())
    third_party = imported(path) - set(sys.stdlib_module_names)
    assert third_party <= ours | late
    assert imported(path) & STAYS_BEHIND <= ours
    assert ("deployment", True) not in imports(path)
    assert ("boto3", True) not in imports(path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_bootstrap_knows_the_operating_system(path: Path) -> None:
    assert "os" not in imported(path) or path == ROOT / "chalicelib" / "bootstrap" / "__init__.py"


def test_importing_the_app_reads_no_settings_and_imports_no_boto3() -> None:
    script = (
        "import sys, app; "
        "print(app.bootstrap.settings.cache_info().currsize, 'boto3' in sys.modules)"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    completed = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (completed.stdout, completed.stderr) == ("0 False\n", "")
