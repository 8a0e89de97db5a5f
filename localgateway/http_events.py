"""Events of the HTTP API as API Gateway sends them, made of those of Chalice's local gateway.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import LocalGateway

from localgateway.events import Event, Pairs, header_maps, query_maps


class ClientHeaders(dict[str, str]):
    """Headers as Chalice takes them, and as the client wrote them: each line, in its own case."""

    def __init__(self, pairs: Pairs) -> None:
        super().__init__(pairs)
        self.pairs = pairs


class StageGateway(LocalGateway):
    """Chalice's gateway, of a stage that has variables."""

    def __init__(self, app: Chalice, config: Config, stage_variables: Mapping[str, str]) -> None:
        super().__init__(app, config)
        self._stage_variables = stage_variables

    def _generate_lambda_event(
        self, method: str, path: str, headers: Any, body: bytes | None
    ) -> Event:
        """Say in every event what Chalice leaves out: variables, and each line of the headers."""
        event: Event = super()._generate_lambda_event(method, path, headers, body)
        event["stageVariables"] = dict(self._stage_variables)
        event["multiValueHeaders"] = header_maps(headers.pairs)["multiValueHeaders"]
        return event


def authorizer_event(event: Mapping[str, Any], method_arn: str, request_id: str) -> Event:
    """Return what a REQUEST authorizer gets of a view's ``event``; ``method_arn`` is asked about.

    Maps are empty where the client sent nothing, as WebSocket APIs have them; of REST APIs that
    is not known.
    """
    context = event["requestContext"]
    account_id, resource = method_arn.split(":")[4:6]
    api_id, stage, *_ = resource.split("/")
    query = event["multiValueQueryStringParameters"] or {}
    return {
        "type": "REQUEST",
        "methodArn": method_arn,
        "resource": context["resourcePath"],
        "path": context["path"],
        "httpMethod": context["httpMethod"],
        **header_maps(_pairs(event["multiValueHeaders"])),
        **query_maps(_pairs(query)),
        "pathParameters": event["pathParameters"] or {},
        "stageVariables": event["stageVariables"],
        "requestContext": {
            **context,
            "accountId": account_id,
            "apiId": api_id,
            "stage": stage,
            "requestId": request_id,
        },
    }


def _pairs(several: Mapping[str, list[str]]) -> Pairs:
    return tuple((name, value) for name, values in several.items() for value in values)
