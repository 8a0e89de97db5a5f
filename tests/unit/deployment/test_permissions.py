"""Functions may be invoked by the routes and authorizers that use them, and by nothing else."""

import json
from typing import Any

import pytest

from deployment import permissions
from tests.unit.deployment.blueprints import make_blueprint, make_definition, make_route

API = "arn:aws:execute-api:us-east-1:123456789012:abc"
FUNCTION = "parrot-dev-websocket_message"
PRINCIPAL = "apigateway.amazonaws.com"


class FakeLambda:
    """The ``lambda`` client's resource policies."""

    class exceptions:
        class ResourceNotFoundException(Exception): ...

    def __init__(self) -> None:
        self.statements: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []

    def get_policy(self, FunctionName: str) -> dict[str, str]:
        if not self.statements:
            raise self.exceptions.ResourceNotFoundException(FunctionName)
        return {"Policy": json.dumps({"Statement": list(self.statements.values())})}

    def add_permission(self, **it: str) -> None:
        assert it["StatementId"] not in self.statements, "ResourceConflictException"
        self.calls.append(f"add {it['SourceArn']}")
        self.statements[it["StatementId"]] = {
            "Sid": it["StatementId"],
            "Effect": "Allow",
            "Principal": {"Service": it["Principal"]},
            "Action": it["Action"],
            "Condition": {"ArnLike": {"AWS:SourceArn": it["SourceArn"]}},
        }

    def remove_permission(self, FunctionName: str, StatementId: str) -> None:
        arn = permissions.source_arn(self.statements.pop(StatementId))
        self.calls.append(f"remove {arn}")


def sync(client: FakeLambda, *resources: str) -> list[str]:
    client.calls.clear()
    permissions.sync(client, FUNCTION, PRINCIPAL, API, resources)
    return client.calls


def test_each_function_is_invoked_by_what_uses_it() -> None:
    assert permissions.wanted_resources(make_blueprint(), "auth1") == {
        "websocket_authorizer": ["authorizers/auth1"],
        "websocket_connect": ["api/$connect"],
        "websocket_disconnect": ["api/$disconnect"],
        "websocket_message": ["api/$default", "api/sendmessage"],
    }


def test_one_function_may_be_authorizer_and_handler() -> None:
    authorizer = {"function": "websocket_connect"}
    wanted = permissions.wanted_resources(
        make_blueprint(make_definition(authorizer=authorizer)), "auth1"
    )
    assert wanted["websocket_connect"] == ["api/$connect", "authorizers/auth1"]


def test_more_routes_than_a_policy_holds_are_allowed_as_the_stage() -> None:
    routes = {f"route{number}": make_route() for number in range(permissions.MOST_STATEMENTS)}
    wanted = permissions.wanted_resources(make_blueprint(make_definition(routes=routes)), "a")
    assert wanted["websocket_message"] == ["api/*"]


def test_what_is_new_is_added_before_what_is_stale_goes() -> None:
    client = FakeLambda()
    sync(client, "api/old", "api/kept")
    assert sync(client, "api/kept", "api/new") == [f"add {API}/api/new", f"remove {API}/api/old"]


def test_what_is_there_already_is_left_alone() -> None:
    client = FakeLambda()
    sync(client, "api/$default", "api/sendmessage")
    assert sync(client, "api/$default", "api/sendmessage") == []


def test_what_chalice_allowed_the_whole_api_goes() -> None:
    client = FakeLambda()
    client.add_permission(
        StatementId="chalices", Principal=PRINCIPAL, Action="x", SourceArn=f"{API}/*"
    )
    assert sync(client, "api/$default") == [f"add {API}/api/$default", f"remove {API}/*"]


@pytest.mark.parametrize("arn", [f"{API}d/api/$default", "arn:aws:s3:::bucket"])
def test_what_others_may_is_not_ours_to_take(arn: str) -> None:
    client = FakeLambda()
    client.add_permission(StatementId="s", Principal="s3", Action="x", SourceArn=arn)
    client.statements["unconditional"] = {"Sid": "unconditional", "Effect": "Allow"}
    assert sync(client) == []
    assert len(client.statements) == 2
