"""What a route does with a message: invoke a function, with templates or without, or mock one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from localgateway.definition import IntegrationResponse, Route
from localgateway.errors import FunctionError, FunctionTimedOut, IntegrationFailed
from localgateway.events import Event
from localgateway.functions import Functions
from localgateway.log import logger
from localgateway.route_selection import evaluate
from localgateway.templates import TemplateFailed, render

# With no selection expression API Gateway takes the content type's default.
_DEFAULT_CONTENT_TYPE = "application/json"
_DEFAULT_KEY = "$default"


async def integrate(route: Route, event: Event, functions: Functions) -> Any:
    """Run a route's integration and return its answer; raises ``IntegrationFailed``.

    ``event`` is the proxy event. The answer is what the function returned or, of a non-proxy
    integration, ``{"statusCode": …, "body": …}`` made by its integration response.
    """
    try:
        if route.integration_type == "AWS_PROXY":
            return await functions.invoke(str(route.function), event)
        return await _integrate_mapped(route, event, functions)
    except FunctionTimedOut as error:
        raise IntegrationFailed("Endpoint request timed out") from error
    except FunctionError as error:
        raise IntegrationFailed("Internal server error") from error
    except TemplateFailed as error:
        logger.error("route %s: %s", event["requestContext"]["routeKey"], error)
        raise IntegrationFailed("Internal server error") from error


async def _integrate_mapped(route: Route, event: Event, functions: Functions) -> Event:
    payload = _payload(route, event)
    if route.integration_type == "MOCK":
        status = payload.get("statusCode") if isinstance(payload, dict) else None
        if not isinstance(status, int):
            raise TemplateFailed("a MOCK integration's template must give a statusCode")
        return _answer(route, event, str(status), status, "")
    try:
        answer = await functions.invoke(str(route.function), payload)
    except FunctionTimedOut:
        raise
    except FunctionError as error:
        if not route.integration_responses or event["requestContext"]["routeKey"] == "$connect":
            raise  # of $connect, any failure of its integration means no connection
        body = json.dumps({"errorMessage": error.message})
        return _answer(route, event, error.message, 200, body)
    return _answer(route, event, "", 200, json.dumps(answer))


def _payload(route: Route, event: Event) -> Any:
    """Return what a non-proxy integration hands over: the rendered template, read as JSON."""
    text: str = event.get("body", "")
    if "body" not in event and not route.request_templates:
        return {}  # $connect and $disconnect have no body to pass through
    template = _template(route, text)
    if template is not None:
        text = _render(template, text, event)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TemplateFailed(f"the integration's request is not JSON: {error}") from error


def _template(route: Route, frame: str) -> str | None:
    key = _DEFAULT_CONTENT_TYPE
    if route.template_selection_expression is not None:
        key = evaluate(route.template_selection_expression, frame) or ""
    templates = route.request_templates
    template = templates.get(key, templates.get(_DEFAULT_KEY))
    if template is None and (
        route.passthrough_behavior == "NEVER"
        or (route.passthrough_behavior == "WHEN_NO_TEMPLATES" and templates)
    ):
        # 415 as the API reference says; the words a client then gets are not known.
        raise IntegrationFailed("Unsupported Media Type")
    return template


def _answer(route: Route, event: Event, selector: str, status: int, body: str) -> Event:
    """Make a two-way route's answer by the integration response that ``selector`` matches."""
    response = _select(route.integration_responses, selector)
    if response is None:
        return {"statusCode": status}
    template = response.response_templates.get(
        _DEFAULT_KEY, response.response_templates.get(_DEFAULT_CONTENT_TYPE)
    )
    rendered = body if template is None else _render(template, body, event)
    return {"statusCode": status, "body": rendered}


def _select(
    responses: Mapping[str, IntegrationResponse], selector: str
) -> IntegrationResponse | None:
    for key, response in responses.items():
        if key.startswith("/") and re.fullmatch(key[1:-1], selector, re.DOTALL):
            return response
    return responses.get(_DEFAULT_KEY)


def _render(template: str, body: str, event: Event) -> str:
    return render(
        template,
        body=body,
        context=event["requestContext"],
        stage_variables=event.get("stageVariables", {}),
        parameters={
            "path": {},
            "querystring": event.get("queryStringParameters", {}),
            "header": event.get("headers", {}),
        },
    )
