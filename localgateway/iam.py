"""Does an authorizer's IAM policy allow a method ARN? Pure.

Rules: nothing said is denied; an explicit Deny wins; ``*`` and ``?`` match any character, ``/`` and
``:`` included. What API Gateway does with ``NotAction``, ``NotResource`` and most condition
operators on a WebSocket API is not documented; such a statement never allows and always denies.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

ACTION = "execute-api:Invoke"
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_LONGEST = 512
"""Characters of a resource, by the page on REST APIs."""
_OPERATORS = ("IpAddress", "NotIpAddress")


class MalformedPolicy(ValueError):
    """The document is not an IAM policy; API Gateway answers 500."""


def is_allowed(policy_document: Any, method_arn: str, source_ip: str) -> bool:
    """Evaluate a policy document for one ARN; raises ``MalformedPolicy``."""
    statements = _statements(policy_document)
    applying = [s for s in statements if _applies(s, method_arn, source_ip)]
    return any(s["Effect"] == "Allow" for s in applying) and not any(
        s["Effect"] == "Deny" for s in applying
    )


def _statements(policy_document: Any) -> list[Mapping[str, Any]]:
    if not isinstance(policy_document, Mapping):
        raise MalformedPolicy("policyDocument is not an object")
    statements = policy_document.get("Statement")
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicy("policyDocument has no Statement")
    for statement in statements:
        _check(statement)
    return statements


def _check(statement: Any) -> None:
    if not isinstance(statement, Mapping):
        raise MalformedPolicy("a statement is not an object")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicy("Effect is neither Allow nor Deny")
    for element in ("Action", "Resource"):
        values = _strings(statement.get(element))
        if f"Not{element}" not in statement and not values:
            raise MalformedPolicy(f"{element} is neither a string nor a list of strings")
        if any(len(value) > _LONGEST for value in values):
            raise MalformedPolicy(f"{element} is over {_LONGEST} characters")


def _strings(value: Any) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        return []
    return values


def _applies(statement: Mapping[str, Any], method_arn: str, source_ip: str) -> bool:
    denies = bool(statement["Effect"] == "Deny")
    if "NotAction" in statement or "NotResource" in statement:
        return denies
    # Actions are compared without regard to case, resources with it.
    actions = [action.translate(_LOWER) for action in _strings(statement["Action"])]
    if not any(_glob(action, ACTION.translate(_LOWER)) for action in actions):
        return False
    if not any(_glob(resource, method_arn) for resource in _strings(statement["Resource"])):
        return False
    return _condition_holds(statement.get("Condition"), source_ip, unknown=denies)


def _glob(pattern: str, text: str) -> bool:
    """Match ``*`` and ``?``, in time that no pattern makes explode, as it may a regex's."""
    at = star = 0
    pattern_at, after_star = 0, -1
    while at < len(text):
        wanted = pattern[pattern_at] if pattern_at < len(pattern) else None
        if wanted == "*":
            pattern_at += 1
            after_star, star = pattern_at, at
        elif wanted is not None and wanted in ("?", text[at]):
            pattern_at += 1
            at += 1
        elif after_star >= 0:
            star += 1  # let the last star take one character more, and try again behind it
            pattern_at, at = after_star, star
        else:
            return False
    return set(pattern[pattern_at:]) <= {"*"}


def _condition_holds(condition: Any, source_ip: str, *, unknown: bool) -> bool:
    if condition is None:
        return True
    if not isinstance(condition, Mapping):
        raise MalformedPolicy("Condition is not an object")
    for operator, keys in condition.items():
        if operator not in _OPERATORS or not _only_source_ip(keys):
            return unknown
        networks = [network for value in keys.values() for network in _ranges(value)]
        inside = any(_contains(network, source_ip) for network in networks)
        if inside is not (operator == "IpAddress"):
            return False
    return True


def _only_source_ip(keys: Any) -> bool:
    return isinstance(keys, Mapping) and {str(key).lower() for key in keys} == {"aws:sourceip"}


def _ranges(value: Any) -> list[str]:
    ranges = _strings(value)
    if not ranges:
        raise MalformedPolicy("a source address is neither a string nor a list of strings")
    return ranges


def _contains(network: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError as error:
        raise MalformedPolicy(f"not an address range: {network}") from error
