"""The authorizer decides on a token whose key it knows within a millisecond of CPU."""

from __future__ import annotations

from benchmarks import decisions
from benchmarks.parameters import Parameters

MOST_MILLISECONDS = 1.0


def test_a_decision_takes_less_than_a_millisecond_of_cpu() -> None:
    found = decisions.measure(Parameters(repeat=1))
    assert found.keys() == {"RS256", "ES256", "EdDSA"}
    costs = {algorithm: figures["cpu_ms"]["min"] for algorithm, figures in found.items()}
    assert max(costs.values()) < MOST_MILLISECONDS, costs
