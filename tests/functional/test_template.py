"""What ``chalice package`` writes: valid, protected, published when it changes, and no wider."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chalice_project import ROOT, ChaliceProject
from tests.cloudformation import API_ID, of_type, policies, resolved, strings, translated

STAGES = ("dev", "prod")
API = f"arn:aws:execute-api:us-east-1:123456789012:{API_ID}"
REST_API = API.replace(API_ID, "${RestAPI}")
HTTP_ROUTES = (
    "DELETE/connections/*",
    "DELETE/keys/*",
    "DELETE/principals/*/connections",
    "GET/",
    "GET/connections",
    "GET/connections/*",
    "GET/health",
    "GET/jobs/*",
    "GET/keys",
    "GET/openapi.json",
    "POST/keys",
    "POST/messages",
    "POST/messages/batch",
    "POST/principals/allow",
    "POST/principals/revoke",
    "POST/tickets",
)
# Why a role may name more than one thing.
WIDE_RESOURCES = {
    r"arn:aws:logs:.*:log-group:/aws/lambda/[\w-]+:\*": "Lambda chooses the names of streams",
    r"arn:aws:execute-api:.*/api/(POST|GET|DELETE)/@connections/\*": "who knows connection ids",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ChaliceProject:
    return ChaliceProject.copy(tmp_path_factory.mktemp("template"))


@pytest.fixture
def own_project(tmp_path: Path) -> ChaliceProject:
    """A copy of the project that a test may change."""
    return ChaliceProject.copy(tmp_path)


@pytest.fixture(scope="module")
def templates(project: ChaliceProject) -> dict[str, dict[str, Any]]:
    return {stage: project.package(stage) for stage in STAGES}


@pytest.fixture(scope="module", params=STAGES)
def template(templates: dict[str, dict[str, Any]], request: pytest.FixtureRequest) -> Any:
    return templates[request.param]


def test_cfn_lint_finds_nothing(project: ChaliceProject) -> None:
    for stage in STAGES:
        for form in ("json", "yaml"):
            project.run("package", "--stage", stage, "--template-format", form, f"lint/{stage}")
    files = [f"lint/{stage}/sam.{form}" for stage in STAGES for form in ("json", "yaml")]
    assert project.lint(*files) == (0, "", "")


def test_sam_makes_cloudformation_of_it(template: dict[str, Any]) -> None:
    made = translated(template)
    types = {it["Type"] for it in made["Resources"].values()}
    assert not any(name.startswith("AWS::Serverless") for name in types)
    assert {"AWS::Lambda::Function", "AWS::ApiGatewayV2::Authorizer"} <= types


def test_json_and_yaml_say_the_same(project: ChaliceProject) -> None:
    project.run("package", "--stage", "dev", "--template-format", "yaml", "yaml")
    text = (project.directory / "yaml" / "sam.yaml").read_text()
    assert yaml.safe_load(text) == project.package("dev")


def test_connect_has_the_authorizer(template: dict[str, Any]) -> None:
    (authorizer_id,) = of_type(template, "AWS::ApiGatewayV2::Authorizer")
    routes = {it["RouteKey"]: it for it in of_type(template, "AWS::ApiGatewayV2::Route").values()}
    assert routes.keys() == {"$connect", "$disconnect", "$default", "sendmessage"}
    assert routes["$connect"]["AuthorizationType"] == "CUSTOM"
    assert routes["$connect"]["AuthorizerId"] == {"Ref": authorizer_id}


def test_the_deployment_awaits_every_route(template: dict[str, Any]) -> None:
    (deployment,) = of_type(template, "AWS::ApiGatewayV2::Deployment")
    awaited = template["Resources"][deployment]["DependsOn"]
    assert set(awaited) == set(of_type(template, "AWS::ApiGatewayV2::Route"))
    (stage,) = of_type(template, "AWS::ApiGatewayV2::Stage").values()
    assert stage["DeploymentId"] == {"Ref": deployment}
    assert stage["AutoDeploy"] is False


# One definition, three readers


READERS = """
import json, sys
import app
from deployment import blueprint, options

definition = app.websocket_api_definition()
functions = ("authorizer", "connect", "disconnect", "message")
built = blueprint.build(
    definition, app_name="a", chalice_stage="dev", api_name="a", stage="api", tags={},
    chalice_routes=["$connect"], functions={f"websocket_{it}": it for it in functions},
    options=options.Options(),
)
sys.path.append(sys.argv[1])
from localgateway import templates

(template,) = definition["routes"]["sendmessage"]["request_templates"].values()
print(json.dumps([built.content_hash(), templates.render(template, body='"hi"', context={
    "authorizer": {}, "identity": {}}, stage_variables={})]))
"""


def deploy_and_gateway(project: ChaliceProject) -> tuple[str, str]:
    """Return what `chalice deploy` knows a deployment by, and what the gateway renders."""
    variables = {"STAGE": "local", "TABLE_NAME": "table", "SHARED_TOKEN": "hello"}
    completed = subprocess.run(
        [sys.executable, "-c", READERS, str(ROOT)],
        cwd=project.directory,
        env={**project.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    content_hash, rendered = json.loads(completed.stdout)
    return content_hash, rendered


def deployment_id(template: dict[str, Any]) -> str:
    (name,) = of_type(template, "AWS::ApiGatewayV2::Deployment")
    return name


def test_one_character_of_the_mapping_template_changes_all_three_readers(
    own_project: ChaliceProject,
) -> None:
    before = (deployment_id(own_project.package("dev")), *deploy_and_gateway(own_project))
    path = "chalicelib/mapping_templates/sendmessage.vtl"
    own_project.edit(path, lambda text: text.replace('"token"', '"Token"'))
    after = (deployment_id(own_project.package("dev")), *deploy_and_gateway(own_project))
    assert [old == new for old, new in zip(before, after, strict=True)] == [False] * 3
    assert '"Token"' in after[2]


def test_nothing_changed_is_the_same_template_byte_for_byte(own_project: ChaliceProject) -> None:
    written = []
    for _ in range(2):
        own_project.package("dev")
        written.append((own_project.directory / "out" / "sam.json").read_bytes())
    assert written[0] == written[1]


def test_code_alone_is_no_new_deployment_of_the_api(own_project: ChaliceProject) -> None:
    before = own_project.package("dev")
    own_project.edit("app.py", lambda text: text + "\n# another line\n")
    assert deployment_id(own_project.package("dev")) == deployment_id(before)


# --merge-template


def merged(project: ChaliceProject, extra: dict[str, Any]) -> dict[str, Any]:
    (project.directory / "extra.json").write_text(json.dumps({"Resources": extra}))
    return project.package("dev", "--merge-template", "extra.json")


def test_a_merged_template_can_add_to_what_is_there(project: ChaliceProject) -> None:
    index = {
        "IndexName": "byPrincipal",
        "KeySchema": [{"AttributeName": "sk", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    variables = {"Environment": {"Variables": {"MORE": "1"}}}
    found = merged(
        project,
        {
            "PortcullisDevTable": {
                "DeletionPolicy": "Retain",
                "Properties": {"GlobalSecondaryIndexes": [index]},
            },
            "WebsocketMessage": {"Properties": variables},
        },
    )["Resources"]
    assert found["PortcullisDevTable"]["DeletionPolicy"] == "Retain"
    assert found["PortcullisDevTable"]["Properties"]["GlobalSecondaryIndexes"] == [index]
    assert found["PortcullisDevTable"]["Properties"]["TableName"] == "portcullis-dev"
    message = found["WebsocketMessage"]["Properties"]["Environment"]["Variables"]
    assert message["MORE"] == "1"
    assert message["TABLE_NAME"] == "portcullis-dev"


def test_a_merged_route_is_published_with_the_others(project: ChaliceProject) -> None:
    plain = project.package("dev")
    target = {"Fn::Sub": "integrations/${SendmessageAPIIntegration}"}
    properties = {"ApiId": {"Ref": "WebsocketAPI"}, "RouteKey": "extra", "Target": target}
    found = merged(
        project, {"ExtraRoute": {"Type": "AWS::ApiGatewayV2::Route", "Properties": properties}}
    )
    assert deployment_id(found) != deployment_id(plain)
    assert "ExtraRoute" in found["Resources"][deployment_id(found)]["DependsOn"]


def test_chalices_name_of_the_deployment_can_be_merged_onto(project: ChaliceProject) -> None:
    change = {"WebsocketAPIDeployment": {"Properties": {"Description": "ours"}}}
    found = merged(project, change)
    assert "WebsocketAPIDeployment" not in found["Resources"]
    (deployment,) = of_type(found, "AWS::ApiGatewayV2::Deployment").values()
    assert deployment["Description"] == "ours"


@pytest.mark.parametrize("kind", ["NONE", None])
def test_a_merged_template_that_opens_connect_is_refused(
    own_project: ChaliceProject, kind: str | None
) -> None:
    change = {"AuthorizationType": kind} if kind else {"AuthorizationType": {"Ref": "AWS::NoValue"}}
    extra = {"Resources": {"WebsocketConnectRoute": {"Properties": change}}}
    (own_project.directory / "extra.json").write_text(json.dumps(extra))
    refused = own_project.run("package", "--merge-template", "extra.json", "out", check=False)
    assert refused.returncode == 1
    assert "takes the authorizer from $connect" in refused.stderr
    assert not (own_project.directory / "out" / "sam.json").exists()


# The HTTP API's stage


def test_the_http_stage_has_the_definitions_variables(own_project: ChaliceProject) -> None:
    assert "Variables" not in own_project.package("dev")["Resources"]["RestAPI"]["Properties"]
    own_project.configure(
        lambda config: config["stages"]["dev"]["environment_variables"].update(
            STAGE_VARIABLES="StageVar1=stageValue1,size=7"
        )
    )
    template = own_project.package("dev")
    variables = {"StageVar1": "stageValue1", "size": "7"}
    (websocket,) = of_type(template, "AWS::ApiGatewayV2::Stage").values()
    assert websocket["StageVariables"] == variables
    (http,) = of_type(translated(template), "AWS::ApiGateway::Stage").values()
    assert (http["StageName"], http["Variables"]) == ("api", variables)
    own_project.run("package", "--stage", "dev", "out")
    assert own_project.lint("out/sam.json") == (0, "", "")


def test_a_merged_template_adds_to_the_variables_and_wins(own_project: ChaliceProject) -> None:
    own_project.configure(
        lambda config: config["stages"]["dev"]["environment_variables"].update(
            STAGE_VARIABLES="StageVar1=stageValue1,size=7"
        )
    )
    more = {"RestAPI": {"Properties": {"Variables": {"size": "8", "colour": "red"}}}}
    (http,) = of_type(translated(merged(own_project, more)), "AWS::ApiGateway::Stage").values()
    assert http["Variables"] == {"StageVar1": "stageValue1", "size": "8", "colour": "red"}


# Least privilege


@pytest.mark.parametrize("stage", STAGES)
def test_roles_allow_what_is_written_down_and_nothing_else(
    templates: dict[str, dict[str, Any]], stage: str
) -> None:
    expected = json.loads((ROOT / "tests" / "policies" / f"{stage}.json").read_text())
    assert policies(templates[stage]) == expected


def test_every_function_has_a_role_of_its_own(template: dict[str, Any]) -> None:
    functions = of_type(template, "AWS::Serverless::Function").values()
    roles = {function["Role"]["Fn::GetAtt"][0] for function in functions}
    assert len(roles) == len(functions) == len(of_type(template, "AWS::IAM::Role"))


def test_no_role_allows_all_of_anything_without_a_reason(template: dict[str, Any]) -> None:
    for statements in policies(template).values():
        for statement in statements:
            assert statement["Effect"] == "Allow"
            for action in strings(statement["Action"]):
                assert re.fullmatch(r"[a-z-]+:[A-Za-z]+", action)
                assert not action.endswith("Scan")
            for resource in strings(statement["Resource"]):
                if re.search(r"[*?]", resource):
                    assert any(re.fullmatch(pattern, resource) for pattern in WIDE_RESOURCES)


def test_functions_are_invoked_by_single_routes_and_authorizers_of_their_api(
    template: dict[str, Any],
) -> None:
    (authorizer_id,) = of_type(template, "AWS::ApiGatewayV2::Authorizer")
    allowed = sorted(
        (it["FunctionName"]["Ref"], resolved(it["SourceArn"]))
        for it in of_type(template, "AWS::Lambda::Permission").values()
    )
    assert allowed == [
        *(("APIHandler", f"{REST_API}/api/{route}") for route in HTTP_ROUTES),
        ("HttpAuthorizer", f"{REST_API}/authorizers/*"),  # API Gateway chooses their ids
        ("WebsocketAuthorizer", f"{API}/authorizers/${{{authorizer_id}}}"),
        ("WebsocketConnect", f"{API}/api/$connect"),
        ("WebsocketDisconnect", f"{API}/api/$disconnect"),
        ("WebsocketMessage", f"{API}/api/$default"),
        ("WebsocketMessage", f"{API}/api/sendmessage"),
    ]
    for it in of_type(template, "AWS::Lambda::Permission").values():
        assert it["Principal"] == "apigateway.amazonaws.com"
        assert it["Action"] == "lambda:InvokeFunction"


def test_functions_have_settings_of_their_own(template: dict[str, Any]) -> None:
    functions = of_type(template, "AWS::Serverless::Function")
    for function in functions.values():
        assert function["Timeout"] < 29  # API Gateway's own limit
        assert function["MemorySize"] >= 256
        assert function["LoggingConfig"]["LogGroup"]["Ref"] in template["Resources"]
    for group in of_type(template, "AWS::Logs::LogGroup").values():
        assert group["RetentionInDays"] == 30


def test_nothing_is_said_of_a_partition_or_an_account(template: dict[str, Any]) -> None:
    """So that the same template is right in GovCloud and China."""
    assert "arn:aws" not in json.dumps(template)


def test_two_stages_share_no_name(templates: dict[str, dict[str, Any]]) -> None:
    names = ("TableName", "QueueName", "LogGroupName", "RoleName", "FunctionName")
    dev, prod = (
        {
            properties[name]
            for it in templates[stage]["Resources"].values()
            for properties in [it.get("Properties", {})]
            for name in names
            if isinstance(properties.get(name), str)
        }
        for stage in STAGES
    )
    assert dev
    assert not dev & prod


# Queues


def test_what_reads_a_queue_of_the_definition_awaits_it(own_project: ChaliceProject) -> None:
    own_project.edit("app.py", with_queue)
    policy = {"iam_policy_file": "policies/api_handler.json"}
    own_project.configure(lambda config: config["lambda_functions"].update(work=policy))
    template = own_project.package("dev")
    queues = of_type(template, "AWS::SQS::Queue")
    assert list(queues) == ["JobsDeadQueue", "JobsQueue"]
    redrive = queues["JobsQueue"]["RedrivePolicy"]
    assert resolved(redrive["deadLetterTargetArn"]).endswith(":jobs-dead")
    assert template["Resources"]["JobsQueue"]["DependsOn"] == ["JobsDeadQueue"]
    (event,) = template["Resources"]["Work"]["Properties"]["Events"].values()
    assert event["Properties"]["Queue"] == {"Fn::GetAtt": ["JobsQueue", "Arn"]}


def with_queue(text: str) -> str:
    queues = [
        {"QueueName": "jobs-dead"},
        {
            "QueueName": "jobs",
            "RedrivePolicy": {
                "deadLetterTargetArn": "arn:${Partition}:sqs:${Region}:${AccountId}:jobs-dead",
                "maxReceiveCount": 3,
            },
        },
    ]
    handler = '@app.on_sqs_message(queue="jobs", name="work")\ndef work(event): ...\n\n\n'
    text = text.replace('@app.route("/health"', handler + '@app.route("/health"')
    return text.replace(
        "return api.definition(bootstrap.settings())",
        f"return {{**api.definition(bootstrap.settings()), 'queues': {queues}}}",
    )


# Refused


BREAKS: dict[str, tuple[str, str]] = {
    "another minor version": (
        "import chalice; chalice.__version__ = '1.35.0'",
        "Chalice 1.35.0 is not supported",
    ),
    "a renamed method": (
        "from chalice.deploy.planner import PlanStage; del PlanStage._plan_websocketapi",
        "no PlanStage._plan_websocketapi",
    ),
    "a renamed post processor": (
        "from chalice.package import TemplateMergePostProcessor as P; del P.process;"
        "from chalice.package import TemplatePostProcessor as P; del P.process",
        "no TemplateMergePostProcessor.process",
    ),
    "a renamed field": (
        "from chalice.deploy import models;"
        "models.WebsocketAPI.__dataclass_fields__.pop('api_gateway_stage')",
        "no WebsocketAPI.api_gateway_stage",
    ),
    "an unknown route": (
        "from chalice.package import SAMTemplateGenerator as G; old = G._generate_websocketapi;"
        "G._generate_websocketapi = lambda self, resource, template: ("
        "old(self, resource, template), template['Resources'].update(WebsocketPingRoute="
        "{'Type': 'AWS::ApiGatewayV2::Route', 'Properties': {}}))",
        "is known: WebsocketPingRoute",
    ),
    "a renamed resource": (
        "from chalice.package import SAMTemplateGenerator as G; old = G._generate_websocketapi;"
        "G._generate_websocketapi = lambda self, resource, template: ("
        "old(self, resource, template), template['Resources'].pop('WebsocketConnectRoute'))",
        "is known: WebsocketConnectRoute",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_chalice_that_is_not_the_known_one_is_refused(
    own_project: ChaliceProject, name: str
) -> None:
    breakage, reason = BREAKS[name]
    broken = f"{breakage}\nimport sys"
    own_project.edit("app.py", lambda text: text.replace("import sys", broken, 1))
    refused = own_project.run("package", "out", check=False)
    assert refused.returncode != 0
    assert reason in refused.stderr
    assert not (own_project.directory / "out" / "sam.json").exists()


def refusal(project: ChaliceProject, *arguments: str) -> str:
    refused = project.run("package", *arguments, "refused", check=False)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    return refused.stderr


def test_terraform_is_refused_with_the_reason(project: ChaliceProject) -> None:
    assert "no place for the authorizer" in refusal(project, "--pkg-format", "terraform")


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "log retention": (lambda it: it.pop("log_retention_in_days"), "log_retention_in_days is"),
    "an option": (lambda it: it.update(deployment={"alarm": True}), "alarm is not an option"),
    "a variable": (
        lambda it: it["stages"]["dev"]["environment_variables"].update(
            ALLOWED_ORIGIN="https://a.b"
        ),
        "ALLOWED_ORIGIN (is ALLOWED_ORIGINS meant?)",
    ),
    "a variable of one function": (
        lambda it: it["stages"]["dev"]["lambda_functions"].update(
            websocket_message={"environment_variables": {"CEDAR_POLICY": "chalicelib/a.cedar"}}
        ),
        "CEDAR_POLICY (is CEDAR_POLICIES meant?)",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_config_that_cannot_be_deployed_is_refused(
    own_project: ChaliceProject, name: str
) -> None:
    change, reason = CHANGES[name]
    own_project.configure(change)
    assert reason in refusal(own_project)


def test_a_variable_of_ones_own_can_be_nearly_one_of_the_apps(own_project: ChaliceProject) -> None:
    def add(config: dict[str, Any]) -> None:
        config["stages"]["dev"]["environment_variables"]["STAGES"] = "dev prod"
        config["deployment"] = {"own_variables": ["STAGES"]}

    own_project.configure(add)
    functions = of_type(own_project.package("dev"), "AWS::Serverless::Function")
    assert functions["APIHandler"]["Environment"]["Variables"]["STAGES"] == "dev prod"


def test_the_demonstration_token_is_refused_when_it_is_deployed(
    own_project: ChaliceProject,
) -> None:
    def demonstrate(config: dict[str, Any]) -> None:
        variables = config["stages"]["dev"]["environment_variables"]
        variables.pop("SHARED_TOKEN_PARAMETER")
        variables["SHARED_TOKEN"] = "hello"

    own_project.configure(demonstrate)
    refused = own_project.run("package", "--stage", "dev", "out", check=False)
    assert refused.returncode != 0
    assert "demonstration value" in refused.stderr
