"""Which route a message takes. Pure.

The expression is evaluated once against the frame; the result is a string, matched exactly and
with regard to case; then ``$default``; then nothing (the client gets a ``Forbidden`` frame).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from localgateway import jsonpath
from localgateway.errors import StartError

DEFAULT = "$default"
_TOKEN = re.compile(
    r"\$\{request\.body\.(?P<braced>[^}]+)\}"
    r"|\$request\.body\.(?P<bare>[\w\-.\[\]']+)"
    r"|\\(?P<escaped>\$)"
    r"|(?P<literal>[^$\\]+)"
)


@lru_cache(maxsize=64)
def parse_expression(expression: str) -> tuple[tuple[bool, str], ...]:
    """Split an expression into (is a path, text) parts; raises ``StartError``."""
    parts: list[tuple[bool, str]] = []
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            raise StartError(
                f"selection expression {expression!r} is none; write $request.body.KEY, "
                "${request.body.KEY} mixed with text, or \\$default"
            )
        path = match["braced"] or match["bare"]
        if path:
            _check_path(expression, path)
        parts.append((True, path) if path else (False, match["escaped"] or match["literal"]))
        position = match.end()
    return tuple(parts)


def evaluate(expression: str, frame: str) -> str | None:
    """Return the expression's value for a frame; None where the frame is not JSON."""
    try:
        body = json.loads(frame, parse_constant=_refuse)
        return "".join(
            _text(jsonpath.find(body, text)) if is_path else text
            for is_path, text in parse_expression(expression)
        )
    except (ValueError, RecursionError):
        return None


def select_route(expression: str, frame: str, route_keys: Collection[str]) -> str | None:
    """Return the route key a frame goes to, or None where there is none.

    Whether AWS lets ``{"action": "$connect"}`` reach a predefined route is not known; here no
    message ever does.
    """
    value = evaluate(expression, frame)
    if value is not None and not value.startswith("$") and value in route_keys:
        return value
    return DEFAULT if DEFAULT in route_keys else None


def _check_path(expression: str, path: str) -> None:
    try:
        jsonpath.parse(path)
    except ValueError as error:
        raise StartError(f"selection expression {expression!r}: {error}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")  # though Python reads it


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is jsonpath.MISSING or value is None:
        return ""
    if isinstance(value, list):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_text(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)
