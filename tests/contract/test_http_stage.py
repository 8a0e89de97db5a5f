"""The stage of the HTTP API on an emulator: its variables come, change and go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deployment import aws_calls
from tests.contract.test_observability_calls import AwsClient
from tests.emulator import Emulator


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator("apigateway") as running:
        yield running


def test_a_stage_has_the_variables_it_was_published_with_last(emulator: Emulator) -> None:
    client = emulator.client("apigateway")
    api_id = client.create_rest_api(name="orders")["id"]
    rounds: list[dict[str, str]] = [
        {"StageVar1": "stageValue1", "colour": "red"},
        {"StageVar1": "stageValue1", "colour": "red"},
        {"StageVar1": "a-b.c_~:/?#&=,", "size": "7"},
        {},
    ]
    found = []
    for variables in rounds:
        aws_calls.publish_rest_api(AwsClient(emulator), api_id, "api", False, variables)
        found.append(client.get_stage(restApiId=api_id, stageName="api")["variables"])
    assert found == rounds
    deployments = client.get_deployments(restApiId=api_id)["items"]
    assert len(deployments) == len(rounds)
    stage = client.get_stage(restApiId=api_id, stageName="api")
    assert stage["deploymentId"] in {it["id"] for it in deployments}
