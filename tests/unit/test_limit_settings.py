"""What can be set about limits."""

import pytest

from chalicelib.environment import Reader
from chalicelib.errors import ConfigurationError
from chalicelib.limit_settings import LimitSettings, read_limits
from chalicelib.rates import Rate


def read(**variables: str) -> LimitSettings:
    reader = Reader(variables)
    limits = read_limits(reader)
    reader.finish()
    return limits


def test_nothing_is_limited_by_default() -> None:
    assert read() == read(MESSAGE_RATE="0", MAX_CONNECTIONS_PER_PRINCIPAL="0") == LimitSettings()


def test_a_burst_is_twice_the_rate_unless_it_is_set() -> None:
    assert read(MESSAGE_RATE="20").rate == Rate(20, 40)
    assert read(MESSAGE_RATE="20", MESSAGE_BURST="5").rate == Rate(20, 5)
    assert read(MAX_CONNECTIONS_PER_PRINCIPAL="10").max_connections == 10


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MESSAGE_RATE", "1001"),
        ("MESSAGE_RATE", "1.5"),
        ("MESSAGE_BURST", "0"),
        ("MAX_CONNECTIONS_PER_PRINCIPAL", "-1"),
    ],
)
def test_what_is_no_limit_is_refused(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        read(**{variable: value})
