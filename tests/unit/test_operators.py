"""What is asked over HTTP ends while API Gateway still waits for it."""

import json
from typing import Any

import pytest

from chalicelib.http_requests import Call
from chalicelib.idempotency import LEASE_SECONDS
from chalicelib.operators import revoke
from chalicelib.revocation import Revoked

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
LONGEST_ANSWER = 29


@pytest.mark.parametrize(("seconds", "given"), [(25.0, 12.0), (4.0, 2.0)])
def test_revoking_closes_for_a_part_of_the_time_there_is(seconds: float, given: float) -> None:
    asked = []

    class Revoker:
        def revoke(self, principal_id: str, seconds: float) -> Revoked:
            asked.append((principal_id, seconds))
            return Revoked(principal_id, 1, 2, 3)

    revoker: Any = Revoker()
    body = json.dumps({"principal": "mallory"}).encode()
    answer = revoke(revoker, Call("POST/principals/revoke", body=body, seconds=seconds))
    assert asked == [("mallory", given)]
    assert answer.body == {"principal": "mallory", "notBefore": 1, "closed": 2, "left": 3}


def test_a_request_that_runs_keeps_its_key_for_as_long_as_anybody_waits() -> None:
    assert LEASE_SECONDS > LONGEST_ANSWER
