"""A header, a query parameter and, where configured, a stage variable must all be as expected."""

from dataclasses import dataclass

from chalicelib.authorizers import AuthorizerRequest, Principal, accepts
from chalicelib.errors import Unauthorized
from chalicelib.scopes import Scopes
from chalicelib.secret_values import Secret, SecretSource, literal
from chalicelib.settings import DEMONSTRATION_VALUES, Settings


@dataclass(frozen=True, slots=True)
class Expected:
    """A request parameter and the value it must have."""

    name: str
    value: Secret


@dataclass(frozen=True, slots=True)
class RequestParameters:
    """Lets in whoever sends all expected parameters; ``ttl`` is in seconds."""

    header: Expected
    query_string: Expected
    stage_variable: Expected | None
    principal_id: str
    scopes: Scopes
    ttl: int

    @classmethod
    def from_settings(
        cls, settings: Settings, secret: SecretSource = literal
    ) -> "RequestParameters":
        """ConfigurationError where an expected value is unknown: then nobody may be let in."""
        header = secret("HEADER_AUTH_VALUE", settings.header_auth_value)
        query_string = secret("QUERY_STRING_VALUE", settings.query_string_value)
        return cls(
            header=Expected(settings.header_auth_name, header),
            query_string=Expected(settings.query_string_name, query_string),
            stage_variable=_expected_stage_variable(settings, secret),
            principal_id=settings.principal_id,
            scopes=settings.default_scopes,
            ttl=settings.connection_ttl,
        )

    def authenticate(self, request: AuthorizerRequest) -> Principal | None:
        """Return None where the client sent neither parameter, raise Unauthorized for any other."""
        header = request.header(self.header.name)
        query_string = request.query_string(self.query_string.name)
        if header is None and query_string is None:
            return None
        pairs = [(self.header.value, header), (self.query_string.value, query_string)]
        if self.stage_variable is not None:
            given = request.stage_variable(self.stage_variable.name)
            pairs.append((self.stage_variable.value, given))
        if not accepts(pairs):
            raise Unauthorized("bad_request_parameters")
        return Principal(
            self.principal_id,
            "request_parameters",
            int(request.received_at) + self.ttl,
            self.scopes,
            demonstration=not DEMONSTRATION_VALUES.isdisjoint((header, query_string)),
        )

    def as_bearer(self) -> None:
        """Two or three parameters do not fit into one header."""


def _expected_stage_variable(settings: Settings, secret: SecretSource) -> Expected | None:
    name = settings.stage_variable_name
    if name is None:
        return None
    return Expected(name, secret("STAGE_VARIABLE_VALUE", settings.stage_variable_value))
