"""What can be set about limits, and where there are some without being set."""

import pytest

from chalicelib.environment import Reader
from chalicelib.errors import ConfigurationError
from chalicelib.limit_settings import LimitSettings, read_limits
from chalicelib.rates import Rate
from chalicelib.settings import AUTHENTICATORS, Settings

NONE = LimitSettings()
ON = LimitSettings(max_connections=50, rate=Rate(50, 100))
OFF = {"MESSAGE_RATE": "0", "MAX_CONNECTIONS_PER_PRINCIPAL": "0"}


def read(*authenticators: str, **variables: str) -> LimitSettings:
    reader = Reader(variables)
    limits = read_limits(reader, authenticators or ("shared_token",))
    reader.finish()
    return limits


@pytest.mark.parametrize(
    ("authenticators", "limits"),
    [
        (("shared_token",), NONE),
        (("request_parameters",), NONE),
        (("jwt",), ON),
        (("api_key",), ON),
        (("jwt", "ticket"), ON),
        (("jwt", "api_key", "ticket"), ON),
        (("shared_token", "ticket"), NONE),
        (("jwt", "shared_token"), NONE),
        (("api_key", "ticket", "request_parameters"), NONE),
        (("jwt", "one_of_your_own"), NONE),
        (AUTHENTICATORS, NONE),
    ],
)
def test_without_settings_there_are_limits_where_every_principal_is_an_individual(
    authenticators: tuple[str, ...], limits: LimitSettings
) -> None:
    assert read(*authenticators) == limits


@pytest.mark.parametrize("authenticator", ["jwt", "shared_token"])
def test_each_limit_can_be_set_or_switched_off_whoever_is_let_in(authenticator: str) -> None:
    assert read(authenticator, **OFF) == NONE
    assert read(authenticator, MESSAGE_RATE="20").rate == Rate(20, 40)
    assert read(authenticator, MESSAGE_RATE="20", MESSAGE_BURST="5").rate == Rate(20, 5)
    assert read(authenticator, MAX_CONNECTIONS_PER_PRINCIPAL="10").max_connections == 10


def test_one_limit_switched_off_leaves_the_other() -> None:
    assert read("jwt", MESSAGE_RATE="0") == LimitSettings(ON.max_connections, None)
    assert read("jwt", MAX_CONNECTIONS_PER_PRINCIPAL="0") == LimitSettings(0, ON.rate)
    assert read("jwt", MESSAGE_BURST="500").rate == Rate(50, 500)


def test_a_stage_has_the_limits_of_its_authenticators() -> None:
    stage = {"STAGE": "prod", "TABLE_NAME": "portcullis-prod"}
    assert Settings.from_environ(stage).limits == NONE
    assert Settings.from_environ({**stage, "CONSOLE": "on"}).limits == NONE
    individual = {**stage, "AUTHENTICATORS": "api_key,ticket"}
    assert Settings.from_environ(individual).limits == ON
    assert Settings.from_environ({**individual, **OFF}).limits == NONE


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MESSAGE_RATE", "1001"),
        ("MESSAGE_RATE", "1.5"),
        ("MESSAGE_RATE", "off"),
        ("MESSAGE_BURST", "0"),
        ("MAX_CONNECTIONS_PER_PRINCIPAL", "-1"),
    ],
)
def test_what_is_no_limit_is_refused(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        read(**{variable: value})
