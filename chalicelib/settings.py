"""The names of the environment variables, read once into one frozen value.

Secrets may be absent: the API is defined and packaged where they are unknown.
What needs one asks for it with :func:`required` when it is built.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeVar

from chalicelib.delivery_settings import DeliverySettings, read_delivery
from chalicelib.errors import ConfigurationError
from chalicelib.scopes import Scopes

T = TypeVar("T")
AuthorizerName = Literal["shared_token", "request_parameters"]

LOCAL_STAGE = "local"
AUTHORIZERS: Mapping[str, AuthorizerName] = {
    "shared_token": "shared_token",
    "request_parameters": "request_parameters",
}
DEMONSTRATION_VALUES = frozenset({"hello", "headerValue1", "queryValue1", "stageValue1"})
CREDENTIAL_VARIABLES = (
    "SHARED_TOKEN",
    "HEADER_AUTH_VALUE",
    "QUERY_STRING_VALUE",
    "STAGE_VARIABLE_VALUE",
)
DEFAULT_STAGE_VARIABLE = "StageVar1"
DEFAULT_SCOPES = "connect sendmessage"

# API Gateway's own grammar for the name of an identity source.
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9._-]+")
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_STAGE_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ENDPOINT = re.compile(r"https?://[^\s/?#@]+[^\s?#]*")
_STAGE_VARIABLE = re.compile(r"([A-Za-z0-9_]+)=([A-Za-z0-9._~:/?#&=-]*)")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that differs between deployments; secrets stay out of its repr."""

    stage: str
    table_name: str
    authorizer: AuthorizerName = "shared_token"
    shared_token: str | None = field(default=None, repr=False)
    shared_token_header: str = "token"
    header_auth_name: str = "HeaderAuth1"
    header_auth_value: str | None = field(default=None, repr=False)
    query_string_name: str = "QueryString1"
    query_string_value: str | None = field(default=None, repr=False)
    stage_variable_name: str | None = None
    stage_variable_value: str | None = field(default=None, repr=False)
    stage_variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    principal_id: str = "client"
    connection_ttl: int = 7200
    everyone_shards: int = 16
    default_scopes: Scopes = field(default_factory=lambda: Scopes.parse(DEFAULT_SCOPES))
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    region: str | None = None
    dynamodb_endpoint: str | None = None
    management_endpoint: str | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings; ConfigurationError names all that is missing or invalid at once."""
        reader = _Reader(environ)
        stage = reader.matching("STAGE", _STAGE_NAME)
        stage_variables = reader.stage_variables("STAGE_VARIABLES")
        reader.refuse_demonstration_values(stage)
        settings = cls(
            stage=stage,
            table_name=reader.matching("TABLE_NAME", _TABLE_NAME),
            authorizer=reader.authorizer("AUTHORIZER"),
            shared_token=reader.optional("SHARED_TOKEN"),
            shared_token_header=reader.matching("SHARED_TOKEN_HEADER", _PARAMETER_NAME, "token"),
            header_auth_name=reader.matching("HEADER_AUTH_NAME", _PARAMETER_NAME, "HeaderAuth1"),
            header_auth_value=reader.optional("HEADER_AUTH_VALUE"),
            query_string_name=reader.matching("QUERY_STRING_NAME", _PARAMETER_NAME, "QueryString1"),
            query_string_value=reader.optional("QUERY_STRING_VALUE"),
            stage_variable_name=reader.stage_variable_name(stage_variables),
            stage_variable_value=reader.optional("STAGE_VARIABLE_VALUE"),
            stage_variables=MappingProxyType(stage_variables),
            principal_id=reader.optional("PRINCIPAL_ID") or "client",
            connection_ttl=reader.count("CONNECTION_TTL_SECONDS", 7200, most=604_800),
            # 16: at the quota of 500 connects a second, one partition would be at its write limit.
            everyone_shards=reader.count("EVERYONE_SHARDS", 16, most=256),
            default_scopes=reader.scopes("DEFAULT_SCOPES", DEFAULT_SCOPES),
            delivery=read_delivery(reader),
            region=reader.optional("AWS_REGION") or reader.optional("AWS_DEFAULT_REGION"),
            dynamodb_endpoint=reader.endpoint("AWS_ENDPOINT_URL_DYNAMODB"),
            management_endpoint=reader.endpoint("AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI"),
        )
        reader.finish()
        return settings


def delivery_settings(environ: Mapping[str, str]) -> DeliverySettings:
    """Read what is about deliveries alone, of an environment where all else may be unset."""
    reader = _Reader(environ)
    delivery = read_delivery(reader)
    reader.finish()
    return delivery


def required(value: T | None, variable: str) -> T:
    """Return a setting that only some functions need, or say which variable is missing."""
    if value is None:
        raise ConfigurationError(f"missing environment variables: {variable}")
    return value


class _Reader:
    """Reads variables and gathers what is wrong with them; never repeats a value."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._missing: list[str] = []
        self._invalid: list[str] = []

    def optional(self, variable: str) -> str | None:
        """An empty variable counts as none: an empty secret must not match an empty header."""
        return self._environ.get(variable) or None

    def matching(self, variable: str, pattern: re.Pattern[str], default: str = "") -> str:
        value = self.optional(variable) or default
        if not value:
            self._missing.append(variable)
        elif not pattern.fullmatch(value):
            self._invalid.append(variable)
        return value

    def authorizer(self, variable: str) -> AuthorizerName:
        chosen = AUTHORIZERS.get(self.optional(variable) or "shared_token")
        if chosen is None:
            self._invalid.append(f"{variable} (one of {', '.join(AUTHORIZERS)})")
            return "shared_token"
        return chosen

    def count(self, variable: str, default: int, *, most: int) -> int:
        value = self.optional(variable) or str(default)
        if re.fullmatch(r"[1-9][0-9]{0,8}", value) and int(value) <= most:
            return int(value)
        self._invalid.append(f"{variable} (a number from 1 to {most})")
        return default

    def scopes(self, variable: str, default: str) -> Scopes:
        try:
            return Scopes.parse(self.optional(variable) or default)
        except ValueError:
            self._invalid.append(f"{variable} (scopes with spaces between them)")
            return Scopes()

    def endpoint(self, variable: str) -> str | None:
        value = self.optional(variable)
        if value is not None and not _ENDPOINT.fullmatch(value):
            self._invalid.append(f"{variable} (a URL)")
        return value

    def stage_variables(self, variable: str) -> dict[str, str]:
        pairs = [pair.strip() for pair in (self.optional(variable) or "").split(",")]
        matches = [_STAGE_VARIABLE.fullmatch(pair) for pair in pairs if pair]
        found = {match[1]: match[2] for match in matches if match}
        if len(found) != len(matches):
            self._invalid.append(f"{variable} (Name=value,Name=value)")
        return found

    def stage_variable_name(self, stage_variables: Mapping[str, str]) -> str | None:
        """A stage variable is asked for where anything says so, even if its value is unknown."""
        name = self.optional("STAGE_VARIABLE_NAME")
        if name is not None:
            return self.matching("STAGE_VARIABLE_NAME", _PARAMETER_NAME)
        if DEFAULT_STAGE_VARIABLE in stage_variables or self.optional("STAGE_VARIABLE_VALUE"):
            return DEFAULT_STAGE_VARIABLE
        return None

    def refuse_demonstration_values(self, stage: str) -> None:
        if stage == LOCAL_STAGE:
            return
        for variable in CREDENTIAL_VARIABLES:
            if self._environ.get(variable) in DEMONSTRATION_VALUES:
                self._invalid.append(
                    f"{variable} (a demonstration value, for stage {LOCAL_STAGE} only)"
                )

    def finish(self) -> None:
        problems = []
        if self._missing:
            problems.append(f"missing environment variables: {', '.join(sorted(self._missing))}")
        if self._invalid:
            problems.append(f"invalid environment variables: {', '.join(sorted(self._invalid))}")
        if problems:
            raise ConfigurationError("; ".join(problems))
