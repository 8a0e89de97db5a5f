"""The project's HTTP routes, answered by Chalice's own local gateway."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from typing import Any

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import LocalChalice, LocalGatewayException

from localgateway.gateway_responses import GatewayResponses
from localgateway.http_events import ClientHeaders, StageGateway
from localgateway.http_messages import HttpRequest, HttpResponse
from localgateway.log import logger
from localgateway.request_authorizers import RequestAuthorizers, check_identity_sources

_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})
"""Headers that say where a response ends: the gateway's to set, as on AWS."""


class HttpRoutes:
    """What ``chalice local`` serves, without its server."""

    def __init__(
        self,
        app: Chalice,
        config: Config,
        responses: GatewayResponses | None = None,
        stage_variables: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` returns seconds; answers of authorizers are kept by it."""
        if not isinstance(app, LocalChalice):
            # As `chalice local` does: `current_request` becomes one a thread.
            app.__class__ = type("LocalChalice", (LocalChalice, app.__class__), {})
        for route in (entry for entries in app.routes.values() for entry in entries.values()):
            check_identity_sources(getattr(route.authorizer, "identity_sources", ()))
        self._gateway = StageGateway(app, config, stage_variables or {})
        self._gateway._authorizer = RequestAuthorizers(app, clock)
        self._paths = frozenset(app.routes)
        self._responses = responses or GatewayResponses()

    def has(self, path: str) -> bool:
        """Tell whether a route stands at exactly this path."""
        return path in self._paths

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer a request; blocks while the view runs.

        An authorizer that raises ``Unauthorized`` is 401 as on AWS, where ``chalice local`` drops
        the request.
        """
        try:
            response = self._gateway.handle_request(
                request.method, request.target, _headers(request), request.body
            )
        except LocalGatewayException as refusal:
            return self._refusal(refusal)
        except Exception as error:  # an authorizer raised: a view's exceptions are Chalice's
            if str(error) == "Unauthorized":
                return self._responses.respond("UNAUTHORIZED", 401, "Unauthorized")
            logger.error("the authorizer of %s raised", request.path, exc_info=error)
            return self._responses.respond("AUTHORIZER_FAILURE", 500, None)
        return _response(response)

    def timed_out(self) -> HttpResponse:
        """Answer for a view that takes too long."""
        return self._responses.respond("INTEGRATION_TIMEOUT", 504, "Endpoint request timed out")

    def too_large(self) -> HttpResponse:
        """Answer for a body that no view is given."""
        return self._responses.respond("REQUEST_TOO_LARGE", 413, "Request Too Long")

    def _refusal(self, refusal: LocalGatewayException) -> HttpResponse:
        if refusal.headers.get("x-amzn-ErrorType") == "AccessDeniedException":
            message = "User is not authorized to access this resource"
            return self._responses.respond("ACCESS_DENIED", 403, message)
        if refusal.CODE == 403:  # never Chalice's words for it, which repeat the credential
            message = "Missing Authentication Token"
            return self._responses.respond("MISSING_AUTHENTICATION_TOKEN", 403, message)
        if refusal.CODE == 401:
            return self._responses.respond("UNAUTHORIZED", 401, "Unauthorized")
        return self._responses.respond("AUTHORIZER_CONFIGURATION_ERROR", refusal.CODE, None)


def _headers(request: HttpRequest) -> ClientHeaders:
    # Chalice fails on an authorization that is not ASCII, which no credential is.
    return ClientHeaders(
        tuple(
            (name, value.encode("ascii", "replace").decode())
            if name.lower() == "authorization"
            else (name, value)
            for name, value in request.headers
        )
    )


def _response(response: dict[str, Any]) -> HttpResponse:
    headers = {"Content-Type": "application/json", **response["headers"]}
    body = response["body"] or ""
    data = base64.b64decode(body) if response.get("isBase64Encoded") else body
    return HttpResponse(
        response["statusCode"],
        (*_pairs(headers), *_pairs(response["multiValueHeaders"])),
        data if isinstance(data, bytes) else str(data).encode(errors="replace"),
    )


def _pairs(headers: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, str(value))
        for name, values in headers.items()
        if name.lower() not in _FRAMING
        for value in (values if isinstance(values, list) else [values])
    )
