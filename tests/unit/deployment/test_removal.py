"""A deletion that stopped half way can be repeated."""

import inspect
from typing import Any

import pytest
from botocore.exceptions import ClientError
from chalice.awsclient import ResourceDoesNotExistError, TypedAWSClient

from deployment import removal
from deployment.chalice_internals import DELETING_CALLS


@pytest.mark.parametrize(
    "gone",
    [
        ResourceDoesNotExistError("abc"),
        ClientError({"Error": {"Code": "NoSuchEntity"}}, "DeleteRole"),
        ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "DeleteLogGroup"),
        ClientError({"Error": {"Code": "NotFoundException"}}, "DeleteApi"),
    ],
    ids=str,
)
def test_what_is_gone_already_is_passed_over(gone: Exception) -> None:
    def original(_aws: Any) -> None:
        raise gone

    assert removal._unless_gone(original, None) is None


def test_any_other_fault_is_not() -> None:
    def original(_aws: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteRole")

    with pytest.raises(ClientError, match="AccessDenied"):
        removal._unless_gone(original, None)


def test_every_deletion_chalice_has_is_covered() -> None:
    deletions = {
        name
        for name, method in inspect.getmembers(TypedAWSClient, inspect.isfunction)
        if name.startswith("delete_") and inspect.unwrap(method).__module__ == "chalice.awsclient"
    }
    parts_of_others = {
        "delete_api_mapping",
        "delete_domain_name",
        "delete_function_concurrency",
        "delete_layer_version",
        "delete_retention_policy",
        "delete_role_policy",
        "delete_rule",
        "delete_websocket_integrations",
        "delete_websocket_routes",
        "delete_methods_from_root_resource",
    }
    assert deletions - parts_of_others <= set(DELETING_CALLS)


@pytest.mark.parametrize("kind", ["table", "queue"])
def test_tables_and_queues_are_deleted_by_name(kind: str) -> None:
    planned = removal._deletion(kind)(None, {f"{kind}_name": "parrot-dev"})
    (call,) = planned["instructions"]
    assert (call.method_name, call.params) == (f"delete_{kind}", {"name": "parrot-dev"})


def test_log_groups_are_deleted_with_their_lines() -> None:
    planned = removal.delete_log_group(lambda _: {}, None, {"log_group_name": "/aws/lambda/a"})
    (call,) = planned["instructions"]
    assert (call.method_name, call.params) == (
        "delete_log_group",
        {"log_group_name": "/aws/lambda/a"},
    )
