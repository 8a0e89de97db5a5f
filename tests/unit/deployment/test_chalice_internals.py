"""Chalice is the one this was written for, or nothing is deployed."""

from typing import Any

import chalice
import pytest

from deployment import chalice_internals
from deployment.errors import DeploymentRefused


def test_the_installed_chalice_is_the_known_one() -> None:
    chalice_internals.verify()


@pytest.mark.parametrize("version", ["1.33.9", "1.35.0", "2.0.0", "1.340.0"])
def test_another_minor_version_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(chalice, "__version__", version)
    with pytest.raises(DeploymentRefused, match=f"Chalice {version} is not supported"):
        chalice_internals.verify()


@pytest.mark.parametrize(
    ("owner", "name"),
    [(owner, name) for owner, names in chalice_internals.RELIED_ON.items() for name in names],
    ids=lambda it: str(getattr(it, "__name__", it)),
)
def test_each_name_that_is_relied_on_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    moved = type(owner.__name__, (), {other: None for other in dir(owner) if other != name})
    relied_on = {moved if it is owner else it: n for it, n in _relied_on().items()}
    monkeypatch.setattr(chalice_internals, "RELIED_ON", relied_on)
    with pytest.raises(DeploymentRefused, match=f"{owner.__name__}.{name}"):
        chalice_internals.verify()


def _relied_on() -> dict[type, tuple[str, ...]]:
    return dict(chalice_internals.RELIED_ON)


class Planner:
    def plan(self, what: str) -> str:
        return f"plan of {what}"


def test_a_method_is_wrapped_once_however_often_it_is_asked_for() -> None:
    def louder(original: Any, planner: Planner, what: str) -> str:
        return f"{original(planner, what)}!"

    for _ in range(3):
        chalice_internals.wrap(Planner, "plan", louder)
    assert Planner().plan("api") == "plan of api!"
