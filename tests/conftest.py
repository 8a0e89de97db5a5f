"""What every test can rely on: no way to AWS, none of the machine's settings, one real engine."""

import os
import signal
from collections.abc import Iterator

import pytest

from localgateway.database import EmbeddedDatabase

_OURS = (
    "STAGE",
    "TABLE_NAME",
    "AUTHENTICATORS",
    "CREDENTIAL_PLACES",
    "ALLOWED_ORIGINS",
    "DEFAULT_SCOPES",
    "SUBPROTOCOL",
    "TICKET_SECONDS",
    "WEBSOCKET_URL",
    "CONSOLE",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "JWT_CLIENT_IDS",
    "JWT_ALGORITHMS",
    "JWT_JWKS_URL",
    "JWT_KEYS",
    "JWT_SECRET",
    "JWT_TOKEN_USE",
    "JWT_TYPE",
    "JWT_SCOPE_CLAIM",
    "JWT_SCOPE_PREFIX",
    "SHARED_TOKEN",
    "SHARED_TOKEN_HEADER",
    "HEADER_AUTH_NAME",
    "HEADER_AUTH_VALUE",
    "QUERY_STRING_NAME",
    "QUERY_STRING_VALUE",
    "STAGE_VARIABLE_NAME",
    "STAGE_VARIABLE_VALUE",
    "STAGE_VARIABLES",
    "SHARED_TOKEN_PARAMETER",
    "SHARED_TOKEN_SECRET",
    "SECRET_CACHE_SECONDS",
    "SECRET_ROTATION_SECONDS",
    "AWS_ENDPOINT_URL_SSM",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "PRINCIPAL_ID",
    "CONNECTION_TTL_SECONDS",
    "EVERYONE_SHARDS",
    "CEDAR_POLICIES",
    "CHANNEL_SHARDS",
    "MAX_CHANNELS_PER_CONNECTION",
    "CORS_ALLOW_ORIGIN",
    "WEBSOCKET_API_ID",
    "WEBSOCKET_STAGE",
    "QUEUE_NAME",
    "FANOUT_THRESHOLD",
    "DELIVERY_RATE",
    "DELIVERY_WORKERS",
    "DELIVERY_DEADLINE_SECONDS",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_SESSION_TOKEN",
)


@pytest.fixture(scope="session", autouse=True)
def isolated_environment() -> Iterator[None]:
    """Dummy credentials, so that no test can reach AWS, and nothing the machine has set."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in _OURS:
            patch.delenv(variable, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(autouse=True)
def signals_arrive() -> Iterator[None]:
    """What a test leaves blocked, every process of the next ones would not hear of."""
    yield
    assert signal.pthread_sigmask(signal.SIG_SETMASK, ()) == set()


@pytest.fixture(scope="session")
def database(isolated_environment: None) -> Iterator[EmbeddedDatabase]:
    """One DynamoDB-compatible engine for the whole run; each test makes a table of its own."""
    with EmbeddedDatabase.start() as database:
        yield database
