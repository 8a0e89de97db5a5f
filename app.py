"""Lambda entry points. Each translates an event, calls one service, and translates back.

The only importer of chalice. Handlers must be functions of this module, for Chalice deploys
strings such as ``app.websocket_connect``; their names are those of the deployed functions.
"""

import json
import logging
import sys
from contextlib import suppress
from typing import Any

from chalice.app import Chalice, Response, SQSEvent, WebsocketEvent

from chalicelib import __version__, api, bootstrap
from chalicelib.authorizers import AuthorizerRequest, authenticate
from chalicelib.connections import Connection, authorized_principal, request_context
from chalicelib.errors import ConnectionGone, Unauthorized
from chalicelib.jobs import Task
from chalicelib.messages import IncomingMessage
from chalicelib.policy import AuthorizerResponse, authorizer_response

app = Chalice(app_name="portcullis")
app.experimental_feature_flags.update(["WEBSOCKETS"])
app.log.setLevel(logging.INFO)


def websocket_api_definition() -> api.ApiDefinition:
    """Return the definition of the WebSocket API, as plain JSON data.

    Whatever serves or deploys this app looks up this name: it says what Chalice's decorators
    cannot (authorizer, further routes, mapping templates, stage variables, tables).
    """
    return api.definition(bootstrap.settings())


@app.lambda_function(name="websocket_authorizer")
def websocket_authorizer(event: dict[str, Any], context: Any) -> AuthorizerResponse:
    """Let a handshake in or refuse it; a fault of ours is raised as what it is (500)."""
    services = bootstrap.services()
    connection_id = (event.get("requestContext") or {}).get("connectionId")
    try:
        request = AuthorizerRequest.from_event(event, services.now())
        principal = authenticate(services.authenticators(), request)
    except Unauthorized as refusal:
        _log("authorize", refusal.reason, connection_id=connection_id)
        raise Exception("Unauthorized") from None  # the only text API Gateway turns into a 401
    _log("authorize", "ok", principal.principal_id, connection_id)
    return authorizer_response(
        principal.principal_id, request.method_arn, "Allow", principal.context
    )


@app.on_ws_connect(name="websocket_connect")
def websocket_connect(event: WebsocketEvent) -> Response:
    """``$connect``: remember the connection, unless no authorizer has let it in."""
    services = bootstrap.services()
    connection = Connection.from_event(event.to_dict(), services.connection_ttl)
    if connection is None:
        _log("connect", "no_principal", connection_id=event.connection_id)
        return Response(body="", status_code=401)
    services.connections.add(connection)
    _log("connect", "ok", connection.principal_id, connection.connection_id)
    return Response(body="", status_code=200)


@app.on_ws_disconnect(name="websocket_disconnect")
def websocket_disconnect(event: WebsocketEvent) -> None:
    """``$disconnect``: forget the connection. Best effort for AWS, so it may repeat."""
    request = request_context(event.to_dict(), "DISCONNECT")
    principal_id = authorized_principal(request)
    if principal_id is not None:  # else it was never let in
        bootstrap.services().connections.remove(event.connection_id, principal_id)
    _log("disconnect", str(request.get("disconnectStatusCode")), principal_id, event.connection_id)


@app.on_ws_message(name="websocket_message")
def websocket_message(event: WebsocketEvent) -> None:
    """``$default`` and ``sendmessage``: carry out a message and answer its sender."""
    services = bootstrap.services()
    incoming = IncomingMessage.from_event(event.to_dict())
    sender = incoming.sender
    context: Any = event.context
    budget = bootstrap.message_budget(context.get_remaining_time_in_millis())
    answer = services.router(sender.api_id, sender.stage, budget).respond(incoming)
    with suppress(ConnectionGone):  # a sender need not wait for the answer
        management_api = services.management_api(sender.api_id, sender.stage)
        management_api.post_to_connection(sender.connection_id, answer.frame)
    _log("message", answer.outcome, sender.principal_id, sender.connection_id)


def websocket_deliver(event: SQSEvent) -> None:
    """Send a part of a large audience what it waits for; one task at a time."""
    context: Any = event.context
    for record in event:
        task = Task.from_text(record.body)
        seconds = context.get_remaining_time_in_millis() / 1000
        delivery = bootstrap.services().worker().work(task, seconds)
        _log("deliver", "nothing_left" if delivery is None else "ok")


if (_queue := bootstrap.queue_and_workers()) is not None:
    # Only a stage that has a queue has a function that works it.
    websocket_deliver = app.on_sqs_message(
        queue=_queue[0], name=api.DELIVERY_FUNCTION, batch_size=1, maximum_concurrency=_queue[1]
    )(websocket_deliver)


@app.route("/health")
def health() -> dict[str, str]:
    """Say that the app is up; asks nothing of the database."""
    return {"status": "ok", "stage": bootstrap.settings().stage, "version": __version__}


def _log(
    decision: str, reason: str, principal_id: str | None = None, connection_id: str | None = None
) -> None:
    # JSON, so that nothing in a principal's name can pass for a line of its own.
    line = {"decision": decision, "reason": reason}
    app.log.info(json.dumps(line | {"principalId": principal_id, "connectionId": connection_id}))


if "chalice.deploy.deployer" in sys.modules:  # Chalice's command line, which plans or packages
    import deployment

    deployment.install(app, websocket_api_definition)
