"""Functions of an app invoke each other through boto3, as on AWS."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from localgateway.definition import ApiDefinition
from localgateway.functions import Functions
from localgateway.lambda_api import LambdaApi
from localgateway.server import Server
from tests.gateway_under_test import GatewayUnderTest


class Invoked:
    def __init__(self) -> None:
        self.event: Any = None
        self.done = threading.Event()

    def __call__(self, event: Any, _context: Any) -> Any:
        self.event = event
        self.done.set()
        if event == "fail":
            raise KeyError("missing")
        return {"got": event}


@pytest.fixture
def invoked() -> Invoked:
    return Invoked()


@pytest.fixture
def client(invoked: Invoked) -> Iterator[Any]:
    functions = Functions({"work": invoked}, timeout=30.0)
    names = {"work": "work", "app-dev-work": "work"}

    def with_functions(gateway: Any, http_routes: Any) -> Server:
        return Server(gateway, http_routes, LambdaApi(functions, names))

    gateway = GatewayUnderTest(ApiDefinition(routes={}), {}, make_server=with_functions)
    client = boto3.client(
        "lambda", endpoint_url=f"http://{gateway.address}", region_name="us-east-1"
    )
    yield client
    client.close()
    gateway.stop()
    functions.close()


@pytest.mark.parametrize(
    "name", ["work", "app-dev-work", "arn:aws:lambda:us-east-1:123456789012:function:app-dev-work"]
)
def test_a_function_answers_by_any_of_its_names(client: Any, name: str) -> None:
    answer = client.invoke(FunctionName=name, Payload=json.dumps({"n": 1}))
    assert answer["StatusCode"] == 200
    assert json.load(answer["Payload"]) == {"got": {"n": 1}}
    assert "FunctionError" not in answer


def test_a_function_that_raises_says_so_as_lambda_does(client: Any) -> None:
    answer = client.invoke(FunctionName="work", Payload=b'"fail"')
    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"]) == {"errorMessage": "'missing'", "errorType": "KeyError"}


def test_an_event_invocation_is_not_waited_for(client: Any, invoked: Invoked) -> None:
    answer = client.invoke(FunctionName="work", InvocationType="Event", Payload=b'{"n": 2}')
    assert answer["StatusCode"] == 202
    assert invoked.done.wait(30)
    assert invoked.event == {"n": 2}


def test_a_dry_run_runs_nothing(client: Any, invoked: Invoked) -> None:
    assert client.invoke(FunctionName="work", InvocationType="DryRun")["StatusCode"] == 204
    assert invoked.event is None


def test_an_invocation_without_a_signature_is_refused(client: Any, invoked: Invoked) -> None:
    url = f"{client.meta.endpoint_url}/2015-03-31/functions/work/invocations"
    with pytest.raises(urllib.error.HTTPError, match="403") as caught:
        urllib.request.urlopen(url, data=b"{}")
    caught.value.close()
    assert invoked.event is None, "any web page can send such a request"


def test_an_unknown_function_is_not_found(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="other"):
        client.invoke(FunctionName="other")


def test_a_payload_that_is_not_json_is_refused(client: Any) -> None:
    with pytest.raises(client.exceptions.InvalidRequestContentException):
        client.invoke(FunctionName="work", Payload=b"{")
