"""Cedar policies: what they permit, and that all else is denied."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chalicelib import bootstrap
from chalicelib.cedar import CedarPolicies
from chalicelib.connections import Audience
from chalicelib.errors import ConfigurationError
from chalicelib.scopes import Scopes

ROOT = Path(__file__).parents[2]
(OF_THE_PAGE,) = re.findall(
    r"```\n(permit.*?)```", (ROOT / "docs" / "authorizers.md").read_text(), flags=re.DOTALL
)
SCOPES = Scopes.parse("connect sendmessage")


def allow(text: str, principal_id: str, action: str, audience: str) -> bool:
    return CedarPolicies(text).allow(principal_id, action, Audience.parse(audience), SCOPES)


@pytest.mark.parametrize(
    ("principal_id", "action", "audience", "allowed"),
    [
        ("bob", "sendmessage", "everyone", True),
        ("bob", "join", "channel:news", True),
        ("bob", "join", "channel:staff-news", False),
        ("bob", "sendmessage", "channel:staff-news", False),
        ("alice", "join", "channel:staff-news", True),
        ("alice", "sendmessage", "channel:staff-news", False),
        ("alice", "join", "channel:staff-other", False),
        ("bob", "publish", "channel:news", True),
        ("bob", "publish", "channel:staff-news", False),
        ("alice", "publish", "channel:staff-news", False),
        ("billing", "publish", "channel:staff-news", True),
        ("billing", "sendmessage", "channel:staff-news", False),
    ],
)
def test_the_policies_of_the_page_mean_what_it_says(
    principal_id: str, action: str, audience: str, allowed: bool
) -> None:
    assert allow(OF_THE_PAGE, principal_id, action, audience) == allowed


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("", False),
        ("permit(principal, action, resource);", True),
        ("permit(principal, action, resource); forbid(principal, action, resource);", False),
        ('permit(principal, action, resource) when { context.scopes.contains("connect") };', True),
        ('permit(principal, action, resource) when { context.scopes.contains("admin") };', False),
        ('permit(principal, action, resource) when { context.nothing == "a" };', False),
        # One that cannot be told might have been a forbid.
        (
            "permit(principal, action, resource);"
            'forbid(principal, action, resource) when { context.nothing == "a" };',
            False,
        ),
    ],
)
def test_what_no_policy_permits_or_cannot_be_told_is_denied(text: str, allowed: bool) -> None:
    assert allow(text, "alice", "join", "channel:news") == allowed


@pytest.mark.parametrize(
    "name",
    ['a"b', "a\\", 'a" == Principal::"root', "\\u{61}", "é\u2603", "o'brien", "a\nb", "a\0", "*"],
)
def test_a_name_is_nothing_but_a_name(name: str) -> None:
    assert not allow(
        'permit(principal == Principal::"a", action, resource);', name, "join", "everyone"
    )
    written = name.replace("\\", "\\\\").replace('"', '\\"').replace("\0", "\\0")
    own = f'permit(principal == Principal::"{written}", action, resource);'
    assert allow(own, name, "join", "everyone")


def test_an_audience_may_have_any_name_a_principal_has() -> None:
    own = 'permit(principal, action, resource) when { context.name like "o\'b*" };'
    assert allow(own, "bob", "publish", "principal:o'brien")
    assert not allow(own, "bob", "publish", "principal:obrien")


def test_what_is_no_cedar_lets_nobody_do_anything() -> None:
    with pytest.raises(ConfigurationError, match="CEDAR_POLICIES"):
        CedarPolicies("permit(")


def test_policies_are_a_file_of_the_package_or_none() -> None:
    assert bootstrap.cedar_policies(None) is None
    with pytest.raises(ConfigurationError, match="no file"):
        bootstrap.cedar_policies("chalicelib/none.cedar")


def test_a_package_without_cedar_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "chalicelib.cedar")
    monkeypatch.setitem(sys.modules, "cedarpy", None)
    with pytest.raises(ConfigurationError, match=r"cedarpy in requirements\.txt"):
        bootstrap.cedar_policies("tests/policies/staff.cedar")


def test_who_has_no_policies_needs_nothing_to_read_them() -> None:
    script = (
        "import sys, app; app.bootstrap.services().router('a', 'b', 1.0); "
        "print('cedarpy' in sys.modules)"
    )
    stage = {"STAGE": "local", "TABLE_NAME": "portcullis-local", "AWS_DEFAULT_REGION": "us-east-1"}
    completed = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, **stage},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (completed.stdout, completed.stderr) == ("False\n", "")
