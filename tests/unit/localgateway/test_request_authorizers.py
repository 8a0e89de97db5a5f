"""REQUEST authorizers of HTTP routes: identity sources, the event, and what an answer means."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from chalice.app import Chalice
from chalice.config import Config

from chalicelib.whole_requests import WholeRequest, see_whole_requests
from localgateway.errors import StartError
from localgateway.http_messages import HttpRequest
from localgateway.http_routes import HttpRoutes
from localgateway.iam import is_allowed

SOURCES = ("method.request.header.HeaderAuth1", "method.request.querystring.QueryString1")


class Site:
    """An app with one route, and what its authorizer was asked."""

    def __init__(self, sources: Sequence[str] = SOURCES, ttl_seconds: int | None = 60) -> None:
        app = Chalice("site")
        self.asked: list[WholeRequest] = []
        self.answer: Callable[[WholeRequest], Any] = allow
        self.views = 0

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

        self.routes = HttpRoutes(app, Config(chalice_stage="local"))

    def get(self, query: str = "", *headers: tuple[str, str]) -> tuple[int, Any]:
        response = self.routes.respond(HttpRequest("GET", f"/orders{query}", headers, b""))
        return response.status, json.loads(response.body)


def allow(request: WholeRequest, effect: str = "Allow") -> Any:
    statement = {
        "Action": "execute-api:Invoke",
        "Effect": effect,
        "Resource": request.method_arn,
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    return {"principalId": "alice", "policyDocument": policy, "context": {"shownBy": "test"}}


HEADER = ("HeaderAuth1", "headerValue1")
QUERY = "?QueryString1=queryValue1"


def test_the_authorizer_sees_the_request_and_the_view_what_it_said() -> None:
    site = Site()
    status, body = site.get(QUERY, HEADER)
    assert (status, body) == (200, {"shownBy": "test", "principalId": "alice"})
    (request,) = site.asked
    assert request.event["type"] == "REQUEST"
    assert request.event["headers"]["headerauth1"] == "headerValue1"
    assert request.event["multiValueQueryStringParameters"] == {"QueryString1": ["queryValue1"]}
    assert is_allowed(allow(request)["policyDocument"], request.method_arn, "192.0.2.7")
    assert request.method_arn.endswith("/GET/orders")


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
    assert site.get()[0] == 200
    assert len(site.asked) == 1


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


@pytest.mark.parametrize("answer", [None, {}, {"principalId": "alice"}, "yes"])
def test_an_answer_that_is_no_policy_is_500(answer: object) -> None:
    site = Site()
    site.answer = lambda _: answer
    assert site.get(QUERY, HEADER)[0] == 500
    assert site.views == 0


@pytest.mark.parametrize(
    ("source", "status"),
    [("context.identity.sourceIp", 200), ("context.nothing.there", 401), ("stageVariables.A", 401)],
)
def test_sources_may_be_of_the_context_too(source: str, status: int) -> None:
    assert Site((source,)).get()[0] == status


@pytest.mark.parametrize("source", ["route.request.header.A", "$request.header.A", "header.A", ""])
def test_what_is_no_source_is_refused_at_start(source: str) -> None:
    with pytest.raises(StartError, match="identity source"):
        Site((source,))
