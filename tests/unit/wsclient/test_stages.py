from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wsclient.errors import WrongInput
from wsclient.stages import LOCAL_URL, stage_url

URL = "wss://abcdef1234.execute-api.eu-west-1.amazonaws.com/api/"
# As Chalice 1.34 writes it: chalice/deploy/deployer.py, RecordResourceValue.
DEPLOYED = {
    "resources": [
        {"name": "connect", "resource_type": "lambda_function", "lambda_arn": "arn:aws:lambda:x"},
        {"name": "rest_api", "resource_type": "rest_api", "rest_api_url": "https://x/api/"},
        {"name": "websocket_api", "resource_type": "websocket_api", "websocket_api_url": URL},
    ],
    "schema_version": "2.0",
    "backend": "api",
}


def deployed(project: Path, stage: str, content: str) -> Path:
    path = project / ".chalice" / "deployed" / f"{stage}.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return path


def test_the_url_is_what_chalice_wrote_down(tmp_path: Path) -> None:
    deployed(tmp_path, "dev", json.dumps(DEPLOYED))
    assert stage_url("dev", tmp_path) == URL


def test_stage_local_is_what_make_run_serves(tmp_path: Path) -> None:
    assert stage_url("local", tmp_path) == LOCAL_URL


def test_a_stage_that_is_not_deployed_says_so(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="stage dev is not deployed from here"):
        stage_url("dev", tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"resources": [1]}',
        '{"resources": 5}',
        '{"resources": [{"resource_type": "websocket_api"}]}',
        '{"resources": [{"resource_type": "websocket_api", "websocket_api_url": "x"}]}',
    ],
)
def test_a_file_that_names_no_api_is_wrong_input(tmp_path: Path, content: Any) -> None:
    deployed(tmp_path, "dev", content)
    with pytest.raises(WrongInput):
        stage_url("dev", tmp_path)


def test_a_stage_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "evil.json").write_text(json.dumps(DEPLOYED))
    with pytest.raises(WrongInput, match="letters"):
        stage_url("../../evil", tmp_path)
