"""docs/deployment.md, and the README's short form of it, pasted into a shell line by line.

An emulator plays AWS, and AWS's own command line speaks to it. It refuses names and parameters that
are wrong; what IAM would allow it does not ask, nor for a stack's capabilities.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from deployment.local_emulator import LocalEmulator
from tests.cloudformation import without_deployment
from tests.documents.commands import Command, commands, transcripts
from tests.documents.reader import BUCKET, Claim, Reader, ends_well, say
from tests.documents.recorder import Recorder
from tests.documents.terminal import Ran

pytestmark = pytest.mark.wscat

PAGE = "docs/deployment.md"
PROGRAM = ["-P", str(Path(__file__).parent / "emulator_process.py")]
DEPLOY = commands(PAGE, "Deploy")
IN_SHORT = commands("README.md", "Deploy")
CLOUDFORMATION = commands(PAGE, "Deploy with CloudFormation")
OPTIONS = commands(PAGE, "Options")
SECRETS = (*commands(PAGE, "Create the token"), *commands(PAGE, "Rotate it"))
TROUBLE = commands(PAGE, "When something is wrong")
ON_AWS = commands(PAGE, "What only AWS can show")
TRANSCRIPTS = transcripts(PAGE)
RUNS = (*DEPLOY, *IN_SHORT, *CLOUDFORMATION, *OPTIONS, *SECRETS, *TROUBLE, *ON_AWS, *TRANSCRIPTS)

# MiniStack has no such call; the rest of the pages' calls it has.
NOT_EMULATED = {"aws logs test-metric-filter": "TestMetricFilter"}
# An authorizer that refuses is answered so by MiniStack, and with 401 by API Gateway.
REFUSED = "500"


def refused(ran: Ran, _before: str) -> bool:
    return f"Unexpected server response: {REFUSED}" in ran.output


def connected(ran: Ran, _before: str) -> bool:
    return "Connected" in ran.output


CLAIMS: Mapping[str, Claim] = {
    "401": refused,
    "401; a 500 would be a deviation to know of": refused,
    "Connected; then paste:": lambda ran, _: r'"message":"it' in ran.output,
    "Connected; end it with Ctrl-C": connected,
    "nowhere AccessDenied: the role suffices": lambda ran, _: "AccessDenied" not in ran.output,
    "the same": lambda ran, before: ran.code == 0 and ran.output == before,
    "another; wscat still answers": lambda ran, before: ran.code == 0 and ran.output != before,
    "detached from $connect": lambda ran, _: "is detached from $connect" in ran.output,
    "after a minute: lines of JSON": ends_well,
    "nothing of stage dev": lambda ran, _: ran.code == 0 and "portcullis-dev" not in ran.output,
}


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with LocalEmulator(os.environ, program=PROGRAM) as emulator, Reader(emulator, tmp_path) as it:
        yield it


def test_a_reader_gets_from_a_clone_to_a_connected_client(reader: Reader) -> None:
    in_full = [command.text for command in DEPLOY]
    assert [command.text for command in IN_SHORT] == in_full[: len(IN_SHORT)]
    reader.follow(DEPLOY, CLAIMS)
    reader.follow(TROUBLE, CLAIMS)


def test_a_token_is_created_read_and_rotated(reader: Reader) -> None:
    versions = []
    for command in SECRETS:
        reader.follow([command], CLAIMS)
        versions += re.findall(r'"Version": (\d+)', reader.shown(command))
    assert versions == ["1", "2"]


def switch_on(reader: Reader, *options: str) -> None:
    file = reader.checkout / ".chalice" / "config.json"
    config = json.loads(file.read_text())
    config["stages"]["dev"]["deployment"] = dict.fromkeys(options, True)
    file.write_text(json.dumps(config))


def until(text: str, of: Sequence[Command]) -> tuple[Sequence[Command], Sequence[Command]]:
    """Split commands before the one that begins so."""
    (index,) = [number for number, it in enumerate(of) if it.text.startswith(text)]
    return of[:index], of[index:]


def test_what_only_aws_can_show_is_asked_by_commands_that_work(reader: Reader) -> None:
    first, (loop, *following) = until("while ", ON_AWS)
    repeated, rest = until("ROUTE=", following)
    broken, (metric_filter, *last) = until("aws logs test-metric-filter", rest)
    reader.follow(first, CLAIMS)
    with reader.open() as client, reader.open() as other:
        url = reader.emulator.websocket_url(reader.api_id() or "", "api")
        for terminal in (client, other):
            terminal.run(f"URL={url} TOKEN={reader.value('TOKEN')}")
        client.paste('npx wscat -c $URL -H "token:$TOKEN"')
        client.wait_for("Connected", 600)
        other.paste(loop.text)
        reader.follow(repeated, CLAIMS)
        assert '"reply"' in say(client, '{"action": "whoami"}')
        shown = other.wait_for(r"(.*refused with.*\n){10}")
        attempts = shown[: shown.rindex("\n")].splitlines()  # the next may be half there
    assert {it for it in attempts if f"refused with {REFUSED}" not in it} == set()
    reader.follow(broken, CLAIMS)
    asked(reader, metric_filter)
    reader.follow(OPTIONS, CLAIMS)
    switch_on(reader, "alarms", "dashboard", "access_logs")
    reader.follow(last, CLAIMS)


def asked(reader: Reader, command: Command) -> None:
    """Run a command whose call the emulator lacks, against what only writes it down."""
    (operation,) = (it for name, it in NOT_EMULATED.items() if command.text.startswith(name))
    assert f"Unknown action: {operation}" in reader.paste(command).output
    with Recorder() as recorder:
        there = f"AWS_ENDPOINT_URL={recorder.url} {command.text}"
        assert reader.terminal.run(there).code == 0
        assert [name for name, _ in recorder.calls] == [operation]


# What the emulator's CloudFormation leaves out of a stage, and that it knows no deployments.
LEFT_OUT = ("stage: ", "tables: table portcullis-prod keeps what has expired: TTL is off")


def test_a_stack_is_packaged_and_deployed_and_once_more(reader: Reader) -> None:
    reader.emulator.client("s3").create_bucket(Bucket=BUCKET)
    reader.terminal.run(SECRETS[0].text.replace("/dev/", "/prod/"))
    packaging, deploying = until("aws cloudformation deploy", CLOUDFORMATION)
    for _ in range(2):
        reader.follow(packaging, CLAIMS)
        template = reader.checkout / "out" / "packaged.yaml"
        packaged = yaml.safe_load(template.read_text())
        template.write_text(json.dumps(without_deployment(packaged)))
        reader.follow(deploying, CLAIMS)
        doctor = reader.terminal.run("make doctor STAGE=prod").output
        problems = re.findall(r"^problem +(.*)$", doctor, re.MULTILINE)
        assert [it for it in problems if not it.startswith(LEFT_OUT)] == []
        assert "ok       roles: as it should be" in doctor
        reader.terminal.run("echo >> chalicelib/mapping_templates/sendmessage.vtl")


def test_the_transcripts_are_what_is_printed_today(reader: Reader) -> None:
    local, doctor = TRANSCRIPTS
    assert alike(reader.terminal.run(local.text).output) == alike("\n".join(local.output))
    reader.follow(DEPLOY[:2], CLAIMS)
    assert alike(reader.terminal.run(doctor.text).output) == alike("\n".join(doctor.output))


def alike(output: str) -> list[str]:
    """Return lines with what differs from run to run put out of sight."""
    output = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", output)
    output = re.sub(r"\b[0-9a-f]{8}(?=\.execute-api|/api)", "API_ID", output)
    output = re.sub(r'"messageId":"[^"]*"', '"messageId":""', output)
    output = re.sub(r'"sentAt":\d+', '"sentAt":0', output)
    output = re.sub(r"Compiled \d+ modules for python3\.\d+", "Compiled", output)
    return output.strip().splitlines()
