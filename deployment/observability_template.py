"""Alarms, dashboard and the access logs' group for ``chalice package``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalice.utils import to_cfn_resource_name

from deployment import observability, policies
from deployment.blueprint import Blueprint

ACCESS_LOG_GROUP = "WebsocketAccessLogGroup"


def resources(
    blueprint: Blueprint, found: Mapping[str, Any], dynamic: Mapping[str, str]
) -> dict[str, Any]:
    """Return what is to be added to the resources that were ``found`` in the template.

    ``dynamic`` says what CloudFormation calls the dynamic names.
    """
    names = {**dynamic, **_functions(blueprint, found)}
    made: dict[str, Any] = {}
    for it in observability.resources(blueprint):
        logical_id = to_cfn_resource_name(it.name.rpartition(":")[2]) + it.type.rpartition(":")[2]
        made[logical_id] = {
            "Type": it.type,
            **_after_log_group(it.properties.get("LogGroupName"), found),
            "Properties": policies.fill_names(
                dict(it.properties), lambda text: {"Fn::Sub": policies.substitute(text, names)}
            ),
        }
    if blueprint.options.access_logs:
        made[ACCESS_LOG_GROUP] = _access_log_group(blueprint)
    return made


def _functions(blueprint: Blueprint, found: Mapping[str, Any]) -> dict[str, str]:
    """Chalice renames the function behind the routes."""
    ids = {name: to_cfn_resource_name(name) for name in blueprint.functions}
    return {
        f"function_{name}": f"${{{it if it in found else 'APIHandler'}}}"
        for name, it in ids.items()
    }


def _after_log_group(name: str | None, found: Mapping[str, Any]) -> dict[str, Any]:
    groups = [
        logical_id
        for logical_id, it in found.items()
        if name and it["Properties"].get("LogGroupName") == name
    ]
    return {"DependsOn": groups} if groups else {}


def _access_log_group(blueprint: Blueprint) -> dict[str, Any]:
    return {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {
            "LogGroupName": observability.access_log_group(blueprint),
            "RetentionInDays": blueprint.options.access_log_retention_days,
            "Tags": [{"Key": key, "Value": it} for key, it in sorted(blueprint.tags.items())],
        },
    }
