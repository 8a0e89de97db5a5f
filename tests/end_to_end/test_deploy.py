"""The unmodified ``chalice deploy`` against an emulator, run for run.

MiniStack has no snapshots: what a deployment changes is reached at once. So somebody who never
gets in while one runs says more here than it would on AWS, where a stage moves in one step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import websocket

from deployment.local_emulator import LocalEmulator
from tests.chalice_project import ROOT, ChaliceProject

TOKEN = {"token": "cracker"}
_numbers = count()


@pytest.fixture(scope="module")
def emulator() -> Iterator[LocalEmulator]:
    with LocalEmulator(os.environ) as emulator:
        yield emulator


@pytest.fixture
def parrot(emulator: LocalEmulator, tmp_path: Path) -> Iterator[ChaliceProject]:
    """An app that nothing else in the account has to do with; undeployed at the end."""
    project = ChaliceProject.parrot(
        tmp_path, f"parrot{next(_numbers)}", emulator.environ(os.environ)
    )
    yield project
    project.run("delete", "--stage", "dev")


@pytest.fixture(scope="module")
def deployed_parrot(
    emulator: LocalEmulator, tmp_path_factory: pytest.TempPathFactory
) -> ChaliceProject:
    """An app that is deployed; tests leave it as it is."""
    directory = tmp_path_factory.mktemp("deployed")
    project = ChaliceProject.parrot(directory, "deployed", emulator.environ(os.environ))
    project.run("deploy", "--stage", "dev")
    return project


def connect(url: str, headers: dict[str, str] | None = None) -> websocket.WebSocket:
    return websocket.create_connection(url, header=headers or {}, timeout=60)


def handshake(url: str, headers: dict[str, str] | None = None) -> int:
    """Return the status code a handshake is answered with."""
    try:
        connect(url, headers).close()
    except websocket.WebSocketBadStatusException as refusal:
        return int(refusal.status_code)
    return 101


def say(client: websocket.WebSocket, text: str) -> str:
    client.send(text)
    return str(client.recv())


class Deployed:
    """What is there of one app, as AWS's own calls say."""

    def __init__(self, emulator: LocalEmulator, project: ChaliceProject) -> None:
        self.emulator = emulator
        self.api_id = project.deployed("websocket_api_id")
        self.url = emulator.websocket_url(self.api_id, "api")
        self.api = emulator.client("apigatewayv2")

    def routes(self) -> dict[str, dict[str, Any]]:
        return {it["RouteKey"]: it for it in self.api.get_routes(ApiId=self.api_id)["Items"]}

    def deployment_ids(self) -> set[str]:
        found = self.api.get_deployments(ApiId=self.api_id)["Items"]
        return {it["DeploymentId"] for it in found}


def deploy(emulator: LocalEmulator, project: ChaliceProject) -> Deployed:
    project.run("deploy", "--stage", "dev")
    return Deployed(emulator, project)


def add_route(definition: dict[str, Any]) -> None:
    definition["routes"]["shout"] = {"function": "websocket_message"}
    definition["routes"]["sendmessage"]["request_templates"]["application/json"] += " "


KNOCKS = """
import os

if "KNOCK_AT" in os.environ:
    import websocket
    from botocore.client import BaseClient

    call = BaseClient._make_api_call

    def call_and_knock(self, operation, parameters):
        answer = call(self, operation, parameters)
        try:
            websocket.create_connection(os.environ["KNOCK_AT"], timeout=60).close()
            status = 101
        except websocket.WebSocketBadStatusException as refusal:
            status = refusal.status_code
        with open("knocks", "a") as knocks:
            knocks.write(f"{operation} {status}\\n")
        return answer

    BaseClient._make_api_call = call_and_knock
"""


def test_nobody_gets_in_while_a_deployment_runs_and_who_is_in_stays(
    emulator: LocalEmulator, parrot: ChaliceProject
) -> None:
    url = deploy(emulator, parrot).url
    assert [handshake(url), handshake(url, {"token": "x"}), handshake(url, TOKEN)] == [
        401,
        403,
        101,
    ]
    client = connect(url, TOKEN)
    assert say(client, "hello") == "hello"
    parrot.define(add_route)
    parrot.edit("app.py", lambda text: text.replace("event.body.encode()", "b'new'"))
    # Somebody without a token knocks after every call it makes, for nothing changes between two.
    parrot.edit("app.py", lambda text: text + KNOCKS)
    deployed = deploy(
        emulator, ChaliceProject(parrot.directory, {**parrot.environ, "KNOCK_AT": url})
    )
    knocks = [line.split() for line in (parrot.directory / "knocks").read_text().splitlines()]
    assert {status for _, status in knocks} == {"401"}
    assert {"UpdateFunctionCode", "CreateDeployment", "UpdateStage"} <= {call for call, _ in knocks}
    assert deployed.url == url
    assert deployed.routes().keys() == {
        "$connect",
        "$disconnect",
        "$default",
        "sendmessage",
        "shout",
    }
    assert say(client, "hello") == "new"
    client.close()


def test_nothing_changed_is_no_new_deployment(
    emulator: LocalEmulator, deployed_parrot: ChaliceProject
) -> None:
    before = Deployed(emulator, deployed_parrot)
    ids, routes = before.deployment_ids(), before.routes()
    after = deploy(emulator, deployed_parrot)
    assert (after.deployment_ids(), after.routes()) == (ids, routes)
    assert len(ids) == 1


def test_an_open_api_of_plain_chalice_is_taken_over(
    emulator: LocalEmulator, parrot: ChaliceProject
) -> None:
    install = "    deployment.install(app, definition)\n"
    parrot.edit("app.py", lambda text: text.replace(install, ""))
    # Plain Chalice leaves names in policies as they are.
    parrot.edit(".chalice/policies/any.json", lambda text: text.replace("${", "{"))
    plain = deploy(emulator, parrot)
    assert handshake(plain.url) == 101  # the reason for all of this
    parrot.edit("app.py", lambda text: text + install)
    parrot.edit(".chalice/policies/any.json", lambda text: text.replace("{LogG", "${LogG"))
    parrot.edit(".chalice/policies/any.json", lambda text: text.replace(":{", ":${"))
    taken = deploy(emulator, parrot)
    assert taken.api_id == plain.api_id
    assert [handshake(taken.url), handshake(taken.url, TOKEN)] == [401, 101]
    assert taken.routes()["sendmessage"]["AuthorizationType"] == "NONE"
    permitted = resource_policies(emulator, parrot)
    assert not any(arn.endswith(f"{taken.api_id}/*") for arn in permitted)


def test_a_function_that_asks_is_told_the_id_of_the_api(
    emulator: LocalEmulator, parrot: ChaliceProject
) -> None:
    asks = {"OWN_API": "${ApiId}", "OWN_STAGE": "${Stage}", "OTHER": "${HOME}"}
    parrot.configure(
        lambda config: config["stages"]["dev"].update(
            lambda_functions={"websocket_message": {"environment_variables": asks}}
        )
    )
    deployed = deploy(emulator, parrot)
    name = f"{parrot.directory.name}-dev-websocket_message"
    client = emulator.client("lambda")
    for _ in range(2):  # created, then updated
        told = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        assert {it: told[it] for it in asks} == {
            "OWN_API": deployed.api_id,
            "OWN_STAGE": "api",
            "OTHER": "${HOME}",
        }
        deploy(emulator, parrot)


def resource_policies(emulator: LocalEmulator, project: ChaliceProject) -> list[str]:
    """Return what may invoke the app's functions."""
    functions = emulator.client("lambda")
    found = []
    for it in functions.list_functions()["Functions"]:
        if it["FunctionName"].startswith(f"{project.directory.name}-dev"):
            policy = json.loads(functions.get_policy(FunctionName=it["FunctionName"])["Policy"])
            found += [json.dumps(statement["Condition"]) for statement in policy["Statement"]]
    return sorted(condition.split('"')[-2] for condition in found)


def test_functions_are_invoked_by_their_routes_and_authorizer_only(
    emulator: LocalEmulator, deployed_parrot: ChaliceProject
) -> None:
    deployed = Deployed(emulator, deployed_parrot)
    (authorizer,) = deployed.api.get_authorizers(ApiId=deployed.api_id)["Items"]
    arns = resource_policies(emulator, deployed_parrot)
    ends = [arn.partition(f":{deployed.api_id}/")[2] for arn in arns]
    assert ends == [
        "api/$connect",
        "api/$default",
        "api/$disconnect",
        "api/sendmessage",
        f"authorizers/{authorizer['AuthorizerId']}",
    ]


def test_what_the_definition_has_no_more_disappears(
    emulator: LocalEmulator, parrot: ChaliceProject
) -> None:
    deploy(emulator, parrot)
    parrot.define(lambda it: it.update(routes={}, stage_variables={}))
    deployed = deploy(emulator, parrot)
    assert deployed.routes().keys() == {"$connect", "$disconnect", "$default"}
    assert len(deployed.api.get_integrations(ApiId=deployed.api_id)["Items"]) == 3
    assert not any("sendmessage" in arn for arn in resource_policies(emulator, parrot))


FAILURE = """
import os

if "FAIL_AT" in os.environ:
    from chalice.awsclient import TypedAWSClient

    def fail(*args, **kwargs):
        raise RuntimeError("injected")

    setattr(TypedAWSClient, os.environ["FAIL_AT"], fail)
"""


@pytest.mark.parametrize("call", ["create_function", "publish_websocket_api"])
def test_a_deployment_that_failed_is_repeated_and_ends_right_with_one_api(
    emulator: LocalEmulator, parrot: ChaliceProject, call: str
) -> None:
    parrot.edit("app.py", lambda text: text + FAILURE)
    failing = ChaliceProject(parrot.directory, {**parrot.environ, "FAIL_AT": call})
    failed = failing.run("deploy", "--stage", "dev", check=False)
    assert "injected" in failed.stderr
    assert failed.returncode != 0
    (api_id,) = apis(emulator, parrot)
    # MiniStack lets everybody into an API without a stage; API Gateway nobody.
    assert emulator.client("apigatewayv2").get_stages(ApiId=api_id)["Items"] == []
    deployed = deploy(emulator, parrot)
    assert apis(emulator, parrot) == [api_id]
    assert [handshake(deployed.url), handshake(deployed.url, TOKEN)] == [401, 101]


def apis(emulator: LocalEmulator, project: ChaliceProject) -> list[str]:
    found = emulator.client("apigatewayv2").get_apis()["Items"]
    name = f"{project.directory.name}-dev-websocket-api"
    return [it["ApiId"] for it in found if it["Name"] == name]


def test_an_api_whose_record_is_lost_is_found_again(
    emulator: LocalEmulator, deployed_parrot: ChaliceProject
) -> None:
    before = Deployed(emulator, deployed_parrot)
    ids = before.deployment_ids()
    deployed_parrot.record.unlink()
    after = deploy(emulator, deployed_parrot)
    assert apis(emulator, deployed_parrot) == [before.api_id] == [after.api_id]
    assert after.deployment_ids() == ids


def test_two_apis_of_the_same_name_without_a_record_are_refused(
    emulator: LocalEmulator, parrot: ChaliceProject
) -> None:
    name = f"{parrot.directory.name}-dev-websocket-api"
    client = emulator.client("apigatewayv2")
    made = [
        client.create_api(
            Name=name, ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
        )["ApiId"]
        for _ in range(2)
    ]
    refused = parrot.run("deploy", "--stage", "dev", check=False)
    assert refused.returncode == 1
    assert all(api_id in refused.stderr for api_id in made)
    assert "Traceback" not in refused.stderr


def test_an_http_api_of_the_same_name_is_not_taken(
    emulator: LocalEmulator, parrot: ChaliceProject
) -> None:
    name = f"{parrot.directory.name}-dev-websocket-api"
    client = emulator.client("apigatewayv2")
    other = client.create_api(Name=name, ProtocolType="HTTP")["ApiId"]
    parrot.edit("app.py", lambda text: text + FAILURE)
    failing = ChaliceProject(parrot.directory, {**parrot.environ, "FAIL_AT": "create_role"})
    failing.run("deploy", "--stage", "dev", check=False)
    (own,) = set(apis(emulator, parrot)) - {other}
    assert client.get_api(ApiId=own)["ProtocolType"] == "WEBSOCKET"


DEAD_LETTERS = {"QueueName": "PARROT-dead", "MessageRetentionPeriod": 1209600}
QUEUE = {
    "QueueName": "PARROT-jobs",
    "VisibilityTimeout": 60,
    "RedrivePolicy": {
        "deadLetterTargetArn": "arn:${Partition}:sqs:${Region}:${AccountId}:PARROT-dead",
        "maxReceiveCount": 3,
    },
}
WORK = '@app.on_sqs_message(queue="PARROT-jobs", name="work")\ndef work(event): ...\n\n\nif "chal'


def test_queues_are_made_before_what_reads_them_and_deleted_with_the_rest(
    emulator: LocalEmulator, parrot: ChaliceProject
) -> None:
    app_name = parrot.directory.name
    queues = json.loads(json.dumps([DEAD_LETTERS, QUEUE]).replace("PARROT", app_name))
    parrot.define(lambda it: it.update(queues=queues))
    parrot.edit("app.py", lambda text: text.replace('if "chal', WORK.replace("PARROT", app_name)))
    sqs = emulator.client("sqs")
    for _ in range(2):
        deploy(emulator, parrot)
        url = sqs.get_queue_url(QueueName=f"{app_name}-jobs")["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        redrive = json.loads(attributes["RedrivePolicy"])
        assert redrive["deadLetterTargetArn"].endswith(f":{app_name}-dead")
        assert "$" not in redrive["deadLetterTargetArn"]
        assert attributes["VisibilityTimeout"] == "60"
    mappings = emulator.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert [it["EventSourceArn"].endswith(f"{app_name}-jobs") for it in mappings] == [True]
    parrot.run("delete", "--stage", "dev")
    assert leftovers(emulator, app_name) == []


def leftovers(emulator: LocalEmulator, app_name: str) -> list[str]:
    """Return the names of all that is still there of an app."""
    calls: list[tuple[str, str, str, str]] = [
        ("dynamodb", "list_tables", "TableNames", ""),
        ("sqs", "list_queues", "QueueUrls", ""),
        ("apigatewayv2", "get_apis", "Items", "Name"),
        ("apigateway", "get_rest_apis", "items", "name"),
        ("lambda", "list_functions", "Functions", "FunctionName"),
        ("lambda", "list_event_source_mappings", "EventSourceMappings", "FunctionArn"),
        ("iam", "list_roles", "Roles", "RoleName"),
        ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    ]
    found = []
    for service, call, items, name in calls:
        answer = getattr(emulator.client(service), call)()
        names = [it[name] if name else it for it in answer.get(items, [])]
        found += [f"{service} {it}" for it in names if app_name in it]
    return found


def test_deleting_leaves_nothing(emulator: LocalEmulator, parrot: ChaliceProject) -> None:
    deploy(emulator, parrot)
    app_name = parrot.directory.name
    # A check that could not fail would be none.
    assert {it.partition(" ")[0] for it in leftovers(emulator, app_name)} == {
        "apigatewayv2",
        "dynamodb",
        "iam",
        "lambda",
        "logs",
    }
    parrot.run("delete", "--stage", "dev")
    assert leftovers(emulator, app_name) == []


def test_deleting_goes_on_where_things_are_gone_already(
    emulator: LocalEmulator, parrot: ChaliceProject
) -> None:
    deployed = deploy(emulator, parrot)
    app_name = parrot.directory.name
    name = f"{app_name}-dev-websocket_message"
    role = {"RoleName": name}
    emulator.client("lambda").delete_function(FunctionName=name)
    iam = emulator.client("iam")
    for policy in iam.list_role_policies(**role)["PolicyNames"]:
        iam.delete_role_policy(**role, PolicyName=policy)
    iam.delete_role(**role)
    emulator.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{name}")
    emulator.client("dynamodb").delete_table(TableName=f"{app_name}-dev")
    deployed.api.delete_api(ApiId=deployed.api_id)
    parrot.run("delete", "--stage", "dev")
    assert leftovers(emulator, app_name) == []


def test_an_api_somebody_deleted_is_made_anew(
    emulator: LocalEmulator, parrot: ChaliceProject
) -> None:
    before = deploy(emulator, parrot)
    before.api.delete_api(ApiId=before.api_id)
    after = deploy(emulator, parrot)
    assert [handshake(after.url), handshake(after.url, TOKEN)] == [401, 101]
    (policy,) = {arn.split(":")[5].split("/")[0] for arn in resource_policies(emulator, parrot)} - {
        before.api_id
    }
    assert policy == after.api_id


def test_the_plan_can_be_shown_without_carrying_it_out(
    emulator: LocalEmulator, parrot: ChaliceProject
) -> None:
    shown = parrot.run("dev", "plan", "--stage", "dev").stdout
    assert "publish_websocket_api" in shown
    assert apis(emulator, parrot) == []


def test_the_apps_roles_are_those_that_are_written_down(
    emulator: LocalEmulator, tmp_path: Path
) -> None:
    """And so the same as in the packaged template, which is held to the same list."""
    project = ChaliceProject.copy(tmp_path, emulator.environ(os.environ))
    project.run("deploy", "--stage", "dev")
    api_id = project.deployed("websocket_api_id")
    expected = (ROOT / "tests" / "policies" / "dev.json").read_text()
    expected = expected.replace("123456789012", "000000000000").replace("abcdef1234", api_id)
    iam = emulator.client("iam")
    for function, statements in json.loads(expected).items():
        role = {
            "APIHandler": "portcullis-dev-api_handler",
            "HttpAuthorizer": "portcullis-dev-http_authorizer",
            "WebsocketAuthorizer": "portcullis-dev-websocket_authorizer",
            "WebsocketConnect": "portcullis-dev-websocket_connect",
            "WebsocketDeliver": "portcullis-dev-websocket_deliver",
            "WebsocketDisconnect": "portcullis-dev-websocket_disconnect",
            "WebsocketMessage": "portcullis-dev-websocket_message",
            "WebsocketSweep": "portcullis-dev-websocket_sweep",
        }[function]
        (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        found = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        assert found["Statement"] == statements
    project.run("delete", "--stage", "dev")
    assert leftovers(emulator, "portcullis") == []


def opened(pid: int) -> Iterator[str]:
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile: the process goes on
            yield path.readlink().name


def test_the_emulator_listens_on_this_machine_only(emulator: LocalEmulator) -> None:
    inodes = set(opened(emulator.process.pid))
    listening = [
        fields[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        for fields in [line.split()]
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes
    ]
    assert listening
    assert all(address.startswith("0100007F:") for address in listening)
