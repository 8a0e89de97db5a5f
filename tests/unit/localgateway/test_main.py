"""What ``python -m localgateway`` does to its process before it starts."""

from __future__ import annotations

import resource

import pytest

from localgateway import __main__ as command

Range = tuple[int, int]
UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        pytest.param((1024, 524_288), (65_536, 524_288), id="as on Linux"),
        pytest.param((256, UNLIMITED), (65_536, UNLIMITED), id="as on macOS"),
        pytest.param((1024, 4096), (4096, 4096), id="as far as it is allowed"),
        pytest.param((100_000, 524_288), (100_000, 524_288), id="never lowered"),
    ],
)
def test_every_connection_may_have_its_file(
    limits: Range, wanted: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to: list[Range] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, limits: set_to.append(limits))
    command._raise_file_limit()
    assert set_to == [wanted]


@pytest.mark.parametrize("refusal", [ValueError("over the maximum"), OSError(22, "invalid")])
def test_a_system_that_refuses_more_files_is_no_hindrance(
    refusal: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_kind: int, _limits: Range) -> None:
        raise refusal

    monkeypatch.setattr(resource, "setrlimit", refuse)
    command._raise_file_limit()
