"""Orders come over a WebSocket, a kitchen cooks them from a queue, and the guest is told."""

import json
import os

import boto3
from chalice import Chalice

app = Chalice(app_name="orders")
app.experimental_feature_flags.update(["WEBSOCKETS"])
app.websocket_api.session = boto3.Session()


@app.on_ws_message()
def message(event):
    order = {"guest": event.connection_id, "dish": event.body}
    boto3.client("sqs").send_message(
        QueueUrl=os.environ["QUEUE_URL"],
        MessageBody=json.dumps(order),
        MessageAttributes={"table": {"DataType": "Number", "StringValue": "7"}},
    )


@app.on_sqs_message(queue="orders", batch_size=1, maximum_concurrency=2)
def cook(event):
    for record in event:
        order = json.loads(record.body)
        table = record.to_dict()["messageAttributes"]["table"]["stringValue"]
        if order["dish"] == "soufflé":
            return_to_queue(record)
            raise RuntimeError("it has collapsed")
        tell(order["guest"], f"{order['dish']} for table {table}")


@app.on_sqs_message(queue_arn="arn:aws:sqs:us-east-1:123456789012:burnt-orders", batch_size=10)
def apologize(event):
    for record in event:
        order = json.loads(record.body)
        tell(order["guest"], f"no {order['dish']} today")


def return_to_queue(record):
    """Have what fails come again at once, not after the queue's visibility timeout."""
    boto3.client("sqs").change_message_visibility(
        QueueUrl=os.environ["QUEUE_URL"], ReceiptHandle=record.receipt_handle, VisibilityTimeout=0
    )


def tell(guest, text):
    client = boto3.client("apigatewaymanagementapi")
    client.post_to_connection(ConnectionId=guest, Data=text.encode())
