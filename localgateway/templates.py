"""Mapping templates: Velocity with ``$context``, ``$input``, ``$util`` and ``$stageVariables``."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import airspeed

from localgateway import jsonpath

_JAVA_ESCAPES = {
    "\b": "\\b",
    "\n": "\\n",
    "\t": "\\t",
    "\f": "\\f",
    "\r": "\\r",
    "'": "\\'",
    '"': '\\"',
    "\\": "\\\\",
    "/": "\\/",
}


class TemplateFailed(ValueError):
    """A template cannot be rendered; the text says why, for the log."""


def render(
    template: str,
    *,
    body: str,
    context: Mapping[str, Any],
    stage_variables: Mapping[str, str],
    parameters: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """Render a request template for one message; raises ``TemplateFailed``.

    ``context`` is ``$context``: the event's request context. ``parameters`` are those of
    ``$input.params``, by ``path``, ``querystring`` and ``header``; only ``$connect`` has any. An
    unset reference renders empty.
    """
    namespace = {
        "context": context,
        "input": Input(body, parameters or {}),
        "stageVariables": stage_variables,
        "util": Util(),
    }
    try:
        return str(_parsed(template).merge(namespace))
    except Exception as error:  # an engine of templates raises whatever a template's calls raise
        raise TemplateFailed(f"{type(error).__name__}: {error}") from error


@lru_cache(maxsize=128)
def _parsed(template: str) -> airspeed.Template:
    return airspeed.Template(template)


class Input:
    """``$input``: the message."""

    def __init__(self, body: str, parameters: Mapping[str, Mapping[str, str]]) -> None:
        self.body = body
        self._parameters = parameters

    def json(self, path: str) -> str:
        """Return what stands at a JSONPath as JSON text; empty where there is nothing."""
        found = jsonpath.find(json.loads(self.body), path)
        return "" if found is jsonpath.MISSING else json.dumps(found, separators=(",", ":"))

    def path(self, path: str) -> Any:
        """Return what stands at a JSONPath as a value; empty where there is nothing."""
        found = jsonpath.find(json.loads(self.body), path)
        return "" if found is jsonpath.MISSING else found

    def params(self, name: str = "") -> Any:
        """Return all parameters, or the one of a name: looked for in path, query and headers."""
        if not name:
            return self._parameters
        found = (kind[name] for kind in self._parameters.values() if name in kind)
        return next(found, "")


class Util:
    """``$util``, as AWS documents it."""

    def escapeJavaScript(self, text: Any) -> str:
        r"""Escape as Apache commons-lang does.

        ``'`` becomes ``\'``, which is not JSON: AWS tells authors to append
        ``.replaceAll("\\'","'")``.
        """
        return "".join(_escaped(character) for character in _string(text))

    def parseJson(self, text: str) -> Any:
        """Return JSON text as a value."""
        return json.loads(text)

    def urlEncode(self, text: Any) -> str:
        """Encode as ``application/x-www-form-urlencoded``."""
        return urllib.parse.quote_plus(_string(text), safe="*").replace("~", "%7E")

    def urlDecode(self, text: str) -> str:
        """Decode ``application/x-www-form-urlencoded``."""
        return urllib.parse.unquote_plus(text)

    def base64Encode(self, text: Any) -> str:
        """Encode text as base64 of its UTF-8 bytes."""
        return base64.b64encode(_string(text).encode()).decode()

    def base64Decode(self, text: str) -> str:
        """Decode base64 of UTF-8 bytes."""
        return base64.b64decode(text).decode()


def _string(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _escaped(character: str) -> str:
    short = _JAVA_ESCAPES.get(character)
    if short is not None:
        return short
    if " " <= character <= "\x7f":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02X}{units[i + 1]:02X}" for i in range(0, len(units), 2))
