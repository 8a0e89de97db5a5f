"""What ships to speak to DynamoDB, on a table of the embedded engine."""

import time

from chalicelib.api import connection_table
from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.dynamodb import DynamoDB
from localgateway.database import EmbeddedDatabase


def make_dynamodb(database: EmbeddedDatabase, table: str) -> DynamoDB:
    """Create a table and return what reaches it."""
    database.create_table(connection_table(table))
    credentials = Credentials("testing", "testing")
    signer = Signer("us-east-1", "dynamodb")
    client = SignedClient(database.endpoint_url, signer, lambda: credentials, time.time)
    return DynamoDB(client, Backoff())
