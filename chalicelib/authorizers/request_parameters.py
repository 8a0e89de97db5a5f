"""A header, a query parameter and, where configured, a stage variable must all be as expected."""

from dataclasses import dataclass, field

from chalicelib.authorizers import AuthorizerRequest, Principal, matches
from chalicelib.errors import Unauthorized
from chalicelib.scopes import Scopes
from chalicelib.settings import DEMONSTRATION_VALUES, Settings, required


@dataclass(frozen=True, slots=True)
class Expected:
    """A request parameter and the value it must have."""

    name: str
    value: str = field(repr=False)


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
    def from_settings(cls, settings: Settings) -> "RequestParameters":
        """ConfigurationError where an expected value is unknown: then nobody may be let in."""
        header = required(settings.header_auth_value, "HEADER_AUTH_VALUE")
        query_string = required(settings.query_string_value, "QUERY_STRING_VALUE")
        return cls(
            header=Expected(settings.header_auth_name, header),
            query_string=Expected(settings.query_string_name, query_string),
            stage_variable=_expected_stage_variable(settings),
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
        # A list, not all(...) of a generator: how long it takes must not say which one was wrong.
        verdicts = [
            matches(header, self.header.value),
            matches(query_string, self.query_string.value),
            self._stage_variable_matches(request),
        ]
        if not all(verdicts):
            raise Unauthorized("bad_request_parameters")
        return Principal(
            self.principal_id,
            "request_parameters",
            int(request.received_at) + self.ttl,
            self.scopes,
            demonstration=not {self.header.value, self.query_string.value}.isdisjoint(
                DEMONSTRATION_VALUES
            ),
        )

    def _stage_variable_matches(self, request: AuthorizerRequest) -> bool:
        expected = self.stage_variable
        return expected is None or matches(request.stage_variable(expected.name), expected.value)


def _expected_stage_variable(settings: Settings) -> Expected | None:
    name = settings.stage_variable_name
    if name is None:
        return None
    return Expected(name, required(settings.stage_variable_value, "STAGE_VARIABLE_VALUE"))
