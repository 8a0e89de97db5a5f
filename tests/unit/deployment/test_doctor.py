"""The doctor's checks: each broken stage gets exactly the complaint that fits it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from deployment import observability
from deployment.doctor import report
from deployment.doctor.expected import Expected
from deployment.doctor.findings import Level
from deployment.doctor.snapshot import UNSEEN, Denied, Role, Snapshot, StoredSecret, Table
from tests.unit.deployment.blueprints import FUNCTIONS
from tests.unit.deployment.stages import (
    API_ID,
    AUTHORIZER_ID,
    healthy,
    invocation_uri,
    make_expected,
    statement,
)

TODAY = date(2026, 11, 20)
Break = Callable[[Snapshot], None]
OF_CONNECT = "/aws/lambda/parrot-dev-websocket_connect"
API_ARN = f"arn:aws:execute-api:eu-west-1:111122223333:{API_ID}"


def said(found: Snapshot, expected: Expected | None = None) -> list[str]:
    """Return what is wrong, unseen or to be warned of: the check, then the message."""
    findings = report.findings(expected or make_expected(), found, TODAY)
    quiet = {Level.OK, Level.NOTE}
    return [f"{it.check}: {it.message}" for it in findings if it.level not in quiet]


def stage_set(**settings: Any) -> Break:
    def change(found: Snapshot) -> None:
        assert found.stages is not None
        found.stages = [{**found.stages[0], **settings}]

    return change


def route_set(route_key: str, **settings: Any) -> Break:
    def change(found: Snapshot) -> None:
        assert found.routes is not None
        found.routes = [
            {**it, **settings} if it["RouteKey"] == route_key else it for it in found.routes
        ]

    return change


def integration_set(integration_id: str, **settings: Any) -> Break:
    def change(found: Snapshot) -> None:
        assert found.integrations is not None
        found.integrations = [
            {**it, **settings} if it["IntegrationId"] == integration_id else it
            for it in found.integrations
        ]

    return change


def authorizer_set(**settings: Any) -> Break:
    def change(found: Snapshot) -> None:
        assert found.authorizers is not None
        found.authorizers = [{**found.authorizers[0], **settings}]

    return change


def connect_set(**settings: Any) -> Break:
    def change(found: Snapshot) -> None:
        configuration = found.functions["websocket_connect"]
        assert configuration is not None
        found.functions["websocket_connect"] = {**configuration, **settings}

    return change


def permitted(function: str, *statements: dict[str, Any]) -> Break:
    def change(found: Snapshot) -> None:
        found.permissions[function] = [*found.permissions[function], *statements]

    return change


def allowed(*statements: dict[str, Any], instead: bool = False) -> Break:
    def change(found: Snapshot) -> None:
        role = found.roles["websocket_connect"]
        assert role is not None
        present = [] if instead else role.inline["policy"]["Statement"]
        found.roles["websocket_connect"] = Role({"policy": {"Statement": [*present, *statements]}})

    return change


def put(attribute: str, value: Any, key: str | None = None) -> Break:
    def change(found: Snapshot) -> None:
        if key is None:
            setattr(found, attribute, value)
        else:
            getattr(found, attribute)[key] = value

    return change


def without(attribute: str, name: str, key: str) -> Break:
    def change(found: Snapshot) -> None:
        kept = [it for it in getattr(found, attribute) if it[key] != name]
        setattr(found, attribute, kept)

    return change


KEY = [{"AttributeName": "pk", "KeyType": "HASH"}]
ANOTHER_KEY = [{"AttributeName": "id", "KeyType": "HASH"}]
OLD = "stage: it is on an old deployment, or one that was not made here: clients do not get what "
OLD += "is defined now"
SCAN = {"Effect": "Allow", "Action": "dynamodb:Scan", "Resource": "*"}
BROKEN: dict[str, tuple[Break, list[str]]] = {
    "a second API": (
        lambda found: setattr(found, "apis", [*(found.apis or []), {"ApiId": "api0"}]),
        ["api: there are 2 WebSocket APIs named parrot-dev-websocket-api: api0, api1"],
    ),
    "routes selected otherwise": (
        put("api", {"ApiId": API_ID, "RouteSelectionExpression": "$request.body.route"}),
        ["api: routes are selected by $request.body.route, not $request.body.action"],
    ),
    "a detached authorizer": (
        route_set("$connect", AuthorizationType="NONE", AuthorizerId=None),
        [
            "authorizer: the authorizer is detached from $connect: as soon as somebody publishes "
            "the API it is open, if it is not open now"
        ],
    ),
    "a second authorizer on $connect": (
        route_set("$connect", AuthorizerId="another"),
        ["authorizer: $connect asks another authorizer"],
    ),
    "an authorizer of another function": (
        authorizer_set(AuthorizerUri=invocation_uri("websocket_message")),
        ["authorizer: it asks another function than websocket_authorizer"],
    ),
    "an authorizer of another type": (
        authorizer_set(AuthorizerType="JWT"),
        ["authorizer: it is not of type REQUEST"],
    ),
    "other identity sources": (
        authorizer_set(IdentitySource=[]),
        ["authorizer: its identity sources are none, not route.request.header.token"],
    ),
    "a missing route": (
        without("routes", "sendmessage", "RouteKey"),
        ["routes: route sendmessage is missing"],
    ),
    "a stale route": (
        lambda found: setattr(found, "routes", [*(found.routes or []), {"RouteKey": "old"}]),
        ["routes: route old is not in the definition"],
    ),
    "a route to nowhere": (
        without("integrations", "sendmessage", "IntegrationId"),
        ["routes: route sendmessage leads nowhere: it has no integration"],
    ),
    "a route to another function": (
        integration_set("sendmessage", IntegrationUri=invocation_uri("websocket_connect")),
        ["routes: route sendmessage invokes another function than websocket_message"],
    ),
    "another mapping template": (
        integration_set("sendmessage", RequestTemplates={"application/json": "{ }"}),
        ["routes: route sendmessage has another mapping template"],
    ),
    "another type of integration": (
        integration_set("sendmessage", IntegrationType="AWS_PROXY"),
        ["routes: route sendmessage is not of type AWS"],
    ),
    "no stage": (put("stages", []), ["stage: stage api is missing: nobody can connect"]),
    "a second stage": (
        lambda found: setattr(found, "stages", [*(found.stages or []), {"StageName": "test"}]),
        ["stage: there is a stage test too, which may publish an open state of the API"],
    ),
    "AutoDeploy": (
        stage_set(AutoDeploy=True),
        ["stage: AutoDeploy is on: every half-made change is published at once"],
    ),
    "an old deployment": (put("deployment", {"Description": "content 0"}), [OLD]),
    "no deployment": (put("deployment", None), [OLD]),
    "another stage variable": (
        stage_set(StageVariables={"StageVar1": "other", "size": "1"}),
        ["stage: stage variables differ: StageVar1, size"],
    ),
    "other throttling": (
        stage_set(DefaultRouteSettings={"ThrottlingRateLimit": 5.0, "ThrottlingBurstLimit": 2000}),
        ["stage: ThrottlingRateLimit is 5.0, not 1000.0"],
    ),
    "throttling of one route": (
        stage_set(RouteSettings={"$connect": {"ThrottlingRateLimit": 1.0}}),
        ["stage: route $connect has settings of its own"],
    ),
    "a missing function": (
        put("functions", None, "websocket_connect"),
        ["functions: function parrot-dev-websocket_connect is missing"],
    ),
    "other variables": (
        connect_set(Environment={"Variables": {"STAGE": "prod", "EXTRA": "1"}}),
        [
            "functions: parrot-dev-websocket_connect: variable TOKEN_PARAMETER is missing",
            "functions: parrot-dev-websocket_connect: variable EXTRA is not in config.json",
            "functions: parrot-dev-websocket_connect: variable STAGE has another value",
        ],
    ),
    "other memory": (
        connect_set(MemorySize=128),
        ["functions: parrot-dev-websocket_connect: MemorySize is 128, not 256"],
    ),
    "too much time": (
        connect_set(Timeout=29),
        [
            "functions: parrot-dev-websocket_connect: Timeout is 29, not 10",
            "functions: parrot-dev-websocket_connect may run 29 s, but API Gateway gives it up "
            "after 29: a fault would look like a slow network",
        ],
    ),
    "a deprecated runtime": (
        connect_set(Runtime="python3.10"),
        [
            "functions: parrot-dev-websocket_connect: python3.10 is deprecated since 2026-10-31",
        ],
    ),
    "no permission": (
        put("permissions", [], "websocket_authorizer"),
        [
            "permissions: parrot-dev-websocket_authorizer may not be invoked by "
            f"{API_ARN}/authorizers/{AUTHORIZER_ID}"
        ],
    ),
    "any route may invoke": (
        permitted("websocket_connect", statement("*")),
        [f"permissions: parrot-dev-websocket_connect may be invoked by {API_ARN}/* too"],
    ),
    "anyone may invoke": (
        permitted(
            "websocket_connect",
            {"Sid": "x", "Effect": "Allow", "Principal": "*", "SourceArn": None},
        ),
        ["permissions: parrot-dev-websocket_connect may be invoked by anyone"],
    ),
    "any API may invoke": (
        permitted(
            "websocket_connect",
            {
                "Effect": "Allow",
                "Principal": {"Service": "apigateway.amazonaws.com"},
                "SourceArn": None,
            },
        ),
        [
            "permissions: parrot-dev-websocket_connect may be invoked by any customer of "
            "apigateway.amazonaws.com"
        ],
    ),
    "a wide role": (
        allowed(SCAN),
        ["roles: parrot-dev-websocket_connect: its role is too wide: dynamodb:Scan on *"],
    ),
    "a role that denies": (
        allowed({**SCAN, "Effect": "Deny"}),
        ["roles: parrot-dev-websocket_connect: its role is too wide: Deny dynamodb:Scan on *"],
    ),
    "a managed policy": (
        lambda found: found.roles.update(
            websocket_connect=replace(
                found.roles["websocket_connect"] or Role({}), attached=["arn:aws:iam::aws:policy/X"]
            )
        ),
        [
            "roles: parrot-dev-websocket_connect: arn:aws:iam::aws:policy/X is attached to its "
            "role",
        ],
    ),
    "no role": (
        put("roles", None, "websocket_connect"),
        ["roles: parrot-dev-websocket_connect: its role is missing"],
    ),
    "no table": (
        put("tables", None, "parrot-dev"),
        ["tables: table parrot-dev is missing: nobody can connect"],
    ),
    "a table with another key": (
        put(
            "tables", Table([{"AttributeName": "id", "KeyType": "HASH"}], "expiresAt"), "parrot-dev"
        ),
        ["tables: table parrot-dev has another key"],
    ),
    "TTL off": (
        put("tables", Table(KEY, None), "parrot-dev"),
        ["tables: table parrot-dev keeps what has expired: TTL is off"],
    ),
    "TTL by another attribute": (
        put("tables", Table(KEY, "ttl"), "parrot-dev"),
        ["tables: table parrot-dev lets items expire by ttl, not expiresAt"],
    ),
    "no queue": (
        put("queues", False, "parrot-dev"),
        ["queues: queue parrot-dev is missing"],
    ),
    "no log group": (
        put("log_groups", None, OF_CONNECT),
        [f"log groups: log group {OF_CONNECT} is missing: its lines are lost"],
    ),
    "logs kept for ever": (
        put("log_groups", 0, OF_CONNECT),
        [f"log groups: log group {OF_CONNECT} keeps lines for ever, not 30 days"],
    ),
    "no parameter": (
        put("secrets", StoredSecret(exists=False), "TOKEN_PARAMETER"),
        ["secrets: the parameter that TOKEN_PARAMETER names does not exist: every client gets 500"],
    ),
    "a plain parameter": (
        put("secrets", StoredSecret(True, False, False), "TOKEN_PARAMETER"),
        [
            "secrets: the parameter of TOKEN_PARAMETER is a plain String: whoever may read "
            "parameters may read it"
        ],
    ),
    "a demonstration value": (
        put("secrets", StoredSecret(True, True, True), "TOKEN_PARAMETER"),
        [
            "secrets: the parameter of TOKEN_PARAMETER is empty or holds a value that is in the "
            "documents"
        ],
    ),
    "access logs nobody asked for": (
        stage_set(AccessLogSettings={"DestinationArn": "arn"}),
        ["options: the stage writes access logs, but access_logs is off"],
    ),
    "no stage of the HTTP API": (
        put("http_stage_variables", None),
        ["http stage: stage api is missing: no HTTP route answers"],
    ),
    "no variables of the HTTP API": (
        put("http_stage_variables", {}),
        ["http stage: variable StageVar1 is missing: who is let in by it is refused over HTTP"],
    ),
    "other variables of the HTTP API": (
        put("http_stage_variables", {"StageVar1": "s3cret-value", "old": "1"}),
        [
            "http stage: variable StageVar1 has another value",
            "http stage: variable old is not in the definition",
        ],
    ),
    "other concurrency": (
        put("concurrency", 7, "websocket_connect"),
        ["functions: parrot-dev-websocket_connect: it reserves 7, not 5"],
    ),
    "no concurrency": (
        put("concurrency", None, "websocket_connect"),
        ["functions: parrot-dev-websocket_connect: it reserves nothing, not 5"],
    ),
    "a denied call": (
        lambda found: found.unseen.append(Denied("roles", "role x", "iam:GetRolePolicy")),
        ["roles: role x could not be looked at"],
    ),
}


def test_nothing_is_wrong_with_a_healthy_stage() -> None:
    expected = make_expected()
    findings = report.findings(expected, healthy(expected), TODAY)
    assert said(healthy(expected)) == []
    assert report.exit_code(findings) == report.FINE
    assert sum(it.level is Level.OK for it in findings) == 13


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_stage_gets_exactly_the_complaint_that_fits(name: str) -> None:
    change, complaints = BROKEN[name]
    found = healthy(make_expected())
    change(found)
    assert said(found) == complaints


def test_a_stage_without_authorizer_is_called_open() -> None:
    found = healthy(make_expected())
    found.authorizers = []
    first, *_ = said(found)
    assert first.startswith("authorizer: the API has no authorizer: it is open")


def test_a_role_that_allows_nothing_is_too_narrow_for_each_action() -> None:
    found = healthy(make_expected())
    allowed(instead=True)(found)
    actions = [line.partition("too narrow: no ")[2].split(" ")[0] for line in said(found)]
    assert actions == [
        "dynamodb:PutItem",
        "dynamodb:Query",
        "execute-api:ManageConnections",
        "logs:PutLogEvents",
    ]


def test_another_condition_is_too_wide_and_too_narrow() -> None:
    found = healthy(make_expected())
    role = found.roles["websocket_connect"]
    assert role is not None
    statements = json.loads(json.dumps(role.inline["policy"]["Statement"]))
    for it in statements:
        it.pop("Condition", None)
    allowed(*statements, instead=True)(found)
    wide = [line for line in said(found) if "too wide" in line]
    narrow = [line for line in said(found) if "too narrow" in line]
    assert (len(wide), len(narrow)) == (2, 2)
    assert "LeadingKeys" in narrow[0]


def test_a_missing_api_is_one_problem_and_what_hangs_on_it_is_not_called_well() -> None:
    found = Snapshot(names={}, apis=[])
    findings = report.findings(make_expected(), found, TODAY)
    levels = {it.check: it.level for it in findings}
    assert levels["api"] is Level.PROBLEM
    for check in ("authorizer", "routes", "stage", "permissions", "roles"):
        assert levels[check] is Level.NOTE


def test_a_recorded_api_that_is_gone_is_told() -> None:
    found = healthy(make_expected())
    found.api, found.recorded_api_id = None, "gone1"
    assert "api: the recorded API gone1 is gone" in said(found)


def test_what_cannot_be_seen_is_neither_well_nor_wrong() -> None:
    found = healthy(make_expected())
    found.functions = {}
    found.unseen.append(Denied("functions", "function a", "lambda:GetFunctionConfiguration"))
    findings = report.findings(make_expected(), found, TODAY)
    (of_functions,) = [it for it in findings if it.check == "functions"]
    assert of_functions.level is Level.UNSEEN
    assert of_functions.remedy == "it takes lambda:GetFunctionConfiguration"
    assert report.exit_code(findings) == report.COULD_NOT_LOOK


def test_a_problem_counts_for_more_than_what_cannot_be_seen() -> None:
    found = healthy(make_expected())
    found.stages = []
    found.unseen.append(Denied("functions", "function a", "lambda:GetFunctionConfiguration"))
    assert report.exit_code(report.findings(make_expected(), found, TODAY)) == report.PROBLEMS


def test_a_literal_credential_is_a_warning_and_a_demonstration_value_a_problem() -> None:
    levels = []
    for value in ("s3cret-value", "hello", ""):
        found = healthy(make_expected())
        connect_set(Environment={"Variables": {"TOKEN": value}})(found)
        findings = report.findings(make_expected(), found, TODAY)
        levels.append([it.level for it in findings if it.check == "secrets"])
        assert "s3cret-value" not in report.as_text(findings) + report.as_json(findings)
    assert levels == [[Level.WARNING], [Level.PROBLEM], [Level.OK]]


def test_a_runtime_that_ends_soon_is_a_warning() -> None:
    found = healthy(make_expected())
    connect_set(Runtime="python3.11")(found)
    before, soon = date(2026, 12, 1), date(2027, 1, 15)
    levels = [
        {it.level for it in report.findings(make_expected(), found, day) if it.check == "functions"}
        for day in (before, soon)
    ]
    assert levels == [{Level.OK}, {Level.WARNING}]


def test_options_that_are_on_must_be_there() -> None:
    expected = make_expected(alarms=True, dashboard=True, access_logs=True)
    found = healthy(expected)
    found.alarms, found.dashboards = set(), set()
    group = "/aws/apigateway/parrot-dev-websocket-api-api"
    found.log_groups[group] = None
    found.account = replace(found.account, cloudwatch_role=None)
    complaints = said(found, expected)
    assert "options: alarm parrot-dev-authorizer-faults is missing" in complaints
    assert "options: dashboard parrot-dev is missing" in complaints
    assert "options: access_logs is on, but the stage writes none" in complaints
    assert f"log groups: log group {group} is missing: its lines are lost" in complaints
    assert sum("has no role in this account" in it for it in complaints) == 1


def test_metric_filters_count_what_alarms_go_off_for() -> None:
    expected = make_expected(alarms=True)
    wanted = [
        it for it in observability.resources(expected.blueprint) if it.kind == "metric_filter"
    ]
    found = healthy(expected)
    found.metric_filters = {it.name: it.properties["FilterPattern"] for it in wanted}
    assert said(found, expected) == []
    del found.metric_filters[wanted[0].name]
    found.metric_filters[wanted[1].name] = "ERROR"
    missing, other = (it.properties["FilterName"] for it in wanted[:2])
    assert said(found, expected) == [
        f"options: metric filter {missing} is missing: its alarm never goes off",
        f"options: metric filter {other} has another pattern",
    ]


def test_a_stale_variable_is_told_with_what_takes_it_away_and_no_value_is_shown() -> None:
    found = healthy(make_expected())
    found.http_stage_variables = {"StageVar1": "s3cret-value", "old": "s3cret-value"}
    text = report.as_text(report.findings(make_expected(), found, TODAY))
    assert "--rest-api-id rest1 --stage-name api --patch-operations op=remove" in text
    assert "path=/variables/old" in text
    assert "s3cret-value" not in text


@pytest.mark.parametrize("stage", [None, "api"])
def test_no_http_api_and_one_that_cannot_be_seen_are_not_called_wrong(stage: str | None) -> None:
    expected = replace(make_expected(), rest_stage=stage)
    found = healthy(expected)
    found.http_stage_variables = UNSEEN
    findings = report.findings(expected, found, TODAY)
    assert [it.level for it in findings if it.check == "http stage"] == [Level.NOTE]
    assert report.exit_code(findings) == report.FINE


def test_throttling_beyond_the_accounts_own_is_warned_of() -> None:
    expected = make_expected()
    found = healthy(expected)
    found.account = replace(found.account, throttling_burst_limit=1250)
    assert said(found, expected) == [
        "options: throttling_burst_limit is 2000, but the whole account has 1250 in this region"
    ]


@pytest.mark.parametrize(
    ("unreserved", "words"), [(1000, "900 can be reserved"), (10, "none can be reserved")]
)
def test_the_doctor_says_how_much_concurrency_can_be_reserved(unreserved: int, words: str) -> None:
    found = healthy(make_expected())
    found.account = replace(found.account, concurrency_unreserved=unreserved)
    text = report.as_text(report.findings(make_expected(), found, TODAY))
    assert words in text


def test_the_doctor_says_whether_access_logs_could_be_on() -> None:
    found = healthy(make_expected())
    with_role = report.as_text(report.findings(make_expected(), found, TODAY))
    found.account = replace(found.account, cloudwatch_role=None)
    without_role = report.as_text(report.findings(make_expected(), found, TODAY))
    assert "access_logs is off; it could be on" in with_role
    assert "access_logs is off; it cannot be on" in without_role


def test_json_says_the_same_as_text() -> None:
    found = healthy(make_expected())
    found.stages = []
    findings = report.findings(make_expected(), found, TODAY)
    parsed = json.loads(report.as_json(findings))
    assert parsed["exitCode"] == 1
    assert len(parsed["findings"]) == len(report.as_text(findings).splitlines()) - 1
    assert {"check", "level", "message", "remedy"} == set(parsed["findings"][0])


def test_every_function_is_looked_at() -> None:
    found = healthy(make_expected())
    found.functions = dict.fromkeys(FUNCTIONS)
    missing = [it for it in said(found) if it.startswith("functions: ") and "is missing" in it]
    assert len(missing) == len(FUNCTIONS)


def test_a_function_behind_the_http_api_may_be_invoked_by_its_routes_only() -> None:
    name = "parrot-dev-websocket_message"
    expected = replace(make_expected(), rest_permissions={name: ["api/GET/health"]})
    found = healthy(expected)
    found.rest_api_id = "rest1"
    rest = "arn:aws:execute-api:eu-west-1:111122223333:rest1"
    assert said(found, expected) == [
        f"permissions: {name} may not be invoked by {rest}/api/GET/health"
    ]
    permitted("websocket_message", statement("api/GET/health", "rest1"))(found)
    assert said(found, expected) == []
    permitted("websocket_message", statement("*/*/*", "rest1"))(found)
    assert said(found, expected) == [f"permissions: {name} may be invoked by {rest}/*/*/* too"]


def test_a_role_chalice_writes_by_itself_is_not_called_right() -> None:
    expected = make_expected()
    functions = {key: replace(it, policy=None) for key, it in expected.functions.items()}
    complaints = said(healthy(expected), replace(expected, functions=functions))
    assert len(complaints) == len(FUNCTIONS)
    assert all("no policy file of its own" in it for it in complaints)


def test_a_statement_that_allows_all_but_something_is_too_wide() -> None:
    found = healthy(make_expected())
    allowed({"Effect": "Allow", "NotAction": "iam:*", "NotResource": ["a", "b"]})(found)
    wide = [line.partition("too wide: ")[2] for line in said(found)]
    assert wide == [
        "anything but iam:* on anything but a",
        "anything but iam:* on anything but b",
    ]


def test_a_runtime_nobody_has_heard_of_is_not_judged() -> None:
    found = healthy(make_expected())
    connect_set(Runtime="python3.99")(found)
    assert said(found) == []


def asking_for_the_api() -> Expected:
    """Return a stage whose connect handler is told its API."""
    expected = make_expected()
    function = expected.functions["websocket_connect"]
    environment = {**function.environment, "OWN_API": "${ApiId}/${Stage}", "OTHER": "${HOME}"}
    changed = {"websocket_connect": replace(function, environment=environment)}
    return replace(expected, functions={**expected.functions, **changed})


def test_a_variable_that_asks_for_the_api_is_compared_with_the_id_of_the_api() -> None:
    expected = asking_for_the_api()
    found = healthy(expected)
    told = {**make_expected().functions["websocket_connect"].environment, "OTHER": "${HOME}"}
    for value in (f"{API_ID}/api", "another/api"):
        connect_set(Environment={"Variables": {**told, "OWN_API": value}})(found)
        complaints = ["functions: parrot-dev-websocket_connect: variable OWN_API has another value"]
        assert said(found, expected) == ([] if value.startswith(API_ID) else complaints)


def test_a_variable_that_asks_for_an_api_nobody_found_is_not_complained_of() -> None:
    expected = asking_for_the_api()
    found = healthy(expected)
    found.names = {name: it for name, it in found.names.items() if name != "ApiId"}
    told = {**expected.functions["websocket_connect"].environment, "OWN_API": "of old/api"}
    connect_set(Environment={"Variables": told})(found)
    assert not [it for it in said(found, expected) if it.startswith("functions")]
