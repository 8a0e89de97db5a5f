"""A Chalice app as its documentation writes them: it echoes, and chooses a subprotocol."""

import boto3
from chalice import Chalice, Response

app = Chalice(app_name="echo")
app.experimental_feature_flags.update(["WEBSOCKETS"])
app.websocket_api.session = boto3.Session()


@app.on_ws_connect()
def connect(event):
    offered = event.to_dict()["headers"].get("Sec-WebSocket-Protocol", "")
    protocols = [name.strip() for name in offered.split(",") if name.strip()]
    if not protocols:
        return Response(body="", status_code=200)
    if "echo.v1" not in protocols:
        return Response(body="no common subprotocol", status_code=400)
    return Response(body="", status_code=200, headers={"Sec-WebSocket-Protocol": "echo.v1"})


@app.on_ws_message()
def message(event):
    if event.body == "who am I":
        answer = app.websocket_api.info(event.connection_id)["Identity"]["SourceIp"]
    else:
        answer = event.body
    app.websocket_api.send(event.connection_id, answer)
    if event.body == "bye":
        app.websocket_api.close(event.connection_id)
