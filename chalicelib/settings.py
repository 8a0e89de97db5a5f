"""The names of the environment variables, read once into one frozen value.

Secrets may be absent: the API is defined and packaged where they are unknown.
What needs one asks for it with :func:`required` when it is built.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from chalicelib.errors import ConfigurationError

AuthorizerName = Literal["shared_token", "request_parameters"]
StoreName = Literal["parameter", "secret"]

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

# API Gateway's own grammar for the name of an identity source.
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9._-]+")
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_STAGE_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ENDPOINT = re.compile(r"https?://[^\s/?#@]+[^\s?#]*")
# Without a version or label after it: which versions are accepted is ours to tell.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html
_PARAMETER = re.compile(r"(arn:aws[a-z-]*:ssm:[a-z0-9-]+:[0-9]{12}:parameter)?[A-Za-z0-9_.\-/]+")
# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
_SECRET = re.compile(
    r"(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:)?[A-Za-z0-9/_+=.@-]+"
)
_STORES: Mapping[StoreName, re.Pattern[str]] = {"parameter": _PARAMETER, "secret": _SECRET}
_STAGE_VARIABLE = re.compile(r"([A-Za-z0-9_]+)=([A-Za-z0-9._~:/?#&=-]*)")


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
            region=reader.optional("AWS_REGION") or reader.optional("AWS_DEFAULT_REGION"),
            stored_names=MappingProxyType(reader.stored_names()),
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


def required(value: str | None, variable: str) -> str:
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

    def count(self, variable: str, default: int, *, least: int = 1, most: int) -> int:
        value = self.optional(variable) or str(default)
        if re.fullmatch(r"0|[1-9][0-9]{0,8}", value) and least <= int(value) <= most:
            return int(value)
        self._invalid.append(f"{variable} (a number from {least} to {most})")
        return default

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
        if DEFAULT_STAGE_VARIABLE in stage_variables or self._sources("STAGE_VARIABLE_VALUE"):
            return DEFAULT_STAGE_VARIABLE
        return None

    def stored_names(self) -> dict[str, StoredName]:
        found: dict[str, StoredName] = {}
        for credential in CREDENTIAL_VARIABLES:
            sources = self._sources(credential)
            if len(sources) > 1:
                self._invalid.append(f"{' and '.join(sources)} (only one of them)")
            for store, pattern in _STORES.items():
                variable = f"{credential}_{store.upper()}"
                if variable in sources:
                    found[credential] = StoredName(store, self.matching(variable, pattern))
        return found

    def _sources(self, credential: str) -> list[str]:
        variables = (credential, *(f"{credential}_{store.upper()}" for store in _STORES))
        return [variable for variable in variables if self.optional(variable)]

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
