"""``GET /`` through Chalice's test client, and which stages have it."""

from __future__ import annotations

import json

import pytest
from chalice.test import Client

import app as app_module
from chalicelib import bootstrap
from chalicelib.settings import Settings
from tests.chalice_project import ROOT
from tests.factories import make_settings

STAGES = json.loads((ROOT / ".chalice" / "config.json").read_text())["stages"]


def test_a_stage_with_the_console_serves_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "settings", lambda: make_settings(console=True))
    response = Client(app_module.app).http.get("/")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.body.startswith(b"<!doctype html>")
    assert response.body.rstrip().endswith(b"</html>")


def test_a_stage_without_it_has_nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "settings", make_settings)
    response = Client(app_module.app).http.get("/")
    assert response.status_code == 404
    assert response.json_body == {
        "error": {"code": "not_found", "message": "This stage has no console."}
    }


@pytest.mark.parametrize(("stage", "is_on"), [("local", True), ("dev", True), ("prod", False)])
def test_it_is_on_where_one_tries_things_out(stage: str, is_on: bool) -> None:
    settings = Settings.from_environ(STAGES[stage]["environment_variables"])
    assert settings.console is is_on
    assert ("ticket" in settings.authenticators) is is_on, "a browser needs tickets"
