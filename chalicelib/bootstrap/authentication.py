"""The chosen authenticators, each given what it needs; what few choose is imported late."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from chalicelib.authorizers import Authenticator
from chalicelib.authorizers.api_key import ApiKeyAuthenticator, KeyStore
from chalicelib.authorizers.request_parameters import RequestParameters
from chalicelib.authorizers.shared_token import SharedToken
from chalicelib.authorizers.ticket import TicketAuthenticator, TicketStore
from chalicelib.bootstrap.clients import Clients
from chalicelib.errors import ConfigurationError
from chalicelib.secret_values import Secret, SecretSource, StoredSecret, literal
from chalicelib.settings import DEMONSTRATION_VALUES, LOCAL_STAGE, Settings

if TYPE_CHECKING:
    from chalicelib.messages import Policies

PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class CredentialStores:
    """Where credentials are kept that are not the same for all."""

    keys: KeyStore
    tickets: TicketStore


def authenticators(
    settings: Settings, secret: SecretSource, stores: CredentialStores, now: Callable[[], float]
) -> Sequence[Authenticator]:
    """Return the chosen authenticators; ConfigurationError where an expected value is unknown."""
    build: Mapping[str, Callable[[], Authenticator]] = {
        "shared_token": partial(SharedToken.from_settings, settings, secret),
        "request_parameters": partial(RequestParameters.from_settings, settings, secret),
        "jwt": partial(jwt_authenticator, settings, secret, now),
        "api_key": partial(
            ApiKeyAuthenticator,
            stores.keys,
            settings.credential_places,
            settings.connection_ttl,
        ),
        "ticket": partial(TicketAuthenticator, stores.tickets, settings.connection_ttl),
    }
    return tuple(build[name]() for name in settings.authenticators)


def jwt_authenticator(
    settings: Settings, secret: SecretSource, now: Callable[[], float]
) -> Authenticator:
    """Return what verifies tokens; ConfigurationError where the package has nothing to do so."""
    try:
        # 100 ms, which only those pay who ask for it.
        from chalicelib.authorizers.jwt import JwtAuthenticator
    except ModuleNotFoundError as error:
        raise ConfigurationError("jwt needs PyJWT[crypto] in requirements.txt") from error
    return JwtAuthenticator.from_settings(settings, secret, now)


def cedar_policies(name: str | None) -> Policies | None:
    """Return the policies of a file beside app.py; ConfigurationError where they cannot be had."""
    if name is None:
        return None
    try:
        # 40 ms, which only those pay who ask for it.
        from chalicelib.cedar import CedarPolicies

        return CedarPolicies((PACKAGE / name).read_text("utf-8"))
    except ModuleNotFoundError as error:
        raise ConfigurationError("CEDAR_POLICIES needs cedarpy in requirements.txt") from error
    except OSError as error:
        raise ConfigurationError("CEDAR_POLICIES names no file of the package") from error


def secret_source(clients: Clients) -> SecretSource:
    """Return what makes the secret of a variable; nothing is fetched before it is used."""
    settings = clients.settings
    refused = DEMONSTRATION_VALUES if settings.stage != LOCAL_STAGE else frozenset()
    store = cache(clients.secret_store)

    def secret(variable: str, value: str | None) -> Secret:
        stored = settings.stored_names.get(variable)
        if stored is None:
            return literal(variable, value)
        return StoredSecret(
            f"{variable} ({stored.store} {stored.name})",
            partial(store(stored.store).fetch, stored.name),
            clients.now,
            cache_seconds=settings.secret_cache_seconds,
            refused=refused,
        )

    return secret
