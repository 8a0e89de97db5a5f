"""Rooms and nicknames in a table, in the style of Chalice's own tutorial: a resource, a Scan."""

import boto3
from chalice import Chalice, Rate, WebsocketDisconnectedError
from chalicelib.commands import split
from chalicelib.storage import Storage

app = Chalice(app_name="rooms")
app.experimental_feature_flags.update(["WEBSOCKETS"])
app.websocket_api.session = boto3.Session()
storage = Storage.from_env()


@app.on_ws_connect()
def connect(event):
    storage.create(event.connection_id)


@app.on_ws_disconnect()
def disconnect(event):
    record = storage.record(event.connection_id)
    storage.delete(event.connection_id)
    if record and record.get("room"):
        send_to_room(record["room"], f"{record['nickname']} has left.")


@app.on_ws_message()
def message(event):
    record = storage.record(event.connection_id)
    command, text = split(event.body)
    if command == "nick":
        storage.update(event.connection_id, nickname=text)
        send(event.connection_id, f"You are {text}.")
    elif command == "join":
        storage.update(event.connection_id, room=text)
        send_to_room(text, f"{record['nickname']} has joined {text}.")
    elif command == "ls":
        send(event.connection_id, "Rooms: " + ", ".join(storage.rooms()))
    elif record.get("room"):
        send_to_room(record["room"], f"{record['nickname']}: {text}")
    else:
        send(event.connection_id, "Join a room first.")


@app.schedule(Rate(1, unit=Rate.MINUTES))
def sweep(event):
    return {"swept": len(storage.all())}


@app.lambda_function()
def count(event, context):
    return {"connections": len(storage.all())}


@app.route("/rooms")
def rooms():
    return {"rooms": storage.rooms()}


@app.route("/count")
def count_by_invoking():
    client = boto3.client("lambda")
    return client.invoke(FunctionName="rooms-dev-count", Payload=b"{}")["Payload"].read().decode()


@app.authorizer(ttl_seconds=0)
def admin(request):
    routes = ["*"] if request.token == "letmein" else []
    from chalice import AuthResponse

    return AuthResponse(routes=routes, principal_id="admin")


@app.route("/admin", authorizer=admin)
def admin_only():
    return {"ok": True}


def send(connection_id, text):
    try:
        app.websocket_api.send(connection_id, text)
    except WebsocketDisconnectedError:
        storage.delete(connection_id)


def send_to_room(room, text):
    for connection_id in storage.members(room):
        send(connection_id, text)
