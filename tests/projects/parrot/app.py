"""A WebSocket API of four functions that repeats what it hears, for tests that deploy it.

Its connect handler lets everybody in: if the authorizer is not there, a test sees it.
"""

import json
import os
import sys
from pathlib import Path

from chalice.app import Chalice

app = Chalice(app_name="parrot")
app.experimental_feature_flags.update(["WEBSOCKETS"])


def definition():
    return json.loads(Path(__file__).with_name("definition.json").read_text())


@app.lambda_function(name="websocket_authorizer")
def websocket_authorizer(event, context):
    headers = {name.lower(): value for name, value in event["headers"].items()}
    effect = "Allow" if headers.get("token") == os.environ["TOKEN"] else "Deny"
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": event["methodArn"]}
    return {
        "principalId": "polly",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    }


@app.on_ws_connect(name="websocket_connect")
def websocket_connect(event):
    return {"statusCode": 200}


@app.on_ws_disconnect(name="websocket_disconnect")
def websocket_disconnect(event):
    return {"statusCode": 200}


@app.on_ws_message(name="websocket_message")
def websocket_message(event):
    import boto3

    api_id = event.to_dict()["requestContext"]["apiId"]
    endpoint = f"{os.environ['AWS_ENDPOINT_URL']}/_aws/execute-api/{api_id}/{event.stage}"
    client = boto3.client("apigatewaymanagementapi", endpoint_url=endpoint)
    client.post_to_connection(ConnectionId=event.connection_id, Data=event.body.encode())


if "chalice.deploy.deployer" in sys.modules:
    import deployment

    deployment.install(app, definition)
