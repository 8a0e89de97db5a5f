"""The names of the environment variables, read once into one frozen value.

Secrets may be absent: the API is defined and packaged where they are unknown.
What needs one asks for it with :func:`required` when it is built.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeVar

from chalicelib.credential_settings import (
    DEFAULT_PLACES,
    JwtSettings,
    Place,
    read_allowed_origins,
    read_cors,
    read_jwt,
    read_places,
    read_scopes,
)
from chalicelib.delivery_settings import DeliverySettings, read_delivery
from chalicelib.environment import Reader
from chalicelib.errors import ConfigurationError
from chalicelib.limit_settings import LimitSettings, read_limits
from chalicelib.principals import PRINCIPAL_RULE, is_principal_id
from chalicelib.scopes import Scopes

StoreName = Literal["parameter", "secret"]

T = TypeVar("T")

LOCAL_STAGE = "local"
_FORMER_NAME = "AUTHORIZER"
AUTHENTICATORS = ("shared_token", "request_parameters", "jwt", "api_key", "ticket")
DEMONSTRATION_VALUES = frozenset({"hello", "headerValue1", "queryValue1", "stageValue1"})
CREDENTIAL_VARIABLES = (
    "SHARED_TOKEN",
    "HEADER_AUTH_VALUE",
    "QUERY_STRING_VALUE",
    "STAGE_VARIABLE_VALUE",
    "JWT_SECRET",
    "JWT_KEYS",
)
DEFAULT_STAGE_VARIABLE = "StageVar1"
DEFAULT_SCOPES = "connect sendmessage"

# API Gateway's own grammar for the name of an identity source.
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9._-]+")
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_CEDAR_FILE = re.compile(r"chalicelib/(?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+\.cedar")
_STAGE_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
# RFC 9110, 5.6.2, but without the dot, which sets a credential apart from its prefix.
_SUBPROTOCOL = re.compile(r"[!#$%&'*+\-^_`|~0-9A-Za-z]+")
_WEBSOCKET_URL = re.compile(r"wss?://[^\s/?#@]+[^\s?#]*")
# Without a version or label after it: which versions are accepted is ours to tell.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html
_PARAMETER = re.compile(r"(arn:aws[a-z-]*:ssm:[a-z0-9-]+:[0-9]{12}:parameter)?[A-Za-z0-9_.\-/]+")
# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
_SECRET = re.compile(
    r"(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:)?[A-Za-z0-9/_+=.@-]+"
)
_STORES: Mapping[StoreName, re.Pattern[str]] = {"parameter": _PARAMETER, "secret": _SECRET}


@dataclass(frozen=True, slots=True)
class StoredName:
    """Where the value of a credential is kept; the name or ARN is no secret."""

    store: StoreName
    name: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that differs between deployments; secrets stay out of its repr."""

    stage: str
    table_name: str
    authenticators: tuple[str, ...] = ("shared_token",)
    """Asked in this order."""
    credential_places: tuple[Place, ...] = DEFAULT_PLACES
    allowed_origins: frozenset[str] | None = None
    """None lets any origin in."""
    default_scopes: Scopes = field(default_factory=lambda: Scopes.parse(DEFAULT_SCOPES))
    cedar_policies: str | None = None
    """A file of the package."""
    subprotocol: str = "portcullis"
    shared_token: str | None = field(default=None, repr=False)
    shared_token_header: str = "token"
    header_auth_name: str = "HeaderAuth1"
    header_auth_value: str | None = field(default=None, repr=False)
    query_string_name: str = "QueryString1"
    query_string_value: str | None = field(default=None, repr=False)
    stage_variable_name: str | None = None
    stage_variable_value: str | None = field(default=None, repr=False)
    stage_variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    jwt: JwtSettings | None = None
    ticket_seconds: int = 30
    websocket_url: str | None = None
    console: bool = False
    """Whether ``GET /`` answers with the page to try the API with."""
    cors_allow_origin: str | None = "*"
    """None for nobody's pages."""
    websocket_api_id: str | None = None
    websocket_stage: str | None = None
    principal_id: str = "client"
    connection_ttl: int = 7200
    everyone_shards: int = 16
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    region: str | None = None
    stored_names: Mapping[str, StoredName] = field(default_factory=dict)
    """By credential variable; such a variable has no literal value."""
    secret_cache_seconds: int = 300
    secret_rotation_seconds: int = 3600
    endpoint: str | None = None
    """Of all services, as an emulator has it; those below win over it."""
    dynamodb_endpoint: str | None = None
    management_endpoint: str | None = None
    ssm_endpoint: str | None = None
    secrets_manager_endpoint: str | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings; ConfigurationError names all that is missing or invalid at once."""
        return cls.read(Reader(environ))

    @classmethod
    def read(cls, reader: Reader) -> "Settings":
        """Read the settings as ``from_environ`` does."""
        stage = reader.matching("STAGE", _STAGE_NAME)
        stage_variables = reader.stage_variables("STAGE_VARIABLES")
        console = reader.switch("CONSOLE")
        authenticators = reader.choices(
            "AUTHENTICATORS", AUTHENTICATORS, "shared_token,ticket" if console else "shared_token"
        )
        _refuse_demonstration_values(reader, stage)
        if reader.optional(_FORMER_NAME) is not None:
            reader.refuse(f"{_FORMER_NAME} (it is AUTHENTICATORS now)")
        settings = cls(
            stage=stage,
            table_name=reader.matching("TABLE_NAME", _TABLE_NAME),
            authenticators=authenticators,
            credential_places=read_places(reader),
            allowed_origins=read_allowed_origins(reader),
            default_scopes=read_scopes(reader, "DEFAULT_SCOPES", DEFAULT_SCOPES),
            cedar_policies=_cedar_policies(reader),
            subprotocol=reader.matching("SUBPROTOCOL", _SUBPROTOCOL, "portcullis"),
            shared_token=reader.optional("SHARED_TOKEN"),
            shared_token_header=reader.matching("SHARED_TOKEN_HEADER", _PARAMETER_NAME, "token"),
            header_auth_name=reader.matching("HEADER_AUTH_NAME", _PARAMETER_NAME, "HeaderAuth1"),
            header_auth_value=reader.optional("HEADER_AUTH_VALUE"),
            query_string_name=reader.matching("QUERY_STRING_NAME", _PARAMETER_NAME, "QueryString1"),
            query_string_value=reader.optional("QUERY_STRING_VALUE"),
            stage_variable_name=_stage_variable_name(reader, stage_variables),
            stage_variable_value=reader.optional("STAGE_VARIABLE_VALUE"),
            stage_variables=MappingProxyType(stage_variables),
            jwt=read_jwt(reader, local=stage == LOCAL_STAGE) if "jwt" in authenticators else None,
            ticket_seconds=reader.count("TICKET_SECONDS", 30, most=300),
            websocket_url=_websocket_url(reader),
            console=console,
            cors_allow_origin=read_cors(reader),
            websocket_api_id=reader.optional("WEBSOCKET_API_ID"),
            websocket_stage=reader.optional("WEBSOCKET_STAGE"),
            principal_id=_principal_id(reader),
            connection_ttl=reader.count("CONNECTION_TTL_SECONDS", 7200, most=604_800),
            # 16: at the quota of 500 connects a second, one partition would be at its write limit.
            everyone_shards=reader.count("EVERYONE_SHARDS", 16, most=256),
            delivery=read_delivery(reader),
            limits=read_limits(reader, authenticators),
            region=reader.optional("AWS_REGION") or reader.optional("AWS_DEFAULT_REGION"),
            stored_names=MappingProxyType(_stored_names(reader)),
            # Fetches for wrong credentials are half a minute apart at least, so less were no use.
            secret_cache_seconds=reader.count("SECRET_CACHE_SECONDS", 300, least=30, most=86_400),
            secret_rotation_seconds=reader.count(
                "SECRET_ROTATION_SECONDS", 3600, least=0, most=2_592_000
            ),
            endpoint=reader.endpoint("AWS_ENDPOINT_URL"),
            dynamodb_endpoint=reader.endpoint("AWS_ENDPOINT_URL_DYNAMODB"),
            management_endpoint=reader.endpoint("AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI"),
            ssm_endpoint=reader.endpoint("AWS_ENDPOINT_URL_SSM"),
            secrets_manager_endpoint=reader.endpoint("AWS_ENDPOINT_URL_SECRETS_MANAGER"),
        )
        reader.finish()
        return settings

    def credential_parameters(self) -> frozenset[str]:
        """Return the query parameters that may hold a credential, and so are no route's own."""
        places: frozenset[str] = frozenset()
        if {"jwt", "api_key"} & set(self.authenticators):
            places = frozenset(it.name for it in self.credential_places if it.kind == "query")
        if "request_parameters" in self.authenticators:
            return places | {self.query_string_name}
        return places


def delivery_settings(environ: Mapping[str, str]) -> DeliverySettings:
    """Read what is about deliveries alone, of an environment where all else may be unset."""
    reader = Reader(environ)
    delivery = read_delivery(reader)
    reader.finish()
    return delivery


def known_variables() -> frozenset[str]:
    """Name every variable that some stage may set, whatever is chosen there."""
    reader = Reader({"AUTHENTICATORS": ",".join(AUTHENTICATORS)})
    with suppress(ConfigurationError):  # raised when all have been asked for
        Settings.read(reader)
    # What Chalice must know where it imports the app is no part of the settings.
    return frozenset({*reader.asked, "HTTP_AUTHORIZER"} - {_FORMER_NAME})


def required(value: T | None, variable: str) -> T:
    """Return a setting that only some functions need, or say which variable is missing."""
    if value is None:
        raise ConfigurationError(f"missing environment variables: {variable}")
    return value


def _stage_variable_name(reader: Reader, stage_variables: Mapping[str, str]) -> str | None:
    """A stage variable is asked for where anything says so, even if its value is unknown."""
    if reader.optional("STAGE_VARIABLE_NAME") is not None:
        return reader.matching("STAGE_VARIABLE_NAME", _PARAMETER_NAME)
    if DEFAULT_STAGE_VARIABLE in stage_variables or _sources(reader, "STAGE_VARIABLE_VALUE"):
        return DEFAULT_STAGE_VARIABLE
    return None


def _principal_id(reader: Reader) -> str:
    principal_id = reader.optional("PRINCIPAL_ID") or "client"
    if not is_principal_id(principal_id):  # or nobody could revoke it
        reader.refuse(f"PRINCIPAL_ID ({PRINCIPAL_RULE})")
    return principal_id


def _cedar_policies(reader: Reader) -> str | None:
    if reader.optional("CEDAR_POLICIES") is None:
        return None
    return reader.matching("CEDAR_POLICIES", _CEDAR_FILE)


def _websocket_url(reader: Reader) -> str | None:
    if reader.optional("WEBSOCKET_URL") is None:
        return None
    return reader.matching("WEBSOCKET_URL", _WEBSOCKET_URL)


def _stored_names(reader: Reader) -> dict[str, StoredName]:
    found: dict[str, StoredName] = {}
    for credential in CREDENTIAL_VARIABLES:
        sources = _sources(reader, credential)
        if len(sources) > 1:
            reader.refuse(f"{' and '.join(sources)} (only one of them)")
        for store, pattern in _STORES.items():
            variable = f"{credential}_{store.upper()}"
            if variable in sources:
                found[credential] = StoredName(store, reader.matching(variable, pattern))
    return found


def _sources(reader: Reader, credential: str) -> list[str]:
    variables = (credential, *(f"{credential}_{store.upper()}" for store in _STORES))
    return [variable for variable in variables if reader.optional(variable)]


def _refuse_demonstration_values(reader: Reader, stage: str) -> None:
    if stage == LOCAL_STAGE:
        return
    for variable in CREDENTIAL_VARIABLES:
        if reader.optional(variable) in DEMONSTRATION_VALUES:
            reader.refuse(f"{variable} (a demonstration value, for stage {LOCAL_STAGE} only)")
