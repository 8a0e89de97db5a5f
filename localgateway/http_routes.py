"""The project's HTTP routes, answered by Chalice's own local gateway."""

from __future__ import annotations

import base64
from typing import Any

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import LocalChalice, LocalGateway, LocalGatewayException

from localgateway.http_messages import HttpRequest, HttpResponse, json_response
from localgateway.log import logger
from localgateway.request_authorizers import RequestAuthorizers, check_identity_sources

_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})
"""Headers that say where a response ends: the gateway's to set, as on AWS."""


class HttpRoutes:
    """What ``chalice local`` serves, without its server."""

    def __init__(self, app: Chalice, config: Config) -> None:
        if not isinstance(app, LocalChalice):
            # As `chalice local` does: `current_request` becomes one a thread.
            app.__class__ = type("LocalChalice", (LocalChalice, app.__class__), {})
        for route in (entry for entries in app.routes.values() for entry in entries.values()):
            check_identity_sources(getattr(route.authorizer, "identity_sources", ()))
        self._gateway = LocalGateway(app, config)
        self._gateway._authorizer = RequestAuthorizers(app)
        self._paths = frozenset(app.routes)

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
            headers = {"Content-Type": "application/json", **refusal.headers}
            return HttpResponse(refusal.CODE, _pairs(headers), refusal.body or b"")
        except Exception as error:  # an authorizer raised: a view's exceptions are Chalice's
            if str(error) == "Unauthorized":
                return json_response(401, {"message": "Unauthorized"})
            logger.error("the authorizer of %s raised", request.path, exc_info=error)
            return json_response(500, {"message": None})
        return _response(response)


def _headers(request: HttpRequest) -> dict[str, str]:
    # Chalice fails on an authorization that is not ASCII, which no credential is.
    return {
        name: value.encode("ascii", "replace").decode()
        if name.lower() == "authorization"
        else value
        for name, value in request.headers
    }


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
