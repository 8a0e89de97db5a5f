"""Another team's HTTP API behind a REQUEST authorizer: header, query parameter, stage variable.

Served by the local gateway and deployed as a stack to an emulator, and both answer alike.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deployment.local_emulator import LocalEmulator
from tests.chalice_project import ChaliceProject
from tests.cloudformation import of_type, resolved, translated
from tests.functional.test_chalice_local import serving
from tests.gateway_process import GatewayProcess

SERVICES = ("apigateway", "cloudformation", "iam", "lambda", "logs", "s3", "sts")
BUCKET = "code-of-parcels"
HEADER = {"HeaderAuth1": "headerValue1"}
QUERY = "?QueryString1=queryValue1"
INVOKED_BY = [
    "api/DELETE/parcels/*",
    "api/GET/opening-hours",
    "api/GET/parcels",
    "api/GET/parcels/*",
    "authorizers/*",
]
BEARER = {"Authorization": "Bearer anything"}


@dataclass(frozen=True, slots=True)
class Host:
    """Where the API is."""

    address: str
    base_path: str = ""

    def ask(
        self, target: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request(method, self.base_path + target, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def status(
        self, target: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> int:
        return self.ask(target, headers, method)[0]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ChaliceProject:
    return ChaliceProject.of_another_team(tmp_path_factory.mktemp("team"), "parcels")


@contextmanager
def gateway(project: ChaliceProject, *options: str) -> Iterator[GatewayProcess]:
    with GatewayProcess(
        "--no-database", "--stage", "dev", *options, project=project.directory
    ) as running:
        yield running


def host_of(running: GatewayProcess) -> Host:
    return Host(running.http_url.removeprefix("http://"))


@pytest.fixture(scope="module")
def served(project: ChaliceProject) -> Iterator[Host]:
    with gateway(project) as running:
        yield host_of(running)


@pytest.fixture(scope="module")
def emulator() -> Iterator[LocalEmulator]:
    with LocalEmulator(os.environ, services=SERVICES) as running:
        yield running


@pytest.fixture(scope="module")
def deployed(project: ChaliceProject, emulator: LocalEmulator) -> Host:
    """The packaged template as a stack; SAM's own translator makes it CloudFormation."""
    template = project.package("dev")
    storage = emulator.client("s3")
    storage.create_bucket(Bucket=BUCKET)
    code = (project.directory / "out" / "deployment.zip").read_bytes()
    storage.put_object(Bucket=BUCKET, Key="code.zip", Body=code)
    for function in of_type(template, "AWS::Serverless::Function").values():
        function["CodeUri"] = f"s3://{BUCKET}/code.zip"
    outputs = create_stack(emulator, template)
    path = f"/_aws/execute-api/{outputs['RestAPIId']}/api"
    return Host(emulator.endpoint_url.removeprefix("http://"), path)


def create_stack(emulator: LocalEmulator, template: Mapping[str, Any]) -> dict[str, str]:
    client = emulator.client("cloudformation")
    client.create_stack(
        StackName="parcels", TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"]
    )
    deadline = time.monotonic() + 60
    while True:
        (stack,) = client.describe_stacks(StackName="parcels")["Stacks"]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        assert time.monotonic() < deadline, stack
        time.sleep(0.1)
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    return {it["OutputKey"]: it["OutputValue"] for it in stack["Outputs"]}


@pytest.fixture(params=["served", "deployed"])
def host(request: pytest.FixtureRequest) -> Host:
    found: Host = request.getfixturevalue(request.param)
    return found


def test_who_shows_all_three_gets_in(host: Host) -> None:
    said = {"depot": "7", "principalId": "me"}
    status, answer = host.ask(f"/parcels{QUERY}", HEADER)
    assert (status, answer["parcels"]) == (200, ["P1", "P2"])
    assert {name: answer["for"][name] for name in said} == said
    assert host.ask(f"/parcels/P1{QUERY}", HEADER) == (
        200,
        {"parcel": "P1", "stage": {"StageVar1": "stageValue1"}},
    )
    assert host.status(f"/parcels{QUERY}", {"headerauth1": "headerValue1"}) == 200


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        pytest.param(f"/parcels{QUERY}", {}, 401, id="no header"),
        pytest.param("/parcels", HEADER, 401, id="no query parameter"),
        pytest.param("/parcels?QueryString1=", HEADER, 401, id="an empty query parameter"),
        pytest.param(f"/parcels{QUERY}", {"HeaderAuth1": ""}, 401, id="an empty header"),
        pytest.param(f"/parcels{QUERY}", BEARER, 401, id="another header"),
        pytest.param(f"/parcels{QUERY}", {"HeaderAuth1": "x"}, 401, id="a wrong header"),
        pytest.param("/parcels?QueryString1=x", HEADER, 403, id="a wrong query parameter"),
        pytest.param("/opening-hours", {}, 200, id="a route for everybody"),
    ],
)
def test_who_lacks_one_does_not(
    host: Host, target: str, headers: dict[str, str], status: int
) -> None:
    assert host.status(target, headers) == status


def test_what_its_answer_does_not_allow_is_refused(host: Host) -> None:
    assert host.status(f"/parcels/P1{QUERY}", HEADER, "DELETE") == 403
    assert host.status(f"/parcels{QUERY}", HEADER) == 200


def test_the_gateway_asks_once_and_not_at_all_where_a_source_is_missing(
    project: ChaliceProject,
) -> None:
    with gateway(project) as running:
        host = host_of(running)
        for target, headers in ((f"/parcels{QUERY}", {}), ("/parcels", HEADER)):
            assert host.status(target, headers) == 401
        assert "courier is asked" not in running.output
        for target in ("/parcels", "/parcels", "/parcels/P1"):
            assert host.status(f"{target}{QUERY}", HEADER) == 200
        assert running.output.count("courier is asked") == 1
        assert host.status("/parcels?QueryString1=x", HEADER) == 403
        assert running.output.count("courier is asked") == 2


def test_the_stage_variable_decides_too(project: ChaliceProject) -> None:
    with gateway(project, "--env", "STAGE_VAR_1=stageValue2") as running:
        assert host_of(running).status(f"/parcels{QUERY}", HEADER) == 403
    with gateway(project, "--env", "STAGE_VAR_1=") as running:
        assert host_of(running).status(f"/parcels{QUERY}", HEADER) == 401
        assert "courier is asked" not in running.output


def test_the_template_says_what_kind_it_is_and_is_valid(project: ChaliceProject) -> None:
    template = project.package("dev")
    (api,) = of_type(template, "AWS::Serverless::Api").values()
    described = api["DefinitionBody"]["securityDefinitions"]["courier"]
    authorizer = described["x-amazon-apigateway-authorizer"]
    assert (authorizer["type"], authorizer["authorizerResultTtlInSeconds"]) == ("request", 60)
    assert authorizer["identitySource"].split(", ") == [
        "method.request.header.HeaderAuth1",
        "method.request.querystring.QueryString1",
        "stageVariables.StageVar1",
    ]
    for path in ("/parcels", "/parcels/{number}"):
        assert api["DefinitionBody"]["paths"][path]["get"]["security"] == [{"courier": []}]
    assert "security" not in api["DefinitionBody"]["paths"]["/opening-hours"]["get"]
    (stage,) = of_type(translated(template), "AWS::ApiGateway::Stage").values()
    assert stage["Variables"] == {"StageVar1": "stageValue1"}
    allowed = of_type(template, "AWS::Lambda::Permission").values()
    assert sorted(resolved(it["SourceArn"]).partition("}/")[2] for it in allowed) == INVOKED_BY
    assert project.lint("out/sam.json") == (0, "", "")


def test_what_is_deployed_with_websockets_only_is_refused_and_not_left_out(tmp_path: Path) -> None:
    project = ChaliceProject.of_another_team(tmp_path, "parcels")
    project.edit("app.py", lambda text: text.replace('{"stage_v', '{"tables": [{}], "stage_v'))
    refused = project.run("package", "--stage", "dev", "out", check=False)
    assert refused.returncode == 1
    assert "no WebSocket handler, so tables of its definition" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_chalice_deploy_gives_the_stage_its_variable(
    tmp_path: Path, emulator: LocalEmulator
) -> None:
    project = ChaliceProject.of_another_team(tmp_path, "parcels", emulator.environ(os.environ))
    project.run("deploy", "--stage", "dev")
    try:
        api_id = project.deployed("rest_api_id")
        stage = emulator.client("apigateway").get_stage(restApiId=api_id, stageName="api")
        assert stage["variables"] == {"StageVar1": "stageValue1"}
        policies = [
            emulator.client("lambda").get_policy(FunctionName=name)["Policy"]
            for name in ("parcels-dev", "parcels-dev-courier")
        ]
        ends = re.findall(f':{api_id}/([^"]+)"', "".join(policies))
        assert sorted(ends) == INVOKED_BY
    finally:
        project.run("delete", "--stage", "dev")


# What Chalice itself makes of it


def test_chalice_local_asks_only_with_an_authorization_and_has_no_stage_variables(
    project: ChaliceProject,
) -> None:
    with serving(project, "dev", "/opening-hours") as port:
        host = Host(f"127.0.0.1:{port}")
        assert host.status(f"/parcels{QUERY}", HEADER) == 401
        assert host.status(f"/parcels{QUERY}", {**HEADER, **BEARER}) == 403
        with pytest.raises(http.client.RemoteDisconnected):  # AWS answers 401
            host.status(f"/parcels{QUERY}", {"HeaderAuth1": "x", **BEARER})


TEST_CLIENT = """
import json
from chalice.test import Client
from app import app

def ask(headers):
    try:
        with Client(app, stage_name="dev") as client:
            path = "/parcels?QueryString1=queryValue1"
            return client.http.get(path, headers=headers).status_code
    except Exception as error:
        return str(error)

header, bearer = {"HeaderAuth1": "headerValue1"}, {"Authorization": "Bearer anything"}
print(json.dumps([ask(header), ask({**header, **bearer}), ask({"HeaderAuth1": "x", **bearer})]))
"""


def test_so_does_chalices_test_client_and_unauthorized_comes_through(
    project: ChaliceProject,
) -> None:
    completed = subprocess.run(
        [sys.executable, "-c", TEST_CLIENT],
        cwd=project.directory,
        env={**project.environ, "STAGE_VAR_1": "stageValue1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout.splitlines()[-1]) == [401, 403, "Unauthorized"]
