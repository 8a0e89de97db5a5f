"""The doctor against an emulator: content with what was deployed, and with nothing else.

One small project is deployed by the unmodified ``chalice deploy``, with every option on, and then
broken by hand, one thing after another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cloudformation import without_deployment
from tests.emulator import Emulator

ROOT = Path(__file__).parents[2]
CHALICE = [sys.executable, "-c", "import sys; from chalice.cli import main; sys.exit(main())"]
API_NAME = "shop-dev-websocket-api"
SECRET = "a-token-that-no-document-shows"
CONNECT = "shop-dev-websocket_connect"
FUNCTIONS = [f"websocket_{it}" for it in ("authorizer", "connect", "message", "disconnect")]
APP = textwrap.dedent(
    '''
    """A protected WebSocket API without an HTTP API."""

    import sys

    from chalice.app import Chalice

    app = Chalice(app_name="shop")
    app.experimental_feature_flags.update(["WEBSOCKETS"])


    def definition():
        return {
            "authorizer": {
                "function": "websocket_authorizer",
                "identity_sources": ["route.request.header.token"],
            },
            "route_selection_expression": "$request.body.action",
            "routes": {
                "sendmessage": {
                    "function": "websocket_message",
                    "integration_type": "AWS",
                    "request_templates": {"application/json": '{"text": "hello"}'},
                }
            },
            "stage_variables": {},
            "tables": [
                {
                    "TableName": "shop-dev",
                    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
                    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
                    "BillingMode": "PAY_PER_REQUEST",
                    "TimeToLiveSpecification": {"AttributeName": "expiresAt", "Enabled": True},
                }
            ],
        }


    @app.lambda_function(name="websocket_authorizer")
    def websocket_authorizer(event, context):
        raise Exception("Unauthorized")


    @app.on_ws_connect(name="websocket_connect")
    def websocket_connect(event):
        pass


    @app.on_ws_disconnect(name="websocket_disconnect")
    def websocket_disconnect(event):
        pass


    @app.on_ws_message(name="websocket_message")
    def websocket_message(event):
        pass


    if "chalice.deploy.deployer" in sys.modules:
        import deployment

        deployment.install(
            app,
            definition,
            credential_variables=["TOKEN"],
            demonstration_values=["hello"],
        )
    '''
)
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "${LogGroupArn}:*",
        },
        {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "${TOKEN_PARAMETER_ARN}"},
        {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": "${TableArn}"},
        {
            "Effect": "Allow",
            "Action": "execute-api:ManageConnections",
            "Resource": "arn:${Partition}:execute-api:${Region}:${AccountId}:${ApiId}/${Stage}/*",
        },
    ],
}
CONFIG = {
    "version": "2.0",
    "app_name": "shop",
    "autogen_policy": False,
    "lambda_functions": {
        name: {"iam_policy_file": f"{name}.json", "reserved_concurrency": 3} for name in FUNCTIONS
    },
    "log_retention_in_days": 7,
    "lambda_timeout": 10,
    "stages": {
        "dev": {
            "environment_variables": {"TOKEN_PARAMETER": "/shop/dev/token"},
            "deployment": {"alarms": True, "dashboard": True, "access_logs": True},
        }
    },
}


@dataclass
class Stage:
    """A project, and the emulator its stage is deployed to."""

    directory: Path
    emulator: Emulator

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "PYTHONPATH": str(ROOT),
            "AWS_ENDPOINT_URL": self.emulator.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        return subprocess.run(
            command,
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def chalice(self, command: str) -> subprocess.CompletedProcess[str]:
        return self.run(*CHALICE, command, "--stage", "dev")

    def doctor(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deployment", "doctor", "--stage", "dev", *options]
        return self.run(*command)

    def complaints(self) -> set[str]:
        ran = self.doctor("--json")
        findings = json.loads(ran.stdout)["findings"]
        return {f"{it['check']}: {it['message']}" for it in findings if it["level"] == "problem"}

    def client(self, service: str) -> Any:
        return self.emulator.client(service)

    def api_id(self) -> str:
        apis = self.client("apigatewayv2").get_apis()["Items"]
        return next(str(it["ApiId"]) for it in apis if it["Name"] == API_NAME)


def write_project(directory: Path, config: dict[str, Any]) -> None:
    (directory / ".chalice").mkdir()
    (directory / "app.py").write_text(APP)
    (directory / "requirements.txt").write_text("")
    (directory / ".chalice" / "config.json").write_text(json.dumps(config))
    for name in FUNCTIONS:
        (directory / ".chalice" / f"{name}.json").write_text(json.dumps(POLICY))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("project")
    write_project(directory, CONFIG)
    with Emulator() as emulator:
        yield Stage(directory, emulator)


@pytest.fixture(scope="module")
def refused(stage: Stage) -> subprocess.CompletedProcess[str]:
    """A deployment with access logs to an account that cannot have them."""
    return stage.chalice("deploy")


@pytest.fixture(scope="module")
def deployed(stage: Stage, refused: subprocess.CompletedProcess[str]) -> Stage:
    role = "arn:aws:iam::000000000000:role/apigateway-logs"
    patch = [{"op": "replace", "path": "/cloudwatchRoleArn", "value": role}]
    stage.client("apigateway").update_account(patchOperations=patch)
    stage.client("ssm").put_parameter(Name="/shop/dev/token", Value=SECRET, Type="SecureString")
    ran = stage.chalice("deploy")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return stage


def test_access_logs_are_refused_before_anything_is_made(
    stage: Stage, refused: subprocess.CompletedProcess[str]
) -> None:
    assert refused.returncode != 0
    assert "no role with which API Gateway writes" in refused.stderr
    assert "Traceback" not in refused.stderr
    tables = stage.client("dynamodb").list_tables()["TableNames"]
    assert (tables, stage.client("apigatewayv2").get_apis()["Items"]) == ([], [])


def test_the_doctor_is_content_with_what_was_just_deployed(deployed: Stage) -> None:
    ran = deployed.doctor()
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert ran.stdout.endswith("all is well\n")
    assert "could not" not in ran.stdout


def test_options_are_deployed(deployed: Stage) -> None:
    stages = deployed.client("apigatewayv2").get_stages(ApiId=deployed.api_id())["Items"]
    settings = stages[0]["AccessLogSettings"]
    assert settings["DestinationArn"] == (
        f"arn:aws:logs:us-east-1:000000000000:log-group:/aws/apigateway/{API_NAME}-api"
    )
    body = deployed.client("cloudwatch").get_dashboard(DashboardName="shop-dev")["DashboardBody"]
    assert deployed.api_id() in body
    assert "${" not in body
    alarms = deployed.client("cloudwatch").describe_alarms()["MetricAlarms"]
    functions = {d["Value"] for it in alarms for d in it["Dimensions"]}
    assert functions == {f"shop-dev-{name}" for name in FUNCTIONS}


def detach_authorizer(stage: Stage) -> None:
    client, api_id = stage.client("apigatewayv2"), stage.api_id()
    routes = client.get_routes(ApiId=api_id)["Items"]
    connect = next(it["RouteId"] for it in routes if it["RouteKey"] == "$connect")
    client.update_route(ApiId=api_id, RouteId=connect, AuthorizationType="NONE")


def change_the_deployment(stage: Stage) -> None:
    client, api_id = stage.client("apigatewayv2"), stage.api_id()
    made = client.create_deployment(ApiId=api_id, Description="by hand")["DeploymentId"]
    client.update_stage(ApiId=api_id, StageName="api", DeploymentId=made)


def remove_permission(stage: Stage) -> None:
    client = stage.client("lambda")
    policy = json.loads(client.get_policy(FunctionName=CONNECT)["Policy"])
    for it in policy["Statement"]:
        client.remove_permission(FunctionName=CONNECT, StatementId=it["Sid"])


def change_a_variable(stage: Stage) -> None:
    stage.client("lambda").update_function_configuration(
        FunctionName=CONNECT,
        Environment={"Variables": {"TOKEN_PARAMETER": "/shop/dev/token", "TOKEN": SECRET}},
    )


def widen_a_role(stage: Stage) -> None:
    document = {"Statement": [{"Effect": "Allow", "Action": "dynamodb:Scan", "Resource": "*"}]}
    stage.client("iam").put_role_policy(
        RoleName=CONNECT, PolicyName="more", PolicyDocument=json.dumps(document)
    )


def turn_off_expiry(stage: Stage) -> None:
    specification = {"AttributeName": "expiresAt", "Enabled": False}
    stage.client("dynamodb").update_time_to_live(
        TableName="shop-dev", TimeToLiveSpecification=specification
    )


def put_a_demonstration_value(stage: Stage) -> None:
    stage.client("ssm").put_parameter(
        Name="/shop/dev/token", Value="hello", Type="SecureString", Overwrite=True
    )


def delete_the_parameter(stage: Stage) -> None:
    stage.client("ssm").delete_parameter(Name="/shop/dev/token")


def delete_the_table(stage: Stage) -> None:
    stage.client("dynamodb").delete_table(TableName="shop-dev")


def delete_a_log_group(stage: Stage) -> None:
    stage.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{CONNECT}")


def delete_an_alarm(stage: Stage) -> None:
    stage.client("cloudwatch").delete_alarms(AlarmNames=["shop-dev-authorizer-faults"])


def change_the_concurrency(stage: Stage) -> None:
    stage.client("lambda").put_function_concurrency(
        FunctionName=CONNECT, ReservedConcurrentExecutions=7
    )


def delete_a_metric_filter(stage: Stage) -> None:
    stage.client("logs").delete_metric_filter(
        logGroupName="/aws/lambda/shop-dev-websocket_authorizer",
        filterName="shop-dev-authorizer-timeout",
    )


def delete_a_function(stage: Stage) -> None:
    stage.client("lambda").delete_function(FunctionName="shop-dev-websocket_disconnect")


# In this order, each on top of those before it.
BREAKS: list[tuple[Callable[[Stage], None], str]] = [
    (detach_authorizer, "authorizer: the authorizer is detached from $connect"),
    (change_the_deployment, "stage: it is on an old deployment"),
    (remove_permission, f"permissions: {CONNECT} may not be invoked by arn:aws:execute-api"),
    (change_a_variable, f"functions: {CONNECT}: variable TOKEN is not in config.json"),
    (widen_a_role, f"roles: {CONNECT}: its role is too wide: dynamodb:Scan on *"),
    (turn_off_expiry, "tables: table shop-dev keeps what has expired: TTL is off"),
    (delete_a_log_group, f"log groups: log group /aws/lambda/{CONNECT} is missing"),
    (delete_an_alarm, "options: alarm shop-dev-authorizer-faults is missing"),
    (change_the_concurrency, f"functions: {CONNECT}: it reserves 7, not 3"),
    (delete_a_metric_filter, "options: metric filter shop-dev-authorizer-timeout is missing"),
    (put_a_demonstration_value, "secrets: the parameter of TOKEN_PARAMETER is empty or holds"),
]
# What these take away, others had complained of.
REPLACING: list[tuple[Callable[[Stage], None], str]] = [
    (delete_the_parameter, "secrets: the parameter that TOKEN_PARAMETER names does not exist"),
    (delete_the_table, "tables: table shop-dev is missing: nobody can connect"),
    (delete_a_function, "functions: function shop-dev-websocket_disconnect is missing"),
]


def test_each_thing_broken_by_hand_brings_exactly_its_complaint(deployed: Stage) -> None:
    before = deployed.complaints()
    assert before == set()
    for break_it, complaint in [*BREAKS, *REPLACING]:
        break_it(deployed)
        after = deployed.complaints()
        (new,) = after - before
        assert new.startswith(complaint)
        gone = before - after
        assert len(gone) == (1 if break_it in {delete_the_parameter, delete_the_table} else 0)
        before = after


def test_the_doctor_never_repeats_a_secret(deployed: Stage) -> None:
    change_a_variable(deployed)
    for options in ([], ["--json"]):
        ran = deployed.doctor(*options)
        assert ran.returncode == 1
        assert "TOKEN is in the environment" in ran.stdout
        assert SECRET not in ran.stdout + ran.stderr


def test_a_lost_record_is_no_obstacle(deployed: Stage) -> None:
    before = deployed.complaints()
    record = deployed.directory / ".chalice" / "deployed" / "dev.json"
    kept = record.read_text()
    record.unlink()
    try:
        assert deployed.complaints() == before
    finally:
        record.write_text(kept)


def test_a_stage_that_is_not_there_cannot_be_looked_at(stage: Stage) -> None:
    ran = stage.run(sys.executable, "-m", "deployment", "doctor", "--stage", "prod")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "could not look: config.json has no stage prod\n"


def test_without_an_account_nothing_can_be_looked_at(stage: Stage) -> None:
    unreachable = Stage(stage.directory, stage.emulator)
    ran = unreachable.run(
        sys.executable,
        "-c",
        "import os, runpy, sys;"
        "del os.environ['AWS_ACCESS_KEY_ID'], os.environ['AWS_SECRET_ACCESS_KEY'];"
        "os.environ['AWS_EC2_METADATA_DISABLED'] = 'true';"
        "sys.argv = ['doctor', 'doctor'];"
        "runpy.run_module('deployment', run_name='__main__')",
    )
    assert (ran.returncode, ran.stderr) == (2, "could not look: Unable to locate credentials\n")


def test_delete_takes_alarms_dashboard_filters_and_access_logs_along(deployed: Stage) -> None:
    ran = deployed.chalice("delete")
    assert ran.returncode == 0, ran.stderr
    cloudwatch, logs = deployed.client("cloudwatch"), deployed.client("logs")
    assert cloudwatch.describe_alarms()["MetricAlarms"] == []
    assert cloudwatch.list_dashboards()["DashboardEntries"] == []
    assert logs.describe_log_groups()["logGroups"] == []
    assert logs.describe_metric_filters()["metricFilters"] == []


# What the emulator's CloudFormation leaves out, and that it knows no deployments.
LEFT_OUT = {
    "stage: AutoDeploy is on: every half-made change is published at once",
    "stage: ThrottlingBurstLimit is None, not 2000",
    "stage: ThrottlingRateLimit is None, not 1000.0",
    "stage: it is on an old deployment, or one that was not made here: clients do not get what is "
    "defined now",
    "tables: table shop-dev keeps what has expired: TTL is off",
    *(f"functions: shop-dev-{it}: it reserves nothing, not 3" for it in FUNCTIONS),
}


def uploaded(template: dict[str, Any]) -> dict[str, Any]:
    """Return a template whose code is in a bucket."""
    for it in template["Resources"].values():
        if it["Type"] == "AWS::Serverless::Function":
            it["Properties"]["CodeUri"] = "s3://shop-code/deployment.zip"
    return template


def test_a_stack_of_cloudformation_is_found_by_its_api(tmp_path: Path) -> None:
    environment = {"TOKEN_PARAMETER": "/shop/dev/token"}
    write_project(tmp_path, {**CONFIG, "stages": {"dev": {"environment_variables": environment}}})
    with Emulator() as emulator:
        stage = Stage(tmp_path, emulator)
        ran = stage.run(*CHALICE, "package", "--stage", "dev", "out")
        assert ran.returncode == 0, ran.stderr
        packaged = json.loads((tmp_path / "out" / "sam.json").read_text())
        template = without_deployment(uploaded(packaged))
        stage.client("s3").create_bucket(Bucket="shop-code")
        stage.client("s3").upload_file(
            str(tmp_path / "out" / "deployment.zip"), "shop-code", "deployment.zip"
        )
        stage.client("ssm").put_parameter(Name="/shop/dev/token", Value=SECRET, Type="SecureString")
        cloudformation = stage.client("cloudformation")
        cloudformation.create_stack(
            StackName="shop",
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName="shop", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        assert stage.complaints() == LEFT_OUT
        functions = stage.client("lambda").list_functions()["Functions"]
        assert all(it["FunctionName"].startswith("shop-Websocket") for it in functions)
