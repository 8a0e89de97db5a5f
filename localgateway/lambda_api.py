"""Lambda's Invoke API, so that functions of the app can invoke each other through boto3."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import unquote

from localgateway.errors import FunctionError
from localgateway.functions import Functions
from localgateway.http_messages import HttpRequest, HttpResponse, is_signed, json_response

Spawn = Callable[[Coroutine[Any, Any, None]], object]

_PATH = re.compile(r"/2015-03-31/functions/(?P<name>[^/]+)/invocations")


def matches(path: str) -> bool:
    """Tell whether a path is an invocation's."""
    return _PATH.fullmatch(path) is not None


class LambdaApi:
    """Answers ``Invoke`` for the app's functions, by their own or their deployed names."""

    def __init__(self, functions: Functions, names: Mapping[str, str]) -> None:
        """``names`` maps every name a function may be called by to its own."""
        self._functions = functions
        self._names = names

    async def respond(self, request: HttpRequest, spawn: Spawn) -> HttpResponse:
        """Answer one invocation: waited for, handed over (``Event``), or a ``DryRun``."""
        if not is_signed(request):
            # A web page cannot send this header without asking first, which nobody answers.
            return _error(
                403, "MissingAuthenticationTokenException", "Missing Authentication Token"
            )
        match = _PATH.fullmatch(request.path)
        asked = unquote(match["name"]) if match is not None else ""
        name = self._names.get(asked.split(":function:")[-1].split(":")[0])
        if name is None:
            return _error(404, "ResourceNotFoundException", f"Function not found: {asked}")
        try:
            event = json.loads(request.body or b"{}")
        except (ValueError, RecursionError):
            return _error(400, "InvalidRequestContentException", "The payload is not JSON")
        kind = request.header("X-Amz-Invocation-Type") or "RequestResponse"
        if kind == "RequestResponse":
            return await self._wait(name, event)
        if kind == "Event":
            spawn(self._hand_over(name, event))
        return HttpResponse(204 if kind == "DryRun" else 202)

    async def _wait(self, name: str, event: Any) -> HttpResponse:
        try:
            return json_response(200, await self._functions.invoke(name, event))
        except FunctionError as error:
            body = {"errorMessage": error.message, "errorType": error.error_type}
            return json_response(200, body, ("X-Amz-Function-Error", "Unhandled"))

    async def _hand_over(self, name: str, event: Any) -> None:
        try:
            await self._functions.invoke(name, event)
        except FunctionError:
            return  # Lambda's own retries and dead letters are not played: the log has it


def _error(status: int, kind: str, message: str) -> HttpResponse:
    body = {"Type": "User", "Message": message}
    return json_response(status, body, ("x-amzn-ErrorType", kind))
