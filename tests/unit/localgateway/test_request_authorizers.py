"""REQUEST authorizers of HTTP routes: identity sources, event, answers and how long they count."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from chalice.app import Chalice
from chalice.config import Config

from chalicelib.whole_requests import WholeRequest, see_whole_requests
from localgateway.errors import StartError
from localgateway.http_messages import HttpRequest
from localgateway.http_routes import HttpRoutes
from localgateway.iam import is_allowed
from localgateway.kept_answers import MAX_ANSWERS

SOURCES = ("method.request.header.HeaderAuth1", "method.request.querystring.QueryString1")


class Site:
    """An app with two routes, and what its authorizer was asked."""

    def __init__(
        self,
        sources: Sequence[str] = SOURCES,
        ttl_seconds: int | None = 60,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        app = Chalice("site")
        self.asked: list[WholeRequest] = []
        self.answer: Callable[[WholeRequest], Any] = allow
        self.views = 0
        self.now = 0.0

        @app.authorizer(name="gate", ttl_seconds=ttl_seconds)
        def gate(request: Any) -> Any:
            self.asked.append(request)
            return self.answer(request)

        see_whole_requests(gate, lambda: sources)

        @app.route("/orders", authorizer=gate)
        def orders() -> Any:
            self.views += 1
            request: Any = app.current_request
            return request.context["authorizer"]

        @app.route("/orders/{number}", methods=["PUT"], authorizer=gate)
        def order(number: str) -> Any:
            self.views += 1
            request: Any = app.current_request
            return request.stage_vars

        self.routes = HttpRoutes(
            app, Config(chalice_stage="local"), None, variables, clock=lambda: self.now
        )

    def get(self, query: str = "", *headers: tuple[str, str]) -> tuple[int, Any]:
        return self.send("GET", f"/orders{query}", *headers)

    def send(self, method: str, target: str, *headers: tuple[str, str]) -> tuple[int, Any]:
        response = self.routes.respond(HttpRequest(method, target, headers, b""))
        return response.status, json.loads(response.body)


def allow(request: WholeRequest, effect: str = "Allow") -> Any:
    statement = {
        "Action": "execute-api:Invoke",
        "Effect": effect,
        "Resource": request.method_arn,
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    context = {"shownBy": "test", "attempts": 2, "isNew": True}
    return {"principalId": "alice", "policyDocument": policy, "context": context}


ANYTHING = {"Statement": {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "*"}}
HEADER = ("HeaderAuth1", "headerValue1")
QUERY = "?QueryString1=queryValue1"


def test_the_view_gets_what_the_authorizer_said_as_texts() -> None:
    said = {"shownBy": "test", "attempts": "2", "isNew": "true", "principalId": "alice"}
    assert Site().get(QUERY, HEADER) == (200, said)


def test_the_authorizer_sees_the_request_as_aws_documents_it() -> None:
    site = Site(variables={"StageVar1": "stageValue1"})
    target = "/orders/7?QueryString1=a&QueryString1=queryValue1"
    lines = [("HeaderAuth1", "x"), ("Accept", "*/*"), ("headerauth1", "headerValue1")]
    assert site.send("PUT", target, *lines) == (200, {"StageVar1": "stageValue1"})
    (request,) = site.asked
    event = dict(request.event)
    context = event.pop("requestContext")
    assert request.method_arn == event.pop("methodArn")
    assert request.method_arn.endswith(f":{context['apiId']}/{context['stage']}/PUT/orders/7")
    assert is_allowed(allow(request)["policyDocument"], request.method_arn, "192.0.2.7")
    assert event == {
        "type": "REQUEST",
        "resource": "/orders/{number}",
        "path": "/orders/7",
        "httpMethod": "PUT",
        "headers": {"Accept": "*/*", "HeaderAuth1": "headerValue1"},
        "multiValueHeaders": {"Accept": ["*/*"], "HeaderAuth1": ["x", "headerValue1"]},
        "queryStringParameters": {"QueryString1": "queryValue1"},
        "multiValueQueryStringParameters": {"QueryString1": ["a", "queryValue1"]},
        "pathParameters": {"number": "7"},
        "stageVariables": {"StageVar1": "stageValue1"},
    }
    assert context.pop("requestId")
    assert context == {
        "accountId": "123456789012",
        "apiId": context["apiId"],
        "stage": "api",
        "httpMethod": "PUT",
        "path": "/orders/7",
        "resourcePath": "/orders/{number}",
        "identity": {"sourceIp": "127.0.0.1"},
    }


def test_maps_are_empty_where_nothing_was_sent() -> None:
    site = Site(())
    site.get()
    maps = ("headers", "queryStringParameters", "pathParameters", "stageVariables")
    assert [site.asked[0].event[it] for it in maps] == [{}] * 4


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        pytest.param(QUERY, [], id="no header"),
        pytest.param("", [HEADER], id="no query parameter"),
        pytest.param("?QueryString1=", [HEADER], id="an empty one"),
        pytest.param(QUERY, [("HeaderAuth1", "")], id="an empty header"),
        pytest.param("?querystring1=queryValue1", [HEADER], id="a name in another case"),
        pytest.param("", [("Authorization", "Bearer a.b.c")], id="another header"),
    ],
)
def test_while_answers_are_kept_a_missing_source_is_401_without_a_call(
    query: str, headers: list[tuple[str, str]]
) -> None:
    site = Site()
    assert site.get(query, *headers) == (401, {"message": "Unauthorized"})
    assert site.asked == []
    unset = Site(ttl_seconds=None)  # API Gateway keeps for 300 seconds then
    assert unset.get(query, *headers)[0] == 401


@pytest.mark.parametrize(("sources", "ttl_seconds"), [(SOURCES, 0), ((), 60), ((), None)])
def test_where_nothing_is_kept_the_authorizer_is_asked_always(
    sources: Sequence[str], ttl_seconds: int | None
) -> None:
    site = Site(sources, ttl_seconds)
    assert [site.get()[0] for _ in range(2)] == [200, 200]
    assert len(site.asked) == 2


def test_an_answer_counts_for_its_time_and_not_longer() -> None:
    site = Site(ttl_seconds=60)
    for site.now in (0.0, 30.0, 59.9):
        assert site.get(QUERY, HEADER)[0] == 200
    assert (len(site.asked), site.views) == (1, 3)
    site.now = 60.0  # what was asked meanwhile makes it no younger
    assert site.get(QUERY, HEADER)[0] == 200
    assert len(site.asked) == 2


def test_where_no_time_is_said_an_answer_counts_five_minutes() -> None:
    site = Site(ttl_seconds=None)
    for site.now in (0.0, 299.0, 300.0):
        site.get(QUERY, HEADER)
    assert len(site.asked) == 2


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        pytest.param(QUERY, [("HeaderAuth1", "other")], id="another header"),
        pytest.param("?QueryString1=other", [HEADER], id="another query parameter"),
        pytest.param(
            "?QueryString1=headerValue1", [("HeaderAuth1", "queryValue1")], id="exchanged"
        ),
        pytest.param(f"{QUERY}&QueryString1=queryValue1", [HEADER], id="twice"),
        pytest.param(QUERY, [("HeaderAuth1", "other"), HEADER], id="another one before it"),
    ],
)
def test_an_answer_counts_for_the_values_that_were_shown_and_no_others(
    query: str, headers: list[tuple[str, str]]
) -> None:
    site = Site()
    for _ in range(2):
        site.get(QUERY, HEADER)
    assert len(site.asked) == 1
    site.get(query, *headers)
    assert len(site.asked) == 2


def test_what_is_no_identity_source_makes_no_difference_to_a_kept_answer() -> None:
    site = Site()
    site.get(QUERY, HEADER)
    assert site.get(f"{QUERY}&page=2", ("headerauth1", "headerValue1"), ("A", "b"))[0] == 200
    assert len(site.asked) == 1


def test_a_kept_answer_is_held_against_each_route_that_is_asked_for() -> None:
    """So an answer for one method alone shuts the others, as it does on AWS."""
    site = Site()
    assert site.get(QUERY, HEADER)[0] == 200
    assert site.send("PUT", f"/orders/7{QUERY}", HEADER)[0] == 403
    assert (len(site.asked), site.views) == (1, 1)


def test_a_refusal_is_kept_too_and_no_fault_is() -> None:
    site = Site()
    site.answer = lambda request: allow(request, "Deny")
    assert [site.get(QUERY, HEADER)[0] for _ in range(2)] == [403, 403]
    assert len(site.asked) == 1
    faulty = Site()
    faulty.answer = lambda _: {"principalId": "alice"}
    assert faulty.get(QUERY, HEADER)[0] == 500
    faulty.answer = allow
    assert faulty.get(QUERY, HEADER)[0] == 200


def test_no_more_answers_are_kept_than_there_is_room_for() -> None:
    site = Site(SOURCES[:1])
    for number in range(MAX_ANSWERS + 1):
        site.get("", ("HeaderAuth1", str(number)))
    asked = len(site.asked)
    site.get("", ("HeaderAuth1", str(MAX_ANSWERS)))
    assert len(site.asked) == asked
    site.get("", ("HeaderAuth1", "0"))  # the oldest
    assert len(site.asked) == asked + 1


def test_a_deny_is_403_and_the_view_is_not_called() -> None:
    site = Site()
    site.answer = lambda request: allow(request, "Deny")
    assert site.get(QUERY, HEADER)[0] == 403
    assert site.views == 0


def test_a_raised_unauthorized_is_401_and_any_other_exception_500() -> None:
    for text, status in (("Unauthorized", 401), ("unauthorized", 500)):
        site = Site()

        def fail(_request: object, text: str = text) -> Any:
            raise Exception(text)

        site.answer = fail
        assert site.get(QUERY, HEADER)[0] == status
        assert site.views == 0


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        {"principalId": "alice"},
        "yes",
        {"policyDocument": ANYTHING},
        {"policyDocument": ANYTHING, "principalId": "alice", "context": {"list": []}},
    ],
)
def test_an_answer_that_is_no_policy_is_500(answer: object) -> None:
    site = Site()
    site.answer = lambda _: answer
    assert site.get(QUERY, HEADER)[0] == 500
    assert site.views == 0


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("context.identity.sourceIp", 200),
        ("context.nothing.there", 401),
        ("stageVariables.A", 200),
        ("stageVariables.B", 401),
        ("stageVariables.a", 401),
        ("stageVariables.empty", 401),
    ],
)
def test_sources_may_be_of_the_context_and_the_stage_too(source: str, status: int) -> None:
    assert Site((source,), variables={"A": "1", "empty": ""}).get()[0] == status


@pytest.mark.parametrize("source", ["route.request.header.A", "$request.header.A", "header.A", ""])
def test_what_is_no_source_is_refused_at_start(source: str) -> None:
    with pytest.raises(StartError, match="identity source"):
        Site((source,))
