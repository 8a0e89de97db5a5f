"""Where the credentials for AWS come from; the only importer of boto3, and late."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chalicelib.aws import Credentials
from chalicelib.errors import ConfigurationError


def credentials_provider(environ: Mapping[str, str]) -> Callable[[], Credentials]:
    """Take the credentials Lambda puts into the environment, else what boto3 finds."""
    access_key_id = environ.get("AWS_ACCESS_KEY_ID")
    secret_access_key = environ.get("AWS_SECRET_ACCESS_KEY")
    if not access_key_id or not secret_access_key:
        return _boto3_credentials()
    token = environ.get("AWS_SESSION_TOKEN") or None
    credentials = Credentials(access_key_id, secret_access_key, token)
    return lambda: credentials


def _boto3_credentials() -> Callable[[], Credentials]:
    found = None

    def credentials() -> Credentials:
        nonlocal found
        if found is None:
            # 140 ms, which a Lambda function never pays: there the environment has them.
            import boto3

            found = boto3.Session().get_credentials()
        if found is None:
            raise ConfigurationError("no AWS credentials")
        frozen = found.get_frozen_credentials()  # refreshes those that are about to expire
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    return credentials
