"""Calls that came too soon are repeated; faults that stay are not."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from deployment.patience import DELAYS, Patient

CONCURRENT = ("ConflictException", "Unable to complete operation due to concurrent modification.")
TOO_MANY = ("TooManyRequestsException", "Rate exceeded")


class Busy:
    """A client that refuses a number of calls."""

    exceptions = object()
    meta = "meta"

    def __init__(self, refusals: int, code: str, message: str) -> None:
        self.refusals = refusals
        self.calls = 0
        self._error = ClientError({"Error": {"Code": code, "Message": message}}, "CreateRoute")

    def create_route(self, **parameters: Any) -> dict[str, Any]:
        self.calls += 1
        if self.calls <= self.refusals:
            raise self._error
        return parameters


@pytest.mark.parametrize("error", [CONCURRENT, TOO_MANY])
def test_a_call_that_came_too_soon_is_repeated(error: tuple[str, str]) -> None:
    slept: list[float] = []
    client = Patient(Busy(2, *error), slept.append)
    assert client.create_route(ApiId="abc") == {"ApiId": "abc"}
    assert slept == list(DELAYS[:2])


@pytest.mark.parametrize("error", [CONCURRENT, TOO_MANY])
def test_patience_ends(error: tuple[str, str]) -> None:
    slept: list[float] = []
    busy = Busy(100, *error)
    with pytest.raises(ClientError, match=error[0]):
        Patient(busy, slept.append).create_route()
    assert busy.calls == len(DELAYS) + 1
    assert sum(slept) > 5  # one deployment in five seconds is what an account has


@pytest.mark.parametrize(
    "error", [("ConflictException", "there is such a route"), ("BadRequestException", "")]
)
def test_a_fault_that_stays_is_not_repeated(error: tuple[str, str]) -> None:
    busy = Busy(1, *error)
    with pytest.raises(ClientError):
        Patient(busy, lambda _: None).create_route()
    assert busy.calls == 1


def test_what_is_no_operation_is_the_clients_own() -> None:
    client = Patient(Busy(0, *TOO_MANY))
    assert (client.exceptions, client.meta) == (Busy.exceptions, "meta")
