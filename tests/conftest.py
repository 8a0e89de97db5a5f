"""What every test can rely on: no way to AWS, none of the machine's settings, one real engine."""

import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from chalicelib.settings import known_variables
from localgateway.database import EmbeddedDatabase

_OURS = known_variables() | {name for name in os.environ if name.startswith("AWS_")}

# The same inputs each time, however slow the machine; `make search` tries those of chance.
settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "search", settings.get_profile("steady"), derandomize=False, print_blob=True
)
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def isolated_environment() -> Iterator[None]:
    """Dummy credentials, so that no test can reach AWS, and nothing the machine has set."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in _OURS:
            patch.delenv(variable, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        # A proxy is for what is elsewhere: npm's registry.
        for variable in ("no_proxy", "NO_PROXY"):
            patch.setenv(variable, "127.0.0.1,localhost", prepend=",")
        yield


@pytest.fixture(scope="session", autouse=True)
def same_inputs() -> Iterator[None]:
    """Hypothesis would draw constants of all modules that tests before have loaded."""
    with pytest.MonkeyPatch.context() as patch:
        if settings().derandomize:
            patch.setattr(providers, "_get_local_constants", Constants)
        yield


@pytest.fixture(autouse=True)
def signals_arrive() -> Iterator[None]:
    """What a test leaves blocked, every process of the next ones would not hear of."""
    yield
    assert signal.pthread_sigmask(signal.SIG_SETMASK, ()) == set()


class KeepingDatabase(EmbeddedDatabase):
    """An engine that deletes nothing by itself.

    It would each minute, by the clock on the wall, on which all has long ended that lives by the
    clocks of tests.
    """

    def create_table(self, table: Mapping[str, Any], region: str = "us-east-1") -> None:
        kept = {name: it for name, it in table.items() if name != "TimeToLiveSpecification"}
        super().create_table(kept, region)


@pytest.fixture(scope="session")
def database(isolated_environment: None) -> Iterator[EmbeddedDatabase]:
    """One DynamoDB-compatible engine for the whole run; each test makes a table of its own."""
    with KeepingDatabase.start() as database:
        yield database
