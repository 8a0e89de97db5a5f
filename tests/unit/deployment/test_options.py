"""Options are read with a stage's values first, and what is wrong with them is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from deployment.errors import DeploymentRefused
from deployment.options import Options, parse, read


def test_all_that_costs_is_off_by_default() -> None:
    options = parse({})
    assert [options.alarms, options.dashboard, options.access_logs] == [False] * 3


def test_a_stages_options_win_one_by_one(tmp_path: Path) -> None:
    config = {
        "deployment": {"alarms": True, "throttling_burst_limit": 5},
        "stages": {"dev": {"deployment": {"alarms": False}}, "prod": {}},
    }
    (tmp_path / ".chalice").mkdir()
    (tmp_path / ".chalice" / "config.json").write_text(json.dumps(config))
    assert read(str(tmp_path), "dev") == Options(throttling_burst_limit=5)
    assert read(str(tmp_path), "prod") == Options(throttling_burst_limit=5, alarms=True)
    assert read(str(tmp_path), "unheard-of") == read(str(tmp_path), "prod")


@pytest.mark.parametrize(
    "values",
    [
        {"alarm": True},
        {"alarms": "yes"},
        {"alarms": 1},
        {"throttling_rate_limit": 0},
        {"throttling_rate_limit": True},
        {"throttling_burst_limit": 1.5},
        {"throttling_burst_limit": -1},
        {"alarm_topic": "topic"},
        {"access_log_retention_days": "14"},
        {"own_variables": "STAGE_URL"},
        {"own_variables": [1]},
    ],
    ids=str,
)
def test_what_is_wrong_is_named(values: dict[str, Any]) -> None:
    with pytest.raises(DeploymentRefused, match=next(iter(values))):
        parse(values)


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(DeploymentRefused, match=r"alarm is not .*dashboard cannot be 1"):
        parse({"alarm": True, "dashboard": 1})


def test_right_values_are_taken() -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:alarms"
    assert parse({"throttling_rate_limit": 5, "alarm_topic": topic}) == Options(
        throttling_rate_limit=5, alarm_topic=topic
    )
    assert parse({"own_variables": ["STAGE_URL"]}).own_variables == ["STAGE_URL"]
