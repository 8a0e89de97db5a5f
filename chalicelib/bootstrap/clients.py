"""Clients of AWS's services, or of an emulator of them; none calls anybody before it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.dynamodb import DynamoDB
from chalicelib.secret_stores import ParameterStore, SecretsManager, SecretStore
from chalicelib.settings import Settings, StoreName, required
from chalicelib.sqs import Queue

if TYPE_CHECKING:
    from chalicelib.broadcast import ManagementAPI


@dataclass(frozen=True, slots=True)
class Clients:
    """Makes clients by the settings; ``now`` is in seconds since the epoch."""

    settings: Settings
    credentials: Callable[[], Credentials]
    now: Callable[[], float]

    @property
    def region(self) -> str:
        """Return the region; raises ConfigurationError where none is set."""
        return required(self.settings.region, "AWS_REGION")

    def dynamodb(self) -> DynamoDB:
        """Return the client of the table."""
        return DynamoDB(self._client("dynamodb", self.settings.dynamodb_endpoint), Backoff())

    def impatient_dynamodb(self) -> DynamoDB:
        """Return what gives up after two seconds, for one who only asks whether it is there."""
        endpoint = self.settings.dynamodb_endpoint
        client = self._client("dynamodb", endpoint, connect_timeout=0.5, read_timeout=1.0)
        return DynamoDB(client, Backoff(deadline=0.5))

    def queue(self) -> Queue | None:
        """Return the client of the queue, None where no queue is set."""
        delivery = self.settings.delivery
        if delivery.queue_name is None:
            return None
        client = self._client("sqs", delivery.sqs_endpoint)
        return Queue(client, Backoff(), delivery.queue_name)

    def secret_store(self, name: StoreName) -> SecretStore:
        """Return what fetches credentials."""
        store: Callable[..., SecretStore] = ParameterStore
        service, endpoint = "ssm", self.settings.ssm_endpoint
        if name == "secret":
            store = SecretsManager
            service, endpoint = "secretsmanager", self.settings.secrets_manager_endpoint
        # Current and previous value at their slowest still leave time in the authorizer's 10 s.
        client = self._client(service, endpoint, read_timeout=1.5)
        backoff = Backoff(deadline=1.0)
        return store(client, backoff, self.now, self.settings.secret_rotation_seconds)

    def management_apis(self) -> Callable[[str, str], ManagementAPI]:
        """Return what gives the client of an API id and a stage, one for each.

        Chalice's own keeps the first endpoint for ever, and a post to the wrong stage is answered
        410, for which live connections would be removed.
        """
        return cache(partial(self._management_api, Signer(self.region, "execute-api")))

    def _management_api(self, signer: Signer, api_id: str, stage: str) -> ManagementAPI:
        from chalicelib.management_api import APIGatewayManagementAPI, management_endpoint

        settings = self.settings
        endpoint = settings.management_endpoint or management_endpoint(
            api_id, stage, self.region, settings.endpoint
        )
        return APIGatewayManagementAPI(SignedClient(endpoint, signer, self.credentials, self.now))

    def _client(
        self,
        service: str,
        endpoint: str | None,
        *,
        connect_timeout: float = 1.0,
        read_timeout: float = 2.0,
    ) -> SignedClient:
        region = self.region
        return SignedClient(
            endpoint or self.settings.endpoint or public_endpoint(service, region),
            Signer(region, service),
            self.credentials,
            self.now,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )


def public_endpoint(service: str, region: str) -> str:
    """Return the public endpoint of a service in a region."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{service}.{region}.{suffix}"
