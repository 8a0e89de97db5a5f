"""Role policies with names in them, such as ``${TableArn}``, filled in for each of the two ways.

The files are written once, for all stages. ``chalice package`` fills the names with references to
the template's own resources, ``chalice deploy`` with what it has just created. Any environment
variable of the stage is a name too, and what the definition has under ``policy_names``. A statement
whose name has no value is left out: what a stage does not use, its roles do not allow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from deployment.blueprint import Blueprint
from deployment.errors import DeploymentRefused
from deployment.naming import log_group

# Known only once the API exists, or only to CloudFormation.
DYNAMIC = frozenset({"ApiId", "Partition", "Region", "AccountId"})
# IAM's own variables have a colon (``${aws:username}``) and are left alone.
DYNAMIC_NAME = re.compile(r"\$\{(\w+)\}")
# No wildcard but for the end of a secret's ARN, which is not known.
_SAFE_VALUE = re.compile(r"[A-Za-z0-9_.,:/@+=#${}-]+")
_UNKNOWN_END = "-??????"

FillText = Callable[[str], Any]


def static_values(
    blueprint: Blueprint, function: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return what the names mean in the role of one function; values may hold dynamic names.

    ``environment`` has the stage's variables. ``X_PARAMETER`` and ``X_SECRET``, where they name a
    parameter or a secret, also give ``X_PARAMETER_ARN`` and ``X_SECRET_ARN``.
    """
    values = {name: value for name, value in environment.items() if value}
    for name, value in list(values.items()):
        if name.endswith("_PARAMETER"):
            values[f"{name}_ARN"] = _parameter_arn(value)
        elif name.endswith("_SECRET"):
            values[f"{name}_ARN"] = _secret_arn(value)
    values |= blueprint.policy_names
    values |= {
        "Stage": blueprint.stage,
        "LogGroupArn": _arn("logs", f"log-group:{log_group(blueprint.functions[function])}"),
    }
    if blueprint.tables:
        values["TableArn"] = _arn("dynamodb", f"table/{blueprint.tables[0]['TableName']}")
    if blueprint.queues:  # those before the last are its dead letter queues
        values["QueueArn"] = _arn("sqs", blueprint.queues[-1]["QueueName"])
    return values


def fill(
    document: Mapping[str, Any], values: Mapping[str, str], fill_text: FillText
) -> dict[str, Any]:
    """Return the document with its names replaced; ``fill_text`` gets texts with dynamic names.

    DeploymentRefused where a Deny names what is not there: leaving it out would allow more.
    """
    known = DYNAMIC | values.keys()
    statements = [
        _filled(statement, values, fill_text)
        for statement in document["Statement"]
        if _is_needed(statement, known)
    ]
    return {**document, "Statement": statements}


def fill_variables(variables: Mapping[str, str], stage: str, fill_text: FillText) -> dict[str, Any]:
    """Return environment variables with ``${ApiId}`` and the like filled in, for who needs them.

    A value with any other name in it is the app's own business and stays as it is.
    """
    values = {"Stage": stage}
    return {
        name: _filled(value, values, fill_text)
        if names(value) and names(value) <= DYNAMIC | values.keys()
        else value
        for name, value in variables.items()
    }


def fill_names(value: Any, fill_text: FillText) -> Any:
    """Return a piece of JSON with each text that holds dynamic names filled."""
    return _filled(value, {}, fill_text)


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Replace the names in a text that have a value."""
    return DYNAMIC_NAME.sub(lambda match: values.get(match[1], match[0]), text)


def _arn(service: str, resource: str) -> str:
    return f"arn:${{Partition}}:{service}:${{Region}}:${{AccountId}}:{resource}"


def _parameter_arn(name: str) -> str:
    if name.startswith("arn:"):
        return name
    return _arn("ssm", f"parameter/{name.removeprefix('/')}")


def _secret_arn(name: str) -> str:
    if name.startswith("arn:"):
        return name
    # Six characters that Secrets Manager chooses:
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen
    return _arn("secretsmanager", f"secret:{name}{_UNKNOWN_END}")


def names(value: object) -> set[str]:
    """Return the names in the texts of a piece of JSON."""
    if isinstance(value, str):
        return set(DYNAMIC_NAME.findall(value))
    if isinstance(value, Mapping):
        return set().union(*map(names, value.values()), *map(names, value))
    if isinstance(value, list):
        return set().union(*map(names, value))
    return set()


def _is_needed(statement: Mapping[str, Any], known: frozenset[str]) -> bool:
    unknown = names(statement) - known
    if unknown and statement.get("Effect") != "Allow":
        raise DeploymentRefused(f"a policy denies something of {', '.join(sorted(unknown))}")
    return not unknown


def _filled(value: Any, values: Mapping[str, str], fill_text: FillText) -> Any:
    if isinstance(value, str):
        text = DYNAMIC_NAME.sub(lambda match: _value(match, values), value)
        return fill_text(text) if DYNAMIC_NAME.search(text) else text
    if isinstance(value, Mapping):
        return {key: _filled(each, values, fill_text) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, values, fill_text) for each in value]
    return value


def _value(match: re.Match[str], values: Mapping[str, str]) -> str:
    value = values.get(match[1])
    if value is None:
        return match[0]
    if not _SAFE_VALUE.fullmatch(value.removesuffix(_UNKNOWN_END)):
        raise DeploymentRefused(f"{match[1]} has a character that would change what a role allows")
    return value
