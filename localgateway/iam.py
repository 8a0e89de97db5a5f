"""Does an authorizer's IAM policy allow a method ARN? Pure.

Rules: nothing said is denied; an explicit Deny wins; ``*`` and ``?`` match any character, ``/`` and
``:`` included. What API Gateway does with ``NotAction``, ``NotResource`` and most condition
operators on a WebSocket API is not documented; such a statement never allows and always denies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

ACTION = "execute-api:Invoke"
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
    if statement.get("Effect") not in {"Allow", "Deny"}:
        raise MalformedPolicy("Effect is neither Allow nor Deny")
    for element in ("Action", "Resource"):
        if f"Not{element}" not in statement and not _strings(statement.get(element)):
            raise MalformedPolicy(f"{element} is neither a string nor a list of strings")


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
    if not _matches(statement["Action"], ACTION, re.IGNORECASE):
        return False
    if not _matches(statement["Resource"], method_arn, 0):
        return False
    return _condition_holds(statement.get("Condition"), source_ip, unknown=denies)


def _matches(patterns: Any, text: str, flags: int) -> bool:
    return any(_glob(pattern, flags).fullmatch(text) is not None for pattern in _strings(patterns))


@lru_cache(maxsize=1024)
def _glob(pattern: str, flags: int) -> re.Pattern[str]:
    translated = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(translated, re.DOTALL | flags)


def _condition_holds(condition: Any, source_ip: str, *, unknown: bool) -> bool:
    if condition is None:
        return True
    if not isinstance(condition, Mapping):
        raise MalformedPolicy("Condition is not an object")
    for operator, keys in condition.items():
        if operator not in _OPERATORS or not _only_source_ip(keys):
            return unknown
        networks = [network for value in keys.values() for network in _strings(value)]
        inside = any(_contains(network, source_ip) for network in networks)
        if inside is not (operator == "IpAddress"):
            return False
    return True


def _only_source_ip(keys: Any) -> bool:
    return isinstance(keys, Mapping) and {str(key).lower() for key in keys} == {"aws:sourceip"}


def _contains(network: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError as error:
        raise MalformedPolicy(f"not an address range: {network}") from error
