"""An id that looks like an option is an id."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from wsclient.admin_commands import admin
from wsclient.connection_ids import with_ids_last

ID = "-y4CSp4VNQQEpIM="
VALUED = {"--token", "--http"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([ID], ["--", ID]),
        ([ID, "--token", "t"], ["--token", "t", "--", ID]),
        (["--token", ID, "a="], ["--token", ID, "a="]),
        (["--ask-token", ID], ["--ask-token", "--", ID]),
        (["--", ID], ["--", ID]),
        (["L0SM9cOFvHcCIhw="], ["L0SM9cOFvHcCIhw="]),
        (["--token=abc"], ["--token=abc"]),
        (["-h"], ["-h"]),
        ([], []),
    ],
)
def test_an_id_is_put_where_no_options_are_looked_for(
    words: list[str], expected: list[str]
) -> None:
    assert with_ids_last(words, VALUED) == expected


@pytest.mark.parametrize("command", ["show", "disconnect"])
@pytest.mark.parametrize("name", [ID, "-h4CSp4VNQQEpIM=", "--CSp4VNQQEpIM=="])
def test_the_commands_take_such_ids(command: str, name: str) -> None:
    done = CliRunner().invoke(admin, [command, name, "--http", "nowhere", "--token", "t"], obj={})
    assert "No such option" not in done.output
    assert "Usage" not in done.output
    assert done.exception is not None
    assert "nowhere" in str(done.exception) or "URL" in str(done.exception)
