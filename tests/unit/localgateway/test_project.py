"""Loading a Chalice project: its variables, its app, and what is said when one is broken."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from chalice.app import Chalice
from chalice.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from localgateway.errors import StartError
from localgateway.project import environment, point_websocket_api

REPOSITORY = Path(__file__).parents[3]
CONFIG = {"version": "2.0", "app_name": "shop", "stages": {"dev": {}}}
EMPTY_APP = "from chalice.app import Chalice\napp = Chalice(app_name='shop')\n"
APP = f"""
import os

{EMPTY_APP}
app.experimental_feature_flags.update(["WEBSOCKETS"])

@app.on_ws_connect(name="enter")
def connect(event):
    pass

@app.on_ws_message()
def message(event):
    pass

@app.lambda_function(name="checker")
def authorize(event, context):
    return os.environ["GREETING"]

@app.route("/health")
def health():
    return {{}}

greeting = os.environ["GREETING"]

def websocket_api_definition():
    return {{
        "authorizer": {{"function": "checker"}},
        "routes": {{greeting: {{"function": "message"}}}},
    }}
"""
# A process of its own: an app's module is `app`, and so is this repository's.
LOADER = """
import json, sys
from pathlib import Path
from localgateway.errors import StartError
from localgateway.project import load
environ = __import__("os").environ
try:
    project = load(Path(sys.argv[1]), "dev", environ, json.loads(sys.argv[2]))
except StartError as error:
    print(json.dumps({"error": str(error)}))
else:
    definition = project.definition
    print(json.dumps({
        "routes": {key: route.function for key, route in definition.routes.items()},
        "authorizer": definition.authorizer and definition.authorizer.function,
        "answer": project.functions["checker"]({}, None) if "checker" in project.functions else "",
        "app_name": project.config.app_name,
        "http_routes": sorted(project.app.routes),
    }))
"""


def written(directory: Path, config: Any = CONFIG, app: str | None = EMPTY_APP) -> Path:
    """Write a Chalice project and return its directory."""
    (directory / ".chalice").mkdir(parents=True, exist_ok=True)
    text = config if isinstance(config, str) else json.dumps(config)
    (directory / ".chalice" / "config.json").write_text(text)
    if app is not None:
        (directory / "app.py").write_text(app)
    return directory


def loaded(project_dir: Path, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what another process says of a project it has loaded."""
    result = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            LOADER,
            str(project_dir),
            json.dumps(variables or {}),
        ],
        cwd=project_dir.parent,
        env={"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-500:]
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def stages(stage: Mapping[str, Any], **project: Any) -> dict[str, Any]:
    return {**CONFIG, "stages": {"dev": stage, "prod": {"environment_variables": {"A": "p"}}}} | (
        project
    )


def functions(**variables: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"environment_variables": values} for name, values in variables.items()}


@pytest.mark.parametrize(
    ("config", "variables", "disagreeing"),
    [
        pytest.param(stages({}), {}, [], id="none"),
        pytest.param(
            stages({}, environment_variables={"A": "1"}), {"A": "1"}, [], id="the project's"
        ),
        pytest.param(
            stages({"environment_variables": {"A": "1"}}), {"A": "1"}, [], id="the stage's"
        ),
        pytest.param(
            stages(
                {"environment_variables": {"A": "2", "B": "2"}},
                environment_variables={"A": "1", "C": "1"},
            ),
            {"A": "2", "B": "2", "C": "1"},
            [],
            id="the stage's override the project's",
        ),
        pytest.param(
            stages({"lambda_functions": functions(f={"A": "1"})}),
            {"A": "1"},
            [],
            id="a function's",
        ),
        pytest.param(
            stages({"lambda_functions": functions(f={"A": "1"}, g={"B": "2"})}),
            {"A": "1", "B": "2"},
            [],
            id="two functions' of different names",
        ),
        pytest.param(
            stages({"lambda_functions": functions(f={"A": "1"}, g={"A": "1"})}),
            {"A": "1"},
            [],
            id="two functions that agree",
        ),
        pytest.param(
            stages({"lambda_functions": functions(f={"A": "1"}, g={"A": "2"})}),
            {"A": "2"},
            ["A"],
            id="two functions that disagree",
        ),
        pytest.param(
            stages({"lambda_functions": functions(f={"B": "1", "A": "1"}, g={"A": "2", "B": "2"})}),
            {"A": "2", "B": "2"},
            ["A", "B"],
            id="two functions that disagree twice",
        ),
        pytest.param(
            stages(
                {
                    "environment_variables": {"A": "1"},
                    "lambda_functions": functions(f={"A": "2"}, g={}),
                }
            ),
            {"A": "2"},
            ["A"],
            id="a function that disagrees with the stage all others use",
        ),
        pytest.param(
            stages({"lambda_functions": {"f": {"lambda_timeout": 10}}}),
            {},
            [],
            id="a function without variables",
        ),
        pytest.param(
            stages({}, lambda_functions=functions(f={"A": "1"})),
            {},
            [],
            id="the project's functions have none, for Chalice gives them none",
        ),
    ],
)
def test_the_environment_is_that_of_a_stage_and_its_functions(
    tmp_path: Path, config: Any, variables: dict[str, str], disagreeing: list[str]
) -> None:
    assert environment(written(tmp_path, config), "dev") == (variables, disagreeing)


def test_another_stage_has_another_environment(tmp_path: Path) -> None:
    assert environment(written(tmp_path, stages({})), "prod") == ({"A": "p"}, [])


VARIABLES = st.dictionaries(st.sampled_from("ABC"), st.sampled_from("12"), max_size=3)


@settings(deadline=None)
@given(VARIABLES, VARIABLES, VARIABLES)
def test_a_lone_function_has_the_environment_chalice_gives_it(
    tmp_path_factory: pytest.TempPathFactory,
    project: dict[str, str],
    stage: dict[str, str],
    function: dict[str, str],
) -> None:
    stage_config = {"environment_variables": stage, "lambda_functions": functions(f=function)}
    config = stages(stage_config, environment_variables=project)
    directory = written(tmp_path_factory.getbasetemp() / "lone", config)
    variables, _ = environment(directory, "dev")
    chalices = Config("dev", "f", config_from_disk=config)
    assert variables == chalices.environment_variables


@pytest.mark.parametrize(
    ("config", "named"),
    [
        pytest.param("", ["config.json", "JSON"], id="an empty file"),
        pytest.param("{", ["config.json", "JSON"], id="JSON cut short"),
        pytest.param("[]", ["config.json"], id="a list"),
        pytest.param('"dev"', ["config.json"], id="a string"),
        pytest.param("{}", ["'dev'", "none"], id="no stages"),
        pytest.param({"stages": {}}, ["'dev'", "none"], id="an empty set of stages"),
        pytest.param(
            {"stages": {"prod": {}, "beta": {}}}, ["'dev'", "beta, prod"], id="other stages"
        ),
        pytest.param({"stages": {"Dev": {}}}, ["'dev'", "Dev"], id="a stage of another case"),
    ],
)
def test_a_configuration_without_the_stage_is_refused(
    tmp_path: Path, config: Any, named: list[str]
) -> None:
    with pytest.raises(StartError) as raised:
        environment(written(tmp_path, config), "dev")
    for word in named:
        assert word in str(raised.value)


def test_a_directory_without_a_configuration_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(StartError) as raised:
        environment(tmp_path, "dev")
    assert str(tmp_path) in str(raised.value)
    with pytest.raises(StartError):
        environment(tmp_path / "nowhere", "dev")


def test_an_app_is_loaded_with_its_variables_and_its_definition(tmp_path: Path) -> None:
    project_dir = written(tmp_path / "shop", app=APP)
    assert loaded(project_dir, {"GREETING": "hello"}) == {
        "routes": {"$connect": "enter", "$default": "message", "hello": "message"},
        "authorizer": "checker",
        "answer": "hello",
        "app_name": "shop",
        "http_routes": ["/health"],
    }


def test_an_app_need_not_have_a_definition(tmp_path: Path) -> None:
    said = loaded(written(tmp_path / "shop"))
    assert (said["routes"], said["authorizer"]) == ({}, None)


@pytest.mark.parametrize(
    ("config", "app", "named"),
    [
        pytest.param(
            CONFIG,
            f"{EMPTY_APP}\ndef broken(:\n",
            ["app.py", "line 4", "def broken(:", "SyntaxError"],
            id="a syntax error",
        ),
        pytest.param(
            CONFIG,
            f"{EMPTY_APP}\n@app.on_ws_connect()\ndef connect(event):\n    pass\n",
            ["experimental", "WEBSOCKETS"],
            id="WebSockets without their flag",
        ),
        pytest.param(CONFIG, None, ["app.py"], id="no app.py"),
        pytest.param(CONFIG, "application = 1\n", ["app.py"], id="an app.py without an app"),
        pytest.param(
            CONFIG, "import no_such_library\n", ["no_such_library"], id="a library that is missing"
        ),
        pytest.param(
            CONFIG, "raise ValueError('no greeting')\n", ["no greeting"], id="an error at import"
        ),
        pytest.param(
            {**CONFIG, "version": "3.0"}, EMPTY_APP, ["3.0"], id="a configuration of the future"
        ),
        pytest.param(
            CONFIG,
            f"{EMPTY_APP}\ndef websocket_api_definition():\n    return {{'routs': 1}}\n",
            ["websocket_api_definition()", "routs"],
            id="a definition that is wrong",
        ),
        pytest.param(
            CONFIG,
            f"{EMPTY_APP}\ndef websocket_api_definition():\n    return None\n",
            ["websocket_api_definition()"],
            id="a definition that is nothing",
        ),
        pytest.param(
            CONFIG,
            f"{EMPTY_APP}\ndef websocket_api_definition():\n    raise KeyError('STAGE')\n",
            ["websocket_api_definition()", "KeyError", "STAGE"],
            id="a definition that raises",
        ),
    ],
)
def test_what_keeps_an_app_from_loading_is_said(
    tmp_path: Path, config: Any, app: str | None, named: list[str]
) -> None:
    error = loaded(written(tmp_path / "shop", config, app))["error"]
    for word in named:
        assert word in error


class Session:
    """Stands in for boto3's and its clients; remembers where each message was posted."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str, str]] = []
        self._endpoint_url = ""

    def client(self, service: str, endpoint_url: str, **_options: Any) -> Session:
        assert service == "apigatewaymanagementapi"
        self._endpoint_url = endpoint_url
        return self

    def post_to_connection(self, ConnectionId: str, Data: str) -> None:
        self.posted.append((self._endpoint_url, ConnectionId, Data))


def test_an_apps_websocket_api_posts_to_the_gateway_whatever_an_event_says() -> None:
    session = Session()
    app = Chalice("shop")
    app.websocket_api.session = session
    point_websocket_api(app, "127.0.0.1:8000", "api")
    app.websocket_api.configure("chat.example.com", "prod")  # as Chalice does for every event
    app.websocket_api.send("Qm3xTe7hoAMCKpw=", "hello")
    assert session.posted == [("http://127.0.0.1:8000/api", "Qm3xTe7hoAMCKpw=", "hello")]


def test_other_apps_are_left_alone() -> None:
    session = Session()
    point_websocket_api(Chalice("shop"), "127.0.0.1:8000", "api")
    other = Chalice("other")
    other.websocket_api.session = session
    other.websocket_api.configure("chat.example.com", "prod")
    other.websocket_api.send("Qm3xTe7hoAMCKpw=", "hello")
    assert session.posted == [("https://chat.example.com/prod", "Qm3xTe7hoAMCKpw=", "hello")]
