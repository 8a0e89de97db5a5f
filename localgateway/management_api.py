"""The ``@connections`` management API: post to, look at and close connections. Sans I/O."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import unquote

from localgateway.gateway import Gateway, Peer
from localgateway.http_messages import HttpRequest, HttpResponse, is_signed, json_response
from localgateway.ids import is_well_formed

# Empty: the error's name stands in the header alone, and SDKs look for it there.
_GONE = HttpResponse(410, (("x-amzn-ErrorType", "GoneException"),))
_OK = HttpResponse(200)
_LIMIT_EXCEEDED = HttpResponse(429, (("x-amzn-ErrorType", "LimitExceededException"),))
_PATH = re.compile(r"(?:/(?P<stage>[^/]+))?/@connections/(?P<connection_id>[^/]+)")


class ManagementApi:
    """Answers the three calls of ``apigatewaymanagementapi`` as botocore reads them."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._calls = {"POST": self._post, "GET": self._get, "DELETE": self._delete}

    def respond(self, request: HttpRequest) -> HttpResponse | None:
        """Answer one call; None for a path that is not this API's on whatever stage.

        A signature must be there; what it says is not checked.
        """
        match = _PATH.fullmatch(unquote(request.path))  # SDKs may send %40connections
        if match is None:
            return None
        return self._answer(request, match["stage"], match["connection_id"])

    def _answer(self, request: HttpRequest, stage: str | None, connection_id: str) -> HttpResponse:
        call = self._calls.get(request.method)
        if stage != self._gateway.stage.name:
            return _error(403, "ForbiddenException", "Forbidden")
        if call is None or not is_signed(request):
            return _error(
                403, "MissingAuthenticationTokenException", "Missing Authentication Token"
            )
        if not self._gateway.take_request():
            return _LIMIT_EXCEEDED
        peer = self._gateway.peers.get(connection_id)
        if peer is not None:
            return call(peer, request)
        if not is_well_formed(connection_id):
            return _error(400, "BadRequestException", f"Invalid connectionId: {connection_id}")
        return _GONE

    def _post(self, peer: Peer, request: HttpRequest) -> HttpResponse:
        if len(request.body) > self._gateway.limits.message_size:
            return _error(413, "PayloadTooLargeException", "Message too long")
        try:
            request.body.decode()
        except UnicodeDecodeError:
            # What AWS does is not known. A text frame of this would break the client's connection.
            return _error(400, "BadRequestException", "The data is not valid UTF-8")
        if not peer.send(request.body):
            return _LIMIT_EXCEEDED
        return _OK

    def _get(self, peer: Peer, _request: HttpRequest) -> HttpResponse:
        connection = peer.connection
        identity = {"sourceIp": connection.source_ip, "userAgent": connection.user_agent}
        return json_response(
            200,
            {
                "connectedAt": _iso(connection.connected_at),
                "identity": {key: value for key, value in identity.items() if value is not None},
                "lastActiveAt": _iso(peer.last_active_at),
            },
        )

    def _delete(self, peer: Peer, _request: HttpRequest) -> HttpResponse:
        peer.close(1000, "Connection Closed Normally")
        return HttpResponse(204)


def _error(status: int, error_type: str, message: str) -> HttpResponse:
    return json_response(status, {"message": message}, ("x-amzn-ErrorType", error_type))


def _iso(milliseconds: int) -> str:
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
