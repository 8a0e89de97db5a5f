"""Lambda entry points. Each translates an event, calls one service, and translates back.

The only importer of chalice. Handlers must be functions of this module, for Chalice deploys
strings such as ``app.websocket_connect``; their names are those of the deployed functions. What
only some functions need is imported by themselves, for the cold start of each would pay for it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from chalice.app import (
    AuthRequest,
    Chalice,
    CloudWatchEvent,
    CORSConfig,
    Rate,
    Request,
    Response,
    SQSEvent,
    WebsocketEvent,
)

from chalicelib import bootstrap
from chalicelib.authorizers import AuthorizerRequest, admit, authenticate
from chalicelib.authorizers.places import answered_protocol
from chalicelib.connections import Connection, authorized_principal, request_context
from chalicelib.decisions import counts_line, decision_line, source_ip
from chalicelib.errors import ConnectionGone, Forbidden, PortcullisError, Unauthorized
from chalicelib.http_answers import Answer, answer_to, answer_with_status, health_answer
from chalicelib.http_requests import Call
from chalicelib.http_routes import ROUTE_SCOPES, callable_routes
from chalicelib.policy import (
    AuthorizerResponse,
    MethodArn,
    authorizer_response,
    rest_authorizer_response,
)
from chalicelib.whole_requests import WholeRequest, see_whole_requests

# How long API Gateway may answer for the authorizer; a view checks what may have ended meanwhile.
HTTP_AUTHORIZER_SECONDS = 60

if TYPE_CHECKING:
    from chalicelib.api import ApiDefinition
    from chalicelib.http_publishing import Publisher

app = Chalice(app_name="portcullis")
app.experimental_feature_flags.update(["WEBSOCKETS"])
app.log.setLevel(logging.INFO)
bootstrap.import_ahead()


def _cors(allow_origin: str | None) -> CORSConfig | None:
    if allow_origin is None:
        return None
    exposed = ["Retry-After", "Idempotency-Replayed"]
    return CORSConfig(allow_origin, ["Idempotency-Key"], exposed, max_age=600)


# Chalice writes preflights from it when it plans, so it must be known at import.
CORS = _cors(bootstrap.cors_allow_origin())


def websocket_api_definition() -> ApiDefinition:
    """Return the definition of the WebSocket API, as plain JSON data.

    Whatever serves or deploys this app looks up this name: it says what Chalice's decorators
    cannot (authorizer, further routes, mapping templates, stage variables, tables).
    """
    from chalicelib import api  # nothing on Lambda needs it

    return api.definition(bootstrap.settings())


@app.lambda_function(name="websocket_authorizer")
def websocket_authorizer(event: dict[str, Any], context: Any) -> AuthorizerResponse:
    """Let a handshake in or refuse it; a fault of ours is raised as what it is (500)."""
    services = bootstrap.services()
    method_arn = MethodArn.parse(event.get("methodArn"))
    handshake = event.get("requestContext") or {}
    whence = {"connection_id": handshake.get("connectionId"), "source_ip": source_ip(handshake)}
    try:
        request = AuthorizerRequest.from_event(event, services.now())
        principal = admit(services.authenticators(), services.allowed_origins, request)
    except Unauthorized as refusal:
        _log("authorize", refusal.reason, **whence)
        raise Exception("Unauthorized") from None  # the only text API Gateway turns into a 401
    except Forbidden as refusal:
        _log("authorize", refusal.reason, refusal.principal_id, **whence)
        return authorizer_response(refusal.principal_id, method_arn, "Deny", {})
    _log("authorize", "ok", principal.principal_id, **whence)
    return authorizer_response(principal.principal_id, method_arn, "Allow", principal.context())


@app.authorizer(name="http_authorizer", ttl_seconds=HTTP_AUTHORIZER_SECONDS)
def http_authorizer(request: AuthRequest | WholeRequest) -> AuthorizerResponse:
    """Say which HTTP routes a credential may call: all at once, for API Gateway keeps the answer.

    Chalice's own AuthResponse cannot say "none".
    """
    services = bootstrap.services()
    address = None
    try:
        if isinstance(request, WholeRequest):
            address = source_ip(request.event.get("requestContext") or {})
            given = AuthorizerRequest.from_event(request.event, services.now())
            principal = authenticate(services.request_authenticators(), given)
        else:
            given = AuthorizerRequest.from_token(request.token, services.now())
            principal = authenticate(services.bearer_authenticators(), given)
    except Unauthorized as refusal:
        _log("authorize_http", refusal.reason, source_ip=address)
        raise Exception("Unauthorized") from None  # the only text API Gateway turns into a 401
    is_kept_out = services.keeps_out(principal)
    routes = [] if is_kept_out else callable_routes(principal.scopes)
    reason = "ok" if routes else "revoked" if is_kept_out else "missing_scope"
    _log("authorize_http", reason, principal.principal_id, source_ip=address)
    return rest_authorizer_response(
        principal.principal_id,
        request.method_arn,
        routes,
        list(ROUTE_SCOPES),
        principal.context(),
    )


if bootstrap.authorizes_whole_requests():
    # The same authorizer, asked about headers, query parameters and stage variables.
    see_whole_requests(http_authorizer, bootstrap.http_identity_sources)


# What is behind the authorizer, with a body of JSON or with none.
PROTECTED: dict[str, Any] = {"authorizer": http_authorizer, "cors": CORS}
BODILESS: dict[str, Any] = {**PROTECTED, "content_types": []}


@app.on_ws_connect(name="websocket_connect")
def websocket_connect(event: WebsocketEvent) -> Response:
    """``$connect``: remember the connection, unless no authorizer has let it in."""
    from chalicelib.arrivals import STATUS

    services = bootstrap.services()
    connection = Connection.from_event(event.to_dict(), services.connection_ttl)
    address = source_ip(request_context(event.to_dict(), "CONNECT"))
    if connection is None:
        _log("connect", "no_principal", connection_id=event.connection_id, source_ip=address)
        return Response(body="", status_code=401)
    refusal = services.arrivals().admit(connection)
    reason = refusal or "ok"
    _log("connect", reason, connection.principal_id, connection.connection_id, address)
    if refusal is not None:
        return Response(body="", status_code=STATUS[refusal])
    handshake = AuthorizerRequest.from_event(event.to_dict(), 0)
    protocol: dict[str, Any] = answered_protocol(handshake, bootstrap.settings().subprotocol)
    return Response(body="", status_code=200, headers=protocol)


@app.on_ws_disconnect(name="websocket_disconnect")
def websocket_disconnect(event: WebsocketEvent) -> None:
    """``$disconnect``: forget the connection. Best effort for AWS, so it may repeat."""
    request = request_context(event.to_dict(), "DISCONNECT")
    principal_id = authorized_principal(request)
    if principal_id is not None:  # else it was never let in
        bootstrap.services().connections.remove(event.connection_id, principal_id)
    status_code = str(request.get("disconnectStatusCode"))
    _log("disconnect", status_code, principal_id, event.connection_id, source_ip(request))


@app.on_ws_message(name="websocket_message")
def websocket_message(event: WebsocketEvent) -> None:
    """``$default`` and ``sendmessage``: carry out a message and answer its sender."""
    from chalicelib.messages import IncomingMessage

    services = bootstrap.services()
    incoming = IncomingMessage.from_event(event.to_dict())
    sender = incoming.sender
    context: Any = event.context
    budget = bootstrap.message_budget(context.get_remaining_time_in_millis())
    answer = services.router(sender.api_id, sender.stage, budget).respond(incoming)
    with suppress(ConnectionGone):  # a sender need not wait for the answer
        management_api = services.management_api(sender.api_id, sender.stage)
        management_api.post_to_connection(sender.connection_id, answer.frame)
    whence = (sender.connection_id, sender.source_ip)
    _log("message", answer.outcome, sender.principal_id, *whence)
    if answer.closing is not None:
        services.closer().close(sender.member(), answer.closing, (sender.api_id, sender.stage))


@app.schedule(Rate(1, unit=Rate.MINUTES), name="websocket_sweep")
def websocket_sweep(event: CloudWatchEvent) -> dict[str, int]:
    """Close whoever has expired; what takes longer is left to the next minute."""
    context: Any = event.context
    seconds = bootstrap.message_budget(context.get_remaining_time_in_millis())
    counts = dict(bootstrap.services().sweep().run(seconds))
    app.log.info(counts_line("sweep", counts))
    return counts


def websocket_deliver(event: SQSEvent) -> None:
    """Send a part of a large audience what it waits for; one task at a time."""
    from chalicelib.jobs import Task

    context: Any = event.context
    for record in event:
        task = Task.from_text(record.body)
        seconds = context.get_remaining_time_in_millis() / 1000
        delivery = bootstrap.services().worker().work(task, seconds)
        _log("deliver", "nothing_left" if delivery is None else "ok")


if (_queue := bootstrap.queue_and_workers()) is not None:
    # Only a stage that has a queue has a function that works it.
    websocket_deliver = app.on_sqs_message(
        queue=_queue[0], name="websocket_deliver", batch_size=1, maximum_concurrency=_queue[1]
    )(websocket_deliver)


@app.middleware("http")
def one_shape_for_errors(event: Any, get_response: Callable[[Any], Any]) -> Response:
    """Write Chalice's own errors as all others are, and let pages of other origins read them."""
    response: Response = get_response(event)
    if response.status_code >= 400:
        if isinstance(response.body, dict) and response.body.keys() == {"Code", "Message"}:
            answer = answer_with_status(response.status_code)
            response.body = answer.body
            response.headers = {**answer.headers, **response.headers}
        cors_headers = {} if CORS is None else CORS.get_access_control_headers()
        response.headers = {**cors_headers, **response.headers}
    return response


@app.route("/tickets", methods=["POST"], **PROTECTED)
def create_ticket() -> Response:
    """Give whoever has a credential a ticket to put into the WebSocket's URL."""
    from chalicelib.http_tickets import issue_ticket

    settings, services = bootstrap.settings(), bootstrap.services()
    return _answer(
        "ticket", lambda call: issue_ticket(settings, services.tickets, services.now(), call)
    )


@app.route("/", content_types=[])
def console() -> Response:
    """Serve the page to try the API with, where a stage has it switched on."""
    from chalicelib.console import console_page

    page = console_page(bootstrap.settings())
    if page is None:
        error = {"code": "not_found", "message": "This stage has no console."}
        return Response({"error": error}, status_code=404)
    return Response(page.body, headers=dict(page.headers))


@app.route("/principals/revoke", methods=["POST"], **PROTECTED)
def revoke_principal() -> Response:
    """Keep a principal out, and close the connections it has."""
    from chalicelib.operators import revoke

    return _answer("revoke", lambda call: revoke(bootstrap.services().revoker(), call))


@app.route("/principals/allow", methods=["POST"], **PROTECTED)
def allow_principal() -> Response:
    """Let a principal in again, with whatever credential it has."""
    from chalicelib.operators import allow

    return _answer("allow", lambda call: allow(bootstrap.services().revocations, call))


@app.route("/messages", methods=["POST"], **PROTECTED)
def post_message() -> Response:
    """Send a message to an audience."""
    return _answer("publish", lambda call: _publisher(call).post(call))


@app.route("/messages/batch", methods=["POST"], **PROTECTED)
def post_messages() -> Response:
    """Send several messages."""
    return _answer("publish_batch", lambda call: _publisher(call).post_batch(call))


@app.route("/jobs/{job_id}", **BODILESS)
def get_job(job_id: str) -> Response:
    """Say what has come of a message that a job delivers."""
    from chalicelib import http_publishing

    services = bootstrap.services()
    store = None if services.queue is None else services.job_store()
    return _answer("get_job", lambda call: http_publishing.get_job(store, call))


@app.route("/connections", **BODILESS)
def list_connections() -> Response:
    """List the connections of an audience."""
    return _answer("list_connections", lambda call: bootstrap.services().operator().list(call))


@app.route("/connections/{connection_id}", **BODILESS)
def get_connection(connection_id: str) -> Response:
    """Say what is known of a connection."""
    return _answer("get_connection", lambda call: bootstrap.services().operator().get(call))


@app.route("/connections/{connection_id}", methods=["DELETE"], **BODILESS)
def delete_connection(connection_id: str) -> Response:
    """Close a connection."""
    return _answer("disconnect", lambda call: bootstrap.services().operator().delete(call))


@app.route("/principals/{principal_id}/connections", methods=["DELETE"], **BODILESS)
def delete_connections(principal_id: str) -> Response:
    """Close every connection of a principal."""
    return _answer("disconnect_all", lambda call: bootstrap.services().operator().delete_all(call))


@app.route("/keys", methods=["POST"], **PROTECTED)
def create_key() -> Response:
    """Make an API key, which is shown this once."""
    return _answer("create_key", lambda call: bootstrap.services().key_keeper().create(call))


@app.route("/keys", **BODILESS)
def list_keys() -> Response:
    """List the API keys, without what is secret of them."""
    return _answer("list_keys", lambda call: bootstrap.services().key_keeper().list(call))


@app.route("/keys/{key_id}", methods=["DELETE"], **BODILESS)
def delete_key(key_id: str) -> Response:
    """Revoke an API key."""
    return _answer("revoke_key", lambda call: bootstrap.services().key_keeper().revoke(call))


@app.route("/health", cors=CORS, content_types=[])
def health() -> Response:
    """Say what runs here, and whether its table answers."""
    answers = bootstrap.services().table_answers()
    answer = health_answer(bootstrap.settings().stage, table_answers=answers)
    return Response(dict(answer.body), dict(answer.headers), answer.status)


@app.route("/openapi.json", cors=CORS, content_types=[])
def openapi_document() -> Response:
    """Describe this API."""
    from chalicelib import openapi

    path = str(cast(Request, app.current_request).context.get("path", ""))
    document = openapi.document(path.removesuffix("/openapi.json"))
    return Response(document, {"Cache-Control": "max-age=300"})


def _publisher(call: Call) -> Publisher:
    services = bootstrap.services()
    return services.publisher(call.caller(ROUTE_SCOPES[call.route], services.now()))


def _answer(operation: str, view: Callable[[Call], Answer]) -> Response:
    """Read the request, see that its caller may ask it, and answer; faults of ours are raised."""
    request = cast(Request, app.current_request)
    context: Any = request.lambda_context
    seconds = bootstrap.http_seconds(context.get_remaining_time_in_millis())
    call = Call.from_request(request, seconds, bootstrap.http_credential_parameters())
    try:
        scope, services = ROUTE_SCOPES[call.route], bootstrap.services()
        caller = call.caller(scope, services.now())
        # API Gateway may have kept what the authorizer said before who asks was revoked.
        if services.has_revoked(caller):
            raise Forbidden("revoked", caller.principal_id)
        answer = view(call)
    except PortcullisError as problem:
        answer = answer_to(problem)
    principal_id = call.principal.principal_id if call.principal else None
    _log(operation, answer.outcome, principal_id, source_ip=call.source_ip, **answer.about)
    return Response(dict(answer.body), dict(answer.headers), answer.status)


def _log(
    decision: str,
    reason: str,
    principal_id: str | None = None,
    connection_id: str | None = None,
    source_ip: str | None = None,
    **more: str | None,
) -> None:
    app.log.info(decision_line(decision, reason, principal_id, connection_id, source_ip, **more))


if "chalice.deploy.deployer" in sys.modules:  # Chalice's command line, which plans or packages
    import deployment
    from chalicelib import settings

    deployment.install(
        app,
        websocket_api_definition,
        credential_variables=settings.CREDENTIAL_VARIABLES,
        demonstration_values=settings.DEMONSTRATION_VALUES,
        known_variables=settings.known_variables(),
    )
