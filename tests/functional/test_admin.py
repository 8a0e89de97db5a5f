"""``python -m admin``, on a real engine: keys that are created let in, until they are revoked."""

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from admin.__main__ import main
from chalicelib.authorizers.api_key import ApiKeyAuthenticator
from chalicelib.aws import Credentials, SignedClient, Signer
from chalicelib.backoff import Backoff
from chalicelib.connection_table import DynamoDBConnectionRepository
from chalicelib.connections import EVERYONE, members
from chalicelib.credential_settings import BEARER
from chalicelib.credential_store import DynamoDBKeys
from chalicelib.dynamodb import DynamoDB
from chalicelib.errors import Unauthorized
from chalicelib.revocation_table import DynamoDBRevocations
from localgateway.database import EmbeddedDatabase
from tests.engine import make_dynamodb
from tests.factories import make_connection

_numbers = itertools.count()
FAR = 4_000_000_000.0
MANY_SCOPES = " ".join(f"join:channel:team-{number:03}" for number in range(100))

Run = Callable[..., Result]


@pytest.fixture
def table() -> str:
    return f"admin-{next(_numbers)}"


@pytest.fixture
def authenticator(database: EmbeddedDatabase, table: str) -> ApiKeyAuthenticator:
    keys = DynamoDBKeys(make_dynamodb(database, table), table)
    return ApiKeyAuthenticator(keys, (BEARER,), 7200)


@pytest.fixture
def run(
    authenticator: ApiKeyAuthenticator, database: EmbeddedDatabase, table: str, tmp_path: Path
) -> Run:
    """Run a command in a project whose stage ``dev`` has the table."""
    variables = {
        "STAGE": "dev",
        "TABLE_NAME": table,
        "DEFAULT_SCOPES": "connect",
        "AWS_ENDPOINT_URL_DYNAMODB": database.endpoint_url,
        "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": "http://127.0.0.1:9/api",
    }
    config = {
        "version": "2.0",
        "app_name": "portcullis",
        "stages": {
            "dev": {"environment_variables": variables},
            "bad": {"environment_variables": {"STAGE": "bad"}},
            "gone": {"environment_variables": {**variables, "TABLE_NAME": f"{table}-gone"}},
        },
    }
    (tmp_path / ".chalice").mkdir()
    (tmp_path / ".chalice" / "config.json").write_text(json.dumps(config))

    def run(command: str, *arguments: str, stage: str = "dev", group: str = "keys") -> Result:
        where = ("--stage", stage, "--project-dir", str(tmp_path))
        return CliRunner().invoke(main, [group, command, *where, *arguments])

    return run


def test_a_key_is_shown_once_and_lets_in(run: Run, authenticator: ApiKeyAuthenticator) -> None:
    result = run("create", "--principal", "robot")
    assert result.exit_code == 0, result.output
    (key,) = result.stdout.splitlines()
    principal = authenticator.verify(key, 0)
    assert (principal.principal_id, str(principal.scopes)) == ("robot", "connect")
    listed = run("list").stdout
    assert key.split("_")[1] in listed
    assert key.split("_", 2)[2] not in listed + result.stderr


def test_scopes_and_an_end_can_be_given(run: Run, authenticator: ApiKeyAuthenticator) -> None:
    scopes = "connect sendmessage:channel:*"
    key = run("create", "--principal", "robot", "--scopes", scopes, "--days", "1").stdout.strip()
    assert str(authenticator.verify(key, 0).scopes) == scopes
    with pytest.raises(Unauthorized, match="expired_api_key"):
        authenticator.verify(key, FAR)


def test_a_key_ends_after_as_many_days_as_were_said(
    run: Run, authenticator: ApiKeyAuthenticator
) -> None:
    before = time.time()
    key = run("create", "--principal", "robot", "--days", "7").stdout.strip()
    assert authenticator.verify(key, int(before) + 7 * 86_400 - 1)
    with pytest.raises(Unauthorized, match="expired_api_key"):
        authenticator.verify(key, time.time() + 7 * 86_400)


def test_a_revoked_key_lets_nobody_in_and_is_listed_as_such(
    run: Run, authenticator: ApiKeyAuthenticator
) -> None:
    keys = [run("create", "--principal", name).stdout.strip() for name in ("one", "two")]
    key_id = keys[0].split("_")[1]
    assert run("revoke", key_id).exit_code == 0
    with pytest.raises(Unauthorized, match="revoked_api_key"):
        authenticator.verify(keys[0], 0)
    assert authenticator.verify(keys[1], 0)
    states = {line.split("\t")[4]: line.split("\t")[1] for line in run("list").stdout.splitlines()}
    assert states == {"one": "revoked", "two": "active"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("create", "--principal", ""), "a principal is"),
        (("create", "--principal", "a\nb"), "a principal is"),
        (("create", "--principal", "a" * 129), "a principal is"),
        (("create", "--principal", "a", "--scopes", "connect openid"), "not a scope: openid"),
        (("create", "--principal", "a", "--scopes", MANY_SCOPES), "over 2048 characters"),
        (("create", "--principal", "a", "--days", "0"), "--days"),
        (("revoke", "0" * 16), "there is no key"),
        (("revoke", f"pk_{'0' * 16}_secret"), "the id of a key"),
        (("revoke", "a/b"), "the id of a key"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, arguments: tuple[str, ...], problem: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert problem in result.stderr
    assert "Traceback" not in result.output
    assert run("list").stdout == ""


@pytest.mark.parametrize(
    ("stage", "problem"),
    [
        ("prod", "config.json has no stage prod; it has dev, bad, gone"),
        ("bad", "missing environment variables: TABLE_NAME"),
        ("gone", "ResourceNotFoundException"),
    ],
)
def test_a_stage_that_is_wrong_is_named(run: Run, stage: str, problem: str) -> None:
    result = run("list", stage=stage)
    assert result.exit_code == 1
    assert problem in result.stderr


def test_the_stages_variables_win_over_this_machines(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TABLE_NAME", "of-another-stage")
    assert run("list").exit_code == 0


def test_a_directory_without_a_project_is_named(tmp_path: Path) -> None:
    where = ["--stage", "dev", "--project-dir", str(tmp_path)]
    result = CliRunner().invoke(main, ["keys", "list", *where])
    assert result.exit_code == 1
    assert "is no Chalice project" in result.stderr


@pytest.fixture
def connections(database: EmbeddedDatabase, table: str, run: Run) -> DynamoDBConnectionRepository:
    """The connections of the stage, whose gateway does not answer: nothing can be closed."""
    dynamodb = DynamoDB(signed_client(database), Backoff())
    return DynamoDBConnectionRepository(dynamodb, table, 16, 1)


def signed_client(database: EmbeddedDatabase) -> SignedClient:
    credentials = Credentials("testing", "testing")
    signer = Signer("us-east-1", "dynamodb")
    return SignedClient(database.endpoint_url, signer, lambda: credentials, time.time)


def test_a_revoked_principal_is_silent_and_kept_out_until_it_is_allowed(
    run: Run, connections: DynamoDBConnectionRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("admin.__main__.CLOSING_SECONDS", 0.1)
    revocations = DynamoDBRevocations(connections._dynamodb, connections._table)
    connections.add(make_connection("of-alice", "alice|1"))
    connections.add(make_connection("of-bob", "bob"))
    before = time.time()
    result = run("revoke", "alice|1", group="principals")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "alice|1 is revoked; 0 connections were closed.\n1 more are silent" in result.stderr
    assert [it.connection_id for it in members(connections, EVERYONE, 1)] == ["of-bob"]
    assert (revocations.not_before("alice|1") or 0) >= before
    assert run("allow", "alice|1", group="principals").exit_code == 0
    assert revocations.not_before("alice|1") is None


@pytest.mark.parametrize("command", ["revoke", "allow"])
@pytest.mark.parametrize("name", ["", "a\nb", "a" * 129])
def test_what_is_no_principal_is_refused(run: Run, command: str, name: str) -> None:
    result = run(command, name, group="principals")
    assert result.exit_code != 0
    assert "a principal is" in result.stderr
