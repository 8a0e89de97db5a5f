"""What the doctor sees of an HTTP API's stage, on an emulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from deployment import aws_calls
from deployment.doctor.collect import Collector
from deployment.doctor.snapshot import UNSEEN
from tests.contract.test_observability_calls import AwsClient
from tests.emulator import Emulator
from tests.unit.deployment.stages import make_expected

VARIABLES = {"StageVar1": "stageValue1"}
RECORDED = {"rest_api": {"rest_api_id": "gone1"}}


class Session:
    """botocore's session, of the emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self.create_client = emulator.client

    def get_config_variable(self, name: str) -> str:
        return "us-east-1"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


def seen(emulator: Emulator, **changes: Any) -> Any:
    """Return the variables the doctor sees of the HTTP API named parrot."""
    routes = {"parrot-dev-websocket_message": ["api/GET/health"]}
    expected = replace(make_expected(), rest_permissions=routes, **changes)
    return Collector(Session(emulator), expected).collect().http_stage_variables


def test_the_stages_variables_are_seen_and_that_it_is_not_there(emulator: Emulator) -> None:
    assert seen(emulator) is UNSEEN
    client = emulator.client("apigateway")
    api_id = client.create_rest_api(name="parrot")["id"]
    assert seen(emulator) is None
    for variables in (VARIABLES, {}):
        aws_calls.publish_rest_api(AwsClient(emulator), api_id, "api", False, variables)
        assert seen(emulator) == variables
    assert seen(emulator, rest_stage=None) is UNSEEN
    assert seen(emulator, deployed=RECORDED) is None
