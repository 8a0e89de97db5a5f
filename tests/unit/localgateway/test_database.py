"""The embedded engine: it starts, serves on 127.0.0.1 only, and ends with its parent."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from localgateway import database
from localgateway.database import EmbeddedDatabase, create_table
from localgateway.database_process import share_names
from localgateway.engines import Engines
from localgateway.errors import StartError
from localgateway.options import Options
from tests.fakes import refusing_port

REPOSITORY = Path(__file__).parents[3]
REGION = "eu-central-1"
TABLE: dict[str, Any] = {
    "TableName": "connections",
    "AttributeDefinitions": [
        {"AttributeName": "room", "AttributeType": "S"},
        {"AttributeName": "id", "AttributeType": "S"},
    ],
    "KeySchema": [
        {"AttributeName": "room", "KeyType": "HASH"},
        {"AttributeName": "id", "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-id",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
}
INDEX = {
    "IndexName": "by-since",
    "KeySchema": [
        {"AttributeName": "room", "KeyType": "HASH"},
        {"AttributeName": "since", "KeyType": "RANGE"},
    ],
    "Projection": {"ProjectionType": "ALL"},
}
SINCE = {"AttributeName": "since", "AttributeType": "N"}
# Starts an engine, says where, and waits to be killed.
PARENT = """
import os, signal, time
from localgateway.database import EmbeddedDatabase
# Not print: the signal may come while the line below is still being printed.
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"interrupted\\n"))
with EmbeddedDatabase.start() as engine:
    print(engine.endpoint_url, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[EmbeddedDatabase]:
    with EmbeddedDatabase.start() as engine:
        yield engine


@contextmanager
def dynamodb(endpoint_url: str, region: str = REGION) -> Iterator[Any]:
    client = boto3.client(
        "dynamodb",
        endpoint_url=endpoint_url,
        region_name=region,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
    )
    try:
        yield client
    finally:
        client.close()


def table(name: str, **properties: Any) -> dict[str, Any]:
    return TABLE | {"TableName": name} | properties


def described(endpoint_url: str, name: str, region: str = REGION) -> Any:
    with dynamodb(endpoint_url, region) as client:
        return client.describe_table(TableName=name)["Table"]


def port_of(endpoint_url: str) -> int:
    port = urlsplit(endpoint_url).port
    assert port is not None
    return port


def options(**changes: Any) -> Options:
    kept: dict[str, Any] = dict.fromkeys(field.name for field in fields(Options))
    return Options(**{**kept, "database_port": 0, **changes})


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def eventually_refuses(port: int) -> bool:
    deadline = time.monotonic() + 30
    while accepts(port) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not accepts(port)


@contextmanager
def parent(
    directory: Path, *, start_new_session: bool = False
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Yield a process that has an engine, and the engine's port; it must be killed inside."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=start_new_session,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield process, port_of(process.stdout.readline().strip())
        except BaseException:
            process.kill()
            raise


def test_a_table_can_be_written_and_read(engine: EmbeddedDatabase) -> None:
    engine.create_table(table("written"), REGION)
    item = {"room": {"S": "größe"}, "id": {"S": "Qm3xTe7hoAMCKpw="}}
    with dynamodb(engine.endpoint_url) as client:
        client.put_item(TableName="written", Item=item)
        found = client.query(
            TableName="written",
            IndexName="by-id",
            KeyConditionExpression="id = :id",
            ExpressionAttributeValues={":id": item["id"]},
        )
    assert [read["room"] for read in found["Items"]] == [item["room"]]


def test_a_table_has_the_keys_and_indexes_that_were_asked_for(engine: EmbeddedDatabase) -> None:
    attributes = [*TABLE["AttributeDefinitions"], SINCE]
    properties = table("indexed", AttributeDefinitions=attributes, LocalSecondaryIndexes=[INDEX])
    engine.create_table(properties, REGION)
    made = described(engine.endpoint_url, "indexed")
    assert made["KeySchema"] == TABLE["KeySchema"]
    assert [index["IndexName"] for index in made["GlobalSecondaryIndexes"]] == ["by-id"]
    assert [index["IndexName"] for index in made["LocalSecondaryIndexes"]] == ["by-since"]


def test_what_a_local_engine_has_no_use_for_is_left_out(engine: EmbeddedDatabase) -> None:
    properties = table(
        "plain",
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        SSESpecification={"SSEEnabled": True},
        Tags=[{"Key": "team", "Value": "chat"}],
        DeletionProtectionEnabled=True,
    )
    engine.create_table(properties, REGION)
    made = described(engine.endpoint_url, "plain")
    assert made["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert not made.get("DeletionProtectionEnabled")


def test_items_expire_by_the_attribute_that_was_asked_for(engine: EmbeddedDatabase) -> None:
    ttl = {"AttributeName": "expires_at", "Enabled": True}
    engine.create_table(table("expiring", TimeToLiveSpecification=ttl), REGION)
    with dynamodb(engine.endpoint_url) as client:
        said = client.describe_time_to_live(TableName="expiring")["TimeToLiveDescription"]
    assert said == {"AttributeName": "expires_at", "TimeToLiveStatus": "ENABLED"}


def test_a_table_that_is_there_is_left_as_it_is(engine: EmbeddedDatabase) -> None:
    engine.create_table(table("twice"), REGION)
    item = {"room": {"S": "blue"}, "id": {"S": "1"}}
    with dynamodb(engine.endpoint_url) as client:
        client.put_item(TableName="twice", Item=item)
        engine.create_table(table("twice"), REGION)
        create_table(engine.endpoint_url, table("twice"), REGION)
        assert client.get_item(TableName="twice", Key=item)["Item"] == item


def test_a_table_belongs_to_its_region(engine: EmbeddedDatabase) -> None:
    engine.create_table(table("regional"), "eu-west-1")
    assert described(engine.endpoint_url, "regional", "eu-west-1")["TableName"] == "regional"
    with dynamodb(engine.endpoint_url, "us-east-1") as client:
        assert "regional" not in client.list_tables()["TableNames"]


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        pytest.param({}, "None", id="no properties"),
        pytest.param({"TableName": "keyless"}, "keyless", id="no keys"),
        pytest.param(table("a name with spaces"), "a name with spaces", id="a name that is none"),
    ],
)
def test_a_table_the_engine_refuses_is_said_with_its_name(
    engine: EmbeddedDatabase, properties: dict[str, Any], named: str
) -> None:
    with pytest.raises(StartError, match=f"^table {named}: "):
        engine.create_table(properties, REGION)


def test_an_endpoint_may_end_with_a_slash(engine: EmbeddedDatabase) -> None:
    create_table(f"{engine.endpoint_url}/", table("slashed"), REGION)
    assert described(engine.endpoint_url, "slashed")["TableName"] == "slashed"


def test_an_endpoint_nobody_listens_at_is_said() -> None:
    with refusing_port() as port:
        endpoint_url = f"http://127.0.0.1:{port}"
        with pytest.raises(StartError, match=endpoint_url):
            create_table(endpoint_url, TABLE, REGION)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH_9.7\r\n", id="no HTTP"),
        pytest.param(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\noops", id="no JSON"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", id="no object"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", id="an answer cut short"),
    ],
)
def test_an_endpoint_that_is_no_database_is_said(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(answer)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65_536):  # or closing would reset what the client still reads
                    pass

        server = threading.Thread(target=serve)
        server.start()
        try:
            endpoint_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with pytest.raises(StartError, match=endpoint_url):
                create_table(endpoint_url, TABLE, REGION)
        finally:
            server.join(30)


def test_the_engine_listens_on_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever stands in the caller's environment for another MiniStack.
    monkeypatch.setenv("BIND_HOST", "0.0.0.0")
    monkeypatch.setenv("GATEWAY_PORT", "4566")
    monkeypatch.setenv("USE_SSL", "1")
    with EmbeddedDatabase.start() as engine:
        port = port_of(engine.endpoint_url)
        assert urlsplit(engine.endpoint_url).hostname == "127.0.0.1"
        assert accepts(port)
        assert not accepts(port, "127.0.0.2")


def test_a_taken_port_is_an_error_that_says_what_to_do(engine: EmbeddedDatabase) -> None:
    port = port_of(engine.endpoint_url)
    with pytest.raises(StartError, match=rf"port {port}.*--database-port.*--database URL"):
        EmbeddedDatabase.start(port)


def test_of_two_engines_started_at_once_on_a_port_the_second_says_so() -> None:
    first = EmbeddedDatabase.start()
    try:
        port = port_of(first.endpoint_url)
        with pytest.raises(StartError, match=f"port {port}"):
            EmbeddedDatabase.start(port)
        first.wait()
    finally:
        first.stop()


def test_an_engine_that_has_ended_is_not_waited_for_by_who_connects() -> None:
    with Engines(options(database="http://127.0.0.1:1")) as engines:
        engines.wait(has_queues=True)
        assert engines.queues_url is not None
        assert engines._embedded is not None
        engines._embedded.stop()
        assert not accepts(port_of(engines.queues_url))


def test_nobody_gets_an_engines_port_before_the_engine_listens() -> None:
    engine = EmbeddedDatabase.start()
    try:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port_of(engine.endpoint_url)))
    finally:
        engine.stop()


def test_nobody_gets_the_port_of_an_engine_that_is_started_only_if_there_are_queues() -> None:
    with Engines(options(database="http://127.0.0.1:1")) as engines:
        assert engines.queues_url is not None
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port_of(engines.queues_url)))
        engines.wait(has_queues=True)
        assert accepts(port_of(engines.queues_url))


def test_an_engine_removes_its_own_directory_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where its own has gone, tempfile takes the next it can write to.
    kept = tmp_path / "kept"
    (kept / "of somebody else").mkdir(parents=True)
    monkeypatch.setattr(
        database, "_environment", lambda own: {"TMPDIR": str(own), "TEMP": str(kept)}
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    engine = EmbeddedDatabase.start()
    (own,) = set(tmp_path.iterdir()) - {kept}
    shutil.rmtree(own)
    engine.stop()
    assert (kept / "of somebody else").is_dir()


def test_a_port_is_free_again_once_its_engine_has_stopped() -> None:
    first = EmbeddedDatabase.start()
    with first:
        port = port_of(first.endpoint_url)
        first.create_table(TABLE, REGION)
    assert not accepts(port)
    with EmbeddedDatabase.start(port) as second:
        assert second.endpoint_url == first.endpoint_url
        with dynamodb(second.endpoint_url) as client:
            assert client.list_tables()["TableNames"] == []


def test_a_stopped_engine_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    engine = EmbeddedDatabase.start()
    engine.create_table(TABLE, REGION)
    assert list(tmp_path.iterdir()) != []
    engine.stop()
    assert list(tmp_path.iterdir()) == []


def test_an_engine_may_be_stopped_before_it_is_up() -> None:
    engine = EmbeddedDatabase.start()
    engine.stop()
    assert not accepts(port_of(engine.endpoint_url))


def test_an_engine_that_does_not_start_leaves_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "engine" / "database.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * 1000 + b"\xff no module named ministack\n")
    process = subprocess.Popen([sys.executable, "-c", "exit(1)"], stdin=subprocess.PIPE)
    process.wait(60)
    slept: list[float] = []
    with refusing_port() as port:
        engine = EmbeddedDatabase(process, port, log)
        try:
            with monkeypatch.context() as patch:
                patch.setattr(time, "sleep", slept.append)
                with pytest.raises(StartError, match="no module named ministack") as raised:
                    engine.wait()
            assert slept == []  # there is nothing to wait for
            assert len(str(raised.value)) < 600
        finally:
            engine.stop()
    assert process.returncode == 1


def test_an_interrupt_from_the_terminal_is_its_parents_to_handle(tmp_path: Path) -> None:
    with parent(tmp_path, start_new_session=True) as (process, port):
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "interrupted\n"
        time.sleep(0.2)
        assert accepts(port)
        process.kill()
    assert eventually_refuses(port)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_engine_ends_with_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    with parent(tmp_path) as (process, port):
        assert accepts(port)
        process.send_signal(number)
    assert eventually_refuses(port)


def test_items_share_the_names_of_their_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "_default_decoder", json.JSONDecoder())  # restored in the end
    share_names()
    text = '{"expires-at": {"N": "1"}, "nested": [{"expires-at": null}], "expires-at": 2}'
    one, two = json.loads(text), json.loads(text)
    assert one == {"expires-at": 2, "nested": [{"expires-at": None}]}
    names = [next(iter(found)) for found in (one, two, one["nested"][0])]
    assert names[0] is names[1] is names[2]
