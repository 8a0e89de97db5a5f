"""What a template says of environment, tables and API, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localgateway.authorization import IdentitySource
from localgateway.cloudformation import Template
from localgateway.cloudformation_file import TemplateFiles
from localgateway.definition import ApiDefinition, Authorizer, IntegrationResponse, Route, read
from localgateway.errors import StartError
from localgateway.events import Stage

TEMPLATES = Path(__file__).parents[2] / "templates"
STAGE = Stage(domain_name="127.0.0.1:9000")
HANDLERS = {"$connect": "my_connect", "$default": "chatter", "$disconnect": "gone"}
FUNCTIONS = [*HANDLERS.values(), "ws_auth", "sendmessage"]
OWN = read(HANDLERS, dict.fromkeys(FUNCTIONS), {})
API = {"ApiId": {"Ref": "WebsocketAPI"}}
GUARDED = read(
    HANDLERS,
    dict.fromkeys(FUNCTIONS),
    {
        "authorizer": {"function": "ws_auth"},
        "route_selection_expression": "$request.body.kind",
        "routes": {"echo": {"function": "sendmessage"}},
        "stage_variables": {"tier": "lead", "colour": "red"},
        "example": {"message": {"kind": "echo"}},
    },
)


def template(resources: dict[str, Any], **sections: Any) -> Template:
    content = {"Resources": resources, **sections}
    return Template(TemplateFiles(content, [(Path("t.yaml"), content)]))


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::ApiGatewayV2::{kind}", "Properties": API | properties}


def fragment(**properties: Any) -> dict[str, Any]:
    return {"Properties": properties}


def named(function_name: str) -> str:
    """Return the URI that invokes a function of that name."""
    return (
        "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/"
        f"arn:aws:lambda:us-east-1:123456789012:function:{function_name}:live/invocations"
    )


def function(handler: str = "app.f", **variables: Any) -> dict[str, Any]:
    properties = {"Handler": handler, "Environment": {"Variables": variables}}
    return {"Type": "AWS::Serverless::Function", "Properties": properties}


def invoking(logical_id: str) -> dict[str, str]:
    uri = "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${%s.Arn}/invocations"
    return {"Fn::Sub": uri % logical_id}


def authorizer(**properties: Any) -> dict[str, Any]:
    known = {"AuthorizerType": "REQUEST", "AuthorizerUri": invoking("WsAuth")}
    return resource("Authorizer", **(known | properties))


def attached(**properties: Any) -> dict[str, Any]:
    """Return resources that attach an authorizer to ``$connect``."""
    route = fragment(AuthorizationType="CUSTOM", AuthorizerId={"Ref": "Guard"})
    return {"Guard": authorizer(**properties), "WebsocketConnectRoute": route}


def routed(key: str = "send", **integration: Any) -> dict[str, Any]:
    """Return a route and its integration."""
    known = {"IntegrationType": "AWS_PROXY", "IntegrationUri": invoking("Sendmessage")}
    return {
        "I": resource("Integration", **(known | integration)),
        "R": resource("Route", RouteKey=key, Target="integrations/I"),
    }


def answering(expression: str | None = "$default", key: str = "$default") -> dict[str, Any]:
    """Return a route with a route response."""
    resources = routed()
    if expression is not None:
        resources["R"]["Properties"]["RouteResponseSelectionExpression"] = expression
    response = resource("RouteResponse", RouteId={"Ref": "R"}, RouteResponseKey=key)
    return {**resources, "RR": response}


def extended(resources: dict[str, Any], own: ApiDefinition = OWN) -> ApiDefinition:
    """Return the API, which all of the template could be honoured for."""
    read_template = template(resources)
    definition = read_template.extend(own, FUNCTIONS, STAGE)
    assert read_template.unsupported == []
    return definition


# Whole templates


def test_what_chalice_packages_is_what_the_app_says_and_what_was_merged() -> None:
    packaged = Template.read([TEMPLATES / "packaged.json"])
    assert packaged.environment(STAGE) == {"A": "1"}
    assert packaged.tables(STAGE) == []
    assert packaged.extend(OWN, FUNCTIONS, STAGE) == ApiDefinition(
        routes=OWN.routes,
        authorizer=Authorizer(
            "ws_auth", (IdentitySource("route.request.header", "Authorization"),)
        ),
    )
    assert packaged.unsupported == []


@pytest.mark.parametrize(
    ("files", "unattached"),
    [
        pytest.param(["merge.yaml"], [], id="alone"),
        pytest.param(
            ["packaged.json", "merge.yaml"], ["Authorizer"], id="over what Chalice packages"
        ),
    ],
)
def test_a_merge_template_adds_to_what_chalice_makes(
    files: list[str], unattached: list[str]
) -> None:
    merged = Template.read([TEMPLATES / name for name in files])
    environment = merged.environment(STAGE)
    assert environment["TABLE_NAME"] == "local-ConnectionsTable"
    assert environment["ENDPOINT"] == "http://127.0.0.1:9000/api"
    assert merged.tables(STAGE) == [
        {
            "TableName": "local-ConnectionsTable",
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            "TimeToLiveSpecification": {"AttributeName": "expiresAt", "Enabled": True},
        }
    ]
    definition = merged.extend(OWN, FUNCTIONS, STAGE)
    assert definition.routes == {**OWN.routes, "$default": Route("chatter", two_way=True)}
    assert definition.authorizer is not None
    assert definition.authorizer.function == "ws_auth"
    assert definition.stage_variables == {"tier": "gold"}
    assert merged.unsupported == [
        f"{TEMPLATES / 'packaged.json'}: Resources.{name}: "
        "it is not attached to $connect: it is never asked"
        for name in unattached
    ]


def test_an_api_written_by_hand_is_read_whole() -> None:
    pattern = Template.read([TEMPLATES / "pattern.yaml"])
    assert pattern.environment(STAGE) == {"TABLE_NAME": "local-Rooms", "DOOR": "open"}
    assert pattern.tables(STAGE) == [
        {
            "TableName": "local-Rooms",
            "AttributeDefinitions": [{"AttributeName": "room", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "room", "KeyType": "HASH"}],
        }
    ]
    text = '{"who": "$context.authorizer.principalId", "said": $input.json(\'$.text\')}\n'
    assert pattern.extend(OWN, FUNCTIONS, STAGE) == ApiDefinition(
        routes={
            **OWN.routes,
            "send": Route(
                "sendmessage",
                "AWS",
                {"$default": text},
                template_selection_expression="\\$default",
                passthrough_behavior="NEVER",
                two_way=True,
                integration_responses={
                    "$default": IntegrationResponse({"$default": "$input.json('$.answer')"}),
                    "/.*full.*/": IntegrationResponse({"$default": '{"sorry": true}'}),
                },
            ),
            "ping": Route(None, "MOCK", {"application/json": '{"statusCode": 200}'}),
        },
        authorizer=Authorizer(
            "ws_auth", (IdentitySource("route.request.header", "Authorization"),)
        ),
        route_selection_expression="$request.body.kind",
        stage_variables={"limit": "10"},
    )
    assert pattern.unsupported == []


@pytest.mark.parametrize("resources", [{}, {"Topic": {"Type": "AWS::SNS::Topic"}}])
@pytest.mark.parametrize("own", [OWN, GUARDED], ids=["bare", "guarded"])
def test_a_template_without_an_api_changes_nothing(
    resources: dict[str, Any], own: ApiDefinition
) -> None:
    assert extended(resources, own) == own


# Environment and tables


def test_the_environment_is_that_of_all_functions_as_text() -> None:
    variables = {"Function": {"Environment": {"Variables": {"A": "all", "B": "all"}}}}
    read_template = template(
        {
            "Own": function(B="own", C=1, D=True),
            "Plain": {**function(E="e"), "Type": "AWS::Lambda::Function"},
            "WsAuth": fragment(Environment={"Variables": {"F": {"Ref": "Own"}}}),
            "WebsocketConnect": fragment(Environment={"Variables": {"G": {"Ref": "Table"}}}),
            "Off": {**function(H="h"), "Condition": "Never"},
            "Silent": {"Type": "AWS::Serverless::Function"},
            "Table": {"Type": "AWS::DynamoDB::Table"},
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"Environment": 1}},
        },
        Globals=variables,
        Conditions={"Never": {"Fn::Equals": ["a", "b"]}},
    )
    assert read_template.environment(STAGE) == {
        "A": "all",
        "B": "own",
        "C": "1",
        "D": "true",
        "E": "e",
        "F": "Own",
        "G": "local-Table",
    }
    assert read_template.unsupported == [
        "t.yaml: Resources.Own.Properties.Environment.Variables.B: "
        "in one process all functions get this value"
    ]


def test_a_variable_that_cannot_be_known_is_left_out_and_said_once() -> None:
    read_template = template({"F": function(A={"Fn::ImportValue": "x"}, B="b")})
    for _ in range(2):
        assert read_template.environment(STAGE) == {"B": "b"}
    assert read_template.unsupported == [
        "t.yaml: Resources.F.Properties.Environment.Variables.A: "
        "Fn::ImportValue cannot be worked out here; it is left out"
    ]


def test_parameters_may_be_given() -> None:
    parameters = {"Tier": {"Type": "String"}}
    files = TemplateFiles(
        {"Parameters": parameters, "Resources": {"F": function(TIER={"Ref": "Tier"})}}
    )
    assert Template(files, {"Tier": "gold"}).environment(STAGE) == {"TIER": "gold"}


@pytest.mark.parametrize(
    ("text", "localized"),
    [
        pytest.param("https://${WebsocketAPI}.%s/api", "http://127.0.0.1:9000/api", id="https"),
        pytest.param("wss://${WebsocketAPI}.%s/api", "ws://127.0.0.1:9000/api", id="wss"),
        pytest.param("${WebsocketAPI}.%s", "127.0.0.1:9000", id="a host"),
        pytest.param("${WebsocketAPI.ApiEndpoint}", "ws://127.0.0.1:9000", id="the attribute"),
        pytest.param("https://x.%s", "https://x.execute-api.us-east-1.amazonaws.com", id="other"),
    ],
)
def test_the_apis_address_on_aws_is_that_of_this_machine(text: str, localized: str) -> None:
    value = {"Fn::Sub": text.replace("%s", "execute-api.${AWS::Region}.amazonaws.com")}
    assert template({"F": function(A=value)}).environment(STAGE) == {"A": localized}


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        pytest.param({"A": ["b"]}, "Environment.Variables.A", id="a list"),
        pytest.param("x", "Environment.Variables", id="variables that are text"),
    ],
)
def test_variables_that_are_none_are_refused(variables: Any, place: str) -> None:
    resources = {"F": fragment(Environment={"Variables": variables})}
    with pytest.raises(StartError, match=f"t.yaml: Resources.F.Properties.{place}: it is no"):
        template(resources).environment(STAGE)


def test_a_table_has_what_an_engine_can_make() -> None:
    given = {
        "TableName": {"Fn::Sub": "${AWS::StackName}-rooms"},
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [{"IndexName": "i"}],
        "LocalSecondaryIndexes": [{"IndexName": "l"}],
    }
    other = {"SSESpecification": {"KMSMasterKeyId": {"Fn::ImportValue": "x"}}, "Tags": []}
    read_template = template(
        {
            "A": {"Type": "AWS::DynamoDB::Table", "Properties": {**given, **other}},
            "B": {"Type": "AWS::DynamoDB::GlobalTable", "Properties": {"Replicas": []}},
            "C": {"Type": "AWS::Serverless::SimpleTable"},
            "Off": {"Type": "AWS::DynamoDB::Table", "Condition": "Never"},
        },
        Conditions={"Never": {"Fn::Not": [{"Fn::Equals": ["a", "a"]}]}},
    )
    assert read_template.tables(STAGE) == [
        {**given, "TableName": "local-rooms"},
        {"TableName": "local-B"},
        {
            "TableName": "local-C",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        },
    ]
    assert read_template.unsupported == []


# Who may open a connection


@pytest.mark.parametrize(
    ("sources", "parsed"),
    [
        pytest.param(None, (), id="none"),
        pytest.param([], (), id="an empty list"),
        pytest.param(
            ["route.request.header.A", {"Fn::Sub": "stageVariables.${AWS::StackName}"}],
            (
                IdentitySource("route.request.header", "A"),
                IdentitySource("stageVariables", "local"),
            ),
            id="a list",
        ),
        pytest.param(
            "route.request.header.A, context.b",
            (IdentitySource("route.request.header", "A"), IdentitySource("context", "b")),
            id="a text",
        ),
    ],
)
def test_an_attached_authorizer_is_asked(sources: Any, parsed: tuple[IdentitySource, ...]) -> None:
    given = {} if sources is None else {"IdentitySource": sources}
    assert extended(attached(**given)).authorizer == Authorizer("ws_auth", parsed)


@pytest.mark.parametrize(
    ("route", "asked"),
    [
        pytest.param({}, "ws_auth", id="the app's own where nothing is said"),
        pytest.param({"AuthorizationType": "NONE"}, None, id="none"),
        pytest.param(
            {"AuthorizationType": "CUSTOM", "AuthorizerId": {"Ref": "Other"}},
            "sendmessage",
            id="another one",
        ),
    ],
)
def test_a_template_goes_before_the_apps_own_authorizer(
    route: dict[str, Any], asked: str | None
) -> None:
    resources = {
        "Other": authorizer(AuthorizerUri=invoking("Sendmessage")),
        "WebsocketConnectRoute": fragment(**route),
    }
    authorizer_asked = template(resources).extend(GUARDED, FUNCTIONS, STAGE).authorizer
    assert (authorizer_asked and authorizer_asked.function) == asked


@pytest.mark.parametrize(
    ("own", "said"),
    [
        pytest.param(
            GUARDED,
            [
                "t.yaml: Resources.WebsocketConnectRoute.Properties."
                "AuthorizationType: "
                "the app's own authorizer is not asked: everybody is let in"
            ],
            id="an app with an authorizer",
        ),
        pytest.param(OWN, [], id="an app without"),
    ],
)
def test_that_a_template_switches_the_apps_authorizer_off_is_said(
    own: ApiDefinition, said: list[str]
) -> None:
    open_to_all = template({"WebsocketConnectRoute": fragment(AuthorizationType="NONE")})
    open_to_all.extend(own, FUNCTIONS, STAGE)
    assert open_to_all.unsupported == said


@pytest.mark.parametrize(
    ("resources", "own", "sentence"),
    [
        pytest.param(
            {"Guard": authorizer()},
            OWN,
            "Guard: it is not attached to $connect: everybody is let in",
            id="attached to nothing",
        ),
        pytest.param(
            {"Guard": authorizer()},
            GUARDED,
            "Guard: it is not attached to $connect: it is never asked",
            id="attached to nothing, where the app has one",
        ),
        pytest.param(
            {"WebsocketConnectRoute": fragment(AuthorizationType="AWS_IAM")},
            OWN,
            "WebsocketConnectRoute.Properties.AuthorizationType: AWS_IAM is not checked: everybody",
            id="IAM",
        ),
        pytest.param(
            {"WebsocketConnectRoute": fragment(AuthorizationType="JWT")},
            OWN,
            "WebsocketConnectRoute.Properties.AuthorizationType: JWT is not checked: everybody",
            id="a token for $connect",
        ),
        pytest.param(
            attached(AuthorizerType="JWT"),
            OWN,
            "Guard.Properties.AuthorizerType: JWT is not checked: everybody is let in",
            id="an authorizer of tokens",
        ),
        pytest.param(
            attached(AuthorizerResultTtlInSeconds=300),
            OWN,
            "Guard.Properties.AuthorizerResultTtlInSeconds: API Gateway refuses it",
            id="a cache",
        ),
        pytest.param(
            {"WebsocketMessageRoute": fragment(AuthorizationType="CUSTOM")},
            OWN,
            "WebsocketMessageRoute.Properties.AuthorizationType: API Gateway refuses it but for $c",
            id="another route",
        ),
    ],
)
def test_of_authorization_what_is_not_done_is_said(
    resources: dict[str, Any], own: ApiDefinition, sentence: str
) -> None:
    read_template = template(resources)
    read_template.extend(own, FUNCTIONS, STAGE)
    assert len(read_template.unsupported) == 1
    assert f"t.yaml: Resources.{sentence}" in read_template.unsupported[0]


# Routes


@pytest.mark.parametrize(
    ("resources", "key", "route"),
    [
        pytest.param(routed(), "send", Route("sendmessage"), id="a route of its own"),
        pytest.param(routed("$default"), "$default", Route("sendmessage"), id="$default"),
        pytest.param(routed("$disconnect"), "$disconnect", Route("sendmessage"), id="$disconnect"),
        pytest.param(
            routed("$connect", IntegrationType="MOCK", IntegrationUri=None),
            "$connect",
            Route(None, "MOCK"),
            id="$connect of no function",
        ),
        pytest.param(
            routed(IntegrationUri=invoking("WebsocketMessage")),
            "send",
            Route("chatter"),
            id="to a handler by Chalice's name for it",
        ),
        pytest.param(
            {**routed(IntegrationUri=invoking("F")), "F": function("src/app.ws_auth")},
            "send",
            Route("ws_auth"),
            id="to a function by the handler it names",
        ),
        pytest.param(
            {
                **routed(IntegrationUri=named("shop-auth")),
                "WsAuth": fragment(FunctionName="shop-auth"),
            },
            "send",
            Route("ws_auth"),
            id="to a function by the name it is given, and an alias",
        ),
        pytest.param(
            {
                "WebsocketMessageAPIIntegration": fragment(
                    IntegrationType="AWS", RequestTemplates={"$default": "$input.body"}
                )
            },
            "$default",
            Route("chatter", "AWS", {"$default": "$input.body"}),
            id="of Chalice's own integration another type",
        ),
        pytest.param(
            {
                "I": routed()["I"],
                "WebsocketMessageRoute": fragment(Target={"Fn::Sub": "integrations/${I}"}),
            },
            "$default",
            Route("sendmessage"),
            id="of Chalice's own route another target",
        ),
        pytest.param(answering(), "send", Route("sendmessage", two_way=True), id="two ways"),
    ],
)
def test_a_route_is_read(resources: dict[str, Any], key: str, route: Route) -> None:
    assert extended(resources).routes == {**OWN.routes, key: route}


@pytest.mark.parametrize(
    ("condition", "is_there"),
    [("IsGold", True), ("IsLead", False), ("IsBare", True)],
    ids=["true", "false", "one that cannot be known is taken as true"],
)
def test_a_route_may_depend_on_a_condition(condition: str, is_there: bool) -> None:
    resources = routed()
    resources["R"]["Condition"] = condition
    read_template = template(
        resources,
        Parameters={"Tier": {"Default": "gold"}, "Bare": {}},
        Conditions={
            "IsGold": {"Fn::Equals": [{"Ref": "Tier"}, "gold"]},
            "IsLead": {"Fn::Equals": [{"Ref": "Tier"}, "lead"]},
            "IsBare": {"Fn::Equals": [{"Ref": "Bare"}, "bare"]},
        },
    )
    assert ("send" in read_template.extend(OWN, FUNCTIONS, STAGE).routes) is is_there
    assert read_template.unsupported == [
        "t.yaml: Resources.R.Condition: parameter Bare has no value here; it is taken as true"
    ] * (condition == "IsBare")


@pytest.mark.parametrize(
    ("expression", "key"),
    [
        pytest.param(None, "$default", id="the route does not say it"),
        pytest.param("$default", "other", id="the response has another key"),
    ],
)
def test_a_route_response_alone_sends_nothing(expression: str | None, key: str) -> None:
    read_template = template(answering(expression, key))
    assert not read_template.extend(OWN, FUNCTIONS, STAGE).routes["send"].two_way
    assert "t.yaml: Resources.RR.Properties.RouteResponseKey" in read_template.unsupported[0]


def test_an_expression_alone_sends_nothing() -> None:
    resources = routed()
    resources["R"]["Properties"]["RouteResponseSelectionExpression"] = "$default"
    assert not extended(resources).routes["send"].two_way


def test_an_app_without_a_handler_has_no_route_of_it() -> None:
    own = read({"$connect": "my_connect"}, dict.fromkeys(FUNCTIONS), {})
    assert list(template(attached()).extend(own, FUNCTIONS, STAGE).routes) == ["$connect"]


def test_routes_of_other_apis_are_none_of_ours() -> None:
    other = {"ApiId": {"Ref": "Http"}}
    resources = {
        "Http": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"ProtocolType": "HTTP"}},
        "Get": resource("Route", RouteKey="GET /", AuthorizationType="JWT", **other),
        "Tokens": resource("Authorizer", AuthorizerType="JWT", **other),
        "HttpStage": resource("Stage", StageVariables={"a": "b"}, StageName="$default", **other),
    }
    assert extended(resources) == OWN


def test_of_two_websocket_apis_the_second_is_said_to_be_left() -> None:
    socket = {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"ProtocolType": "WEBSOCKET"}}
    mine, theirs = {"ApiId": {"Ref": "First"}}, {"ApiId": {"Ref": "Second"}}
    read_template = template(
        {
            "First": socket,
            "Second": socket,
            "I": resource("Integration", IntegrationType="MOCK", **mine),
            "R": resource("Route", RouteKey="a", Target="integrations/I", **mine),
            "S": resource("Route", RouteKey="b", Target="integrations/I", **theirs),
        }
    )
    definition = read_template.extend(OWN, FUNCTIONS, STAGE)
    assert definition.routes == {**OWN.routes, "a": Route(None, "MOCK")}
    assert read_template.unsupported == [
        "t.yaml: Resources.Second: a second WebSocket API is not served"
    ]


# The stage and the API


def test_what_the_template_says_of_stage_and_api_goes_before_the_apps_own() -> None:
    definition = extended(
        {
            "WebsocketAPI": fragment(RouteSelectionExpression="$request.body.type"),
            "WebsocketAPIStage": fragment(StageVariables={"tier": "gold", "n": 1}),
        },
        GUARDED,
    )
    assert definition.route_selection_expression == "$request.body.type"
    assert definition.stage_variables == {"tier": "gold", "colour": "red", "n": "1"}
    assert definition.routes == GUARDED.routes
    assert definition.example == GUARDED.example


def test_of_several_stages_the_one_served_is_taken() -> None:
    resources = {
        "Test": resource("Stage", StageName="test", StageVariables={"a": "test"}),
        "Api": resource("Stage", StageName="api", StageVariables={"a": "api"}),
    }
    assert extended(resources).stage_variables == {"a": "api"}


def test_the_http_apis_stage_has_variables_of_its_own() -> None:
    own = read({}, {}, {"stage_variables": {"tier": "silver", "colour": "red"}})
    resources = {
        "RestAPI": fragment(Variables={"tier": "gold"}),
        "Other": {"Type": "AWS::Serverless::Api", "Properties": {"Variables": {"tier": "none"}}},
    }
    found = template(resources).extend(own, {}, STAGE)
    assert found.http_stage_variables == {"tier": "gold", "colour": "red"}
    assert found.stage_variables == {"tier": "silver", "colour": "red"}


def test_a_stage_of_another_name_is_said() -> None:
    read_template = template({"S": resource("Stage", StageName="v1", StageVariables={"a": "b"})})
    assert read_template.extend(OWN, FUNCTIONS, STAGE).stage_variables == {"a": "b"}
    assert read_template.unsupported == [
        "t.yaml: Resources.S.Properties.StageName: it is served as api; see --api-stage"
    ]


# What cannot be honoured


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        pytest.param(
            routed(IntegrationType="HTTP_PROXY", IntegrationUri="https://example.com"),
            "I.Properties.IntegrationType: HTTP_PROXY integrations reach no other server from here:"
            " route send is left as the app has it",
            id="HTTP_PROXY",
        ),
        pytest.param(
            routed(IntegrationType="HTTP", ConnectionType="VPC_LINK", IntegrationUri="x"),
            "I.Properties.IntegrationType: HTTP integrations",
            id="VPC_LINK",
        ),
        pytest.param(
            routed(IntegrationType="AWS", IntegrationUri="arn:aws:apigateway:r:sqs:path/1/q"),
            "I.Properties.IntegrationUri: arn:aws:apigateway:r:sqs:path/1/q is no Lambda function",
            id="another service",
        ),
        pytest.param(
            {**routed(), "D": {"Type": "AWS::ApiGatewayV2::DomainName"}},
            "D: custom domain names are not served",
            id="a domain",
        ),
        pytest.param({"M": resource("Model")}, "M: requests are not validated", id="a model"),
        pytest.param(
            {"W": {"Type": "AWS::Serverless::WebSocketApi"}}, "W: it is not read", id="SAM's own"
        ),
        pytest.param(
            {"WebsocketConnectRoute": fragment(ApiKeyRequired=True)},
            "WebsocketConnectRoute.Properties.ApiKeyRequired: API keys are not asked for",
            id="an API key",
        ),
        pytest.param(
            {"WebsocketMessageRoute": fragment(RequestModels={"$default": "M"})},
            "WebsocketMessageRoute.Properties.RequestModels: requests are not validated",
            id="validation",
        ),
        pytest.param(
            routed(RequestParameters={"integration.request.header.a": "'b'"}),
            "I.Properties.RequestParameters: request parameters are not mapped",
            id="request parameters",
        ),
        pytest.param(
            routed(TimeoutInMillis=50), "I.Properties.TimeoutInMillis: it is not", id="a timeout"
        ),
        pytest.param(
            {"WebsocketAPIStage": fragment(DefaultRouteSettings={"ThrottlingRateLimit": 1})},
            "WebsocketAPIStage.Properties.DefaultRouteSettings.ThrottlingRateLimit: it is not",
            id="a rate",
        ),
        pytest.param(
            {"Fn::ForEach::Routes": ["Name", ["a"], {}]},
            "Fn::ForEach::Routes: it cannot be worked out here",
            id="a loop",
        ),
        pytest.param(
            {
                **routed(IntegrationType="AWS"),
                "IR": resource(
                    "IntegrationResponse",
                    IntegrationId={"Ref": "I"},
                    IntegrationResponseKey="$default",
                    TemplateSelectionExpression="${request.body.a}",
                ),
            },
            "IR.Properties.TemplateSelectionExpression: the $default template is always taken",
            id="a response's template",
        ),
        pytest.param(
            {"F": function(A={"Ref": "Tabel"})},
            "F.Properties.Environment.Variables.A: neither the template nor the app has Tabel",
            id="a reference to nothing",
        ),
    ],
)
def test_what_is_not_honoured_is_said_once(resources: dict[str, Any], sentence: str) -> None:
    read_template = template(resources)
    for _ in range(2):
        read_template.environment(STAGE)
        definition = read_template.extend(OWN, FUNCTIONS, STAGE)
    assert len(read_template.unsupported) == 1
    assert f"t.yaml: Resources.{sentence}" in read_template.unsupported[0]
    assert definition.authorizer is None


@pytest.mark.parametrize(
    "resources",
    [
        pytest.param({"A": {"Type": "AWS::IAM::Role"}}, id="a role"),
        pytest.param({"DefaultRole": fragment(Policies=[])}, id="Chalice's role"),
        pytest.param({"WsAuthRole": fragment(Policies=[])}, id="a function's role"),
        pytest.param({"RestAPI": fragment(EndpointConfiguration="REGIONAL")}, id="a REST API"),
        pytest.param({"WsAuth": fragment(Timeout=3)}, id="a function's time limit"),
        pytest.param(
            {"WebsocketAPIStage": fragment(DefaultRouteSettings={"LoggingLevel": "INFO"})},
            id="a stage's log",
        ),
        pytest.param({"F": function(A={"Ref": "WsAuth"})}, id="a reference to the app's function"),
        pytest.param({"WebsocketConnectRoute": fragment(ApiKeyRequired=False)}, id="no API key"),
    ],
)
def test_what_does_not_concern_a_websocket_api_is_not_said(resources: dict[str, Any]) -> None:
    read_template = template(resources)
    read_template.environment(STAGE)
    assert read_template.extend(OWN, FUNCTIONS, STAGE) == OWN
    assert read_template.unsupported == []


@pytest.mark.parametrize(
    ("resources", "place", "reason"),
    [
        pytest.param(
            {"R": resource("Route", RouteKey="a", Target="integrations/No")},
            "R.Properties.Target",
            "there is no integration 'integrations/No'",
            id="a route to no integration",
        ),
        pytest.param(
            {"R": resource("Route", RouteKey="a")},
            "R.Properties.Target",
            "no integration",
            id="a route without a target",
        ),
        pytest.param(
            {"R": resource("Route", RouteKey="a", Target={"Fn::ImportValue": "x"})},
            "R.Properties.Target",
            "Fn::ImportValue",
            id="a target that cannot be known",
        ),
        pytest.param(routed("$hello"), "R.Properties.RouteKey", "'$hello'", id="a $ of one's own"),
        pytest.param(
            {"R": resource("Route", Target="integrations/I")},
            "R.Properties.RouteKey",
            "None",
            id="a route without a key",
        ),
        pytest.param(
            routed(IntegrationUri=invoking("Sendmesage")),
            "I.Properties.IntegrationUri",
            "the app has no function Sendmesage; it has chatter, gone, my_connect, sendmessage",
            id="a function the app does not have",
        ),
        pytest.param(
            routed(IntegrationUri={"Fn::GetAtt": ["Sendmessage", "Arn"]}),
            "I.Properties.IntegrationUri",
            "invokes no function; write arn:aws:apigateway",
            id="a function's ARN alone",
        ),
        pytest.param(
            routed(IntegrationType=None),
            "I.Properties.IntegrationType",
            "it is missing",
            id="an integration without a type",
        ),
        pytest.param(
            routed(IntegrationType="LAMBDA"),
            "I.Properties.IntegrationType",
            "'LAMBDA' is none of AWS, AWS_PROXY, MOCK",
            id="a type that is none",
        ),
        pytest.param(
            routed(RequestTemplates={"$default": {"a": 1}}),
            "I.Properties.RequestTemplates.$default",
            "it is no text",
            id="a template that is an object",
        ),
        pytest.param(
            routed(TemplateSelectionExpression="$hello"),
            "I.Properties.IntegrationType",
            "'$hello'",
            id="a selection expression that is none",
        ),
        pytest.param(
            {
                **routed(),
                "IR": resource(
                    "IntegrationResponse", IntegrationId={"Ref": "I"}, IntegrationResponseKey="200"
                ),
            },
            "IR.Properties.IntegrationResponseKey",
            "'200' is neither $default nor /REGEX/",
            id="an integration response's key",
        ),
        pytest.param(
            {"WebsocketAPI": fragment(RouteSelectionExpression="$action")},
            "WebsocketAPI.Properties.RouteSelectionExpression",
            "'$action'",
            id="a route selection expression that is none",
        ),
        pytest.param(
            attached(IdentitySource=["route.request.header.A", "method.request.header.B"]),
            "Guard.Properties.IdentitySource",
            "'method.request.header.B'",
            id="an identity source of REST APIs",
        ),
        pytest.param(
            attached(AuthorizerUri=invoking("WsAuht")),
            "Guard.Properties.AuthorizerUri",
            "the app has no function WsAuht",
            id="an authorizer the app does not have",
        ),
        pytest.param(
            attached(AuthorizerUri={"Ref": "Topic"}) | {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Guard.Properties.AuthorizerUri",
            "Ref Topic (AWS::SNS::Topic)",
            id="an authorizer that cannot be known",
        ),
        pytest.param(
            {"WebsocketConnectRoute": fragment(AuthorizationType="CUSTOM", AuthorizerId="x")},
            "WebsocketConnectRoute.Properties.AuthorizerId",
            "no authorizer 'x'",
            id="no such authorizer",
        ),
        pytest.param(
            {"WebsocketConnectRoute": fragment(AuthorizationType="custom")},
            "WebsocketConnectRoute.Properties.AuthorizationType",
            "'custom' is none of NONE, AWS_IAM, CUSTOM",
            id="an authorization that is none",
        ),
        pytest.param(
            {"WebSocketConnectRoute": fragment(AuthorizationType="CUSTOM")},
            "WebSocketConnectRoute",
            "it has AuthorizationType but no Type",
            id="a slip in a name, which would leave the API open",
        ),
    ],
)
def test_what_is_wrong_is_named(resources: dict[str, Any], place: str, reason: str) -> None:
    with pytest.raises(StartError) as raised:
        template(resources).extend(OWN, FUNCTIONS, STAGE)
    assert str(raised.value).startswith(f"t.yaml: Resources.{place}: ")
    assert reason in str(raised.value)


def test_the_file_something_wrong_is_in_is_named(tmp_path: Path) -> None:
    slip = tmp_path / "slip.yaml"
    slip.write_text("Resources: {WebsocketConnectRoute: {Properties: {AuthorizationType: jwt}}}")
    read_template = Template.read([TEMPLATES / "packaged.json", slip])
    with pytest.raises(StartError, match=rf"^{slip}: Resources\.WebsocketConnectRoute\."):
        read_template.extend(OWN, FUNCTIONS, STAGE)


@pytest.mark.parametrize(
    "integration",
    [
        pytest.param({}, id="nothing said"),
        pytest.param({"ContentHandlingStrategy": "CONVERT_TO_TEXT"}, id="text, as it is anyway"),
    ],
)
def test_content_that_stays_text_needs_no_word(integration: dict[str, Any]) -> None:
    assert extended(routed(**integration)).routes["send"] == Route("sendmessage")


def test_content_that_would_become_binary_is_said() -> None:
    read_template = template(routed(ContentHandlingStrategy="CONVERT_TO_BINARY"))
    read_template.extend(OWN, FUNCTIONS, STAGE)
    (sentence,) = read_template.unsupported
    assert "I.Properties.ContentHandlingStrategy" in sentence


def test_what_api_gateway_does_not_use_of_an_authorizer_is_not_used_here() -> None:
    unused = attached(IdentityValidationExpression="^x$", Name="guard")
    assert extended(unused).authorizer == extended(attached()).authorizer


def test_an_authorizer_that_shall_be_cached_is_asked_each_time_and_it_is_said() -> None:
    read_template = template(attached(AuthorizerResultTtlInSeconds=300))
    definition = read_template.extend(OWN, FUNCTIONS, STAGE)
    assert definition.authorizer == extended(attached()).authorizer
    (sentence,) = read_template.unsupported
    assert "AuthorizerResultTtlInSeconds: API Gateway refuses it" in sentence
