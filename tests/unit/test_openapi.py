"""The OpenAPI document is valid, and says what the routes say."""

import json
import re

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import app as app_module
from chalicelib import __version__, openapi
from chalicelib.http_answers import RETRY_SECONDS, STATUSES
from chalicelib.http_routes import ROUTE_SCOPES, route_name

DOCUMENT = json.loads(json.dumps(openapi.document("/api")))
OPERATIONS = {
    (method.upper(), path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
# Pages for people are no part of the API.
UNDESCRIBED = {("GET", "/")}


def test_it_is_a_valid_document() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["info"]["version"] == __version__
    assert DOCUMENT["servers"] == [{"url": "/api"}]


def test_it_describes_the_routes_there_are_and_no_others() -> None:
    routes = {(m, path) for path, methods in app_module.app.routes.items() for m in methods}
    assert routes - UNDESCRIBED == set(OPERATIONS)


def test_it_asks_for_a_credential_where_the_route_does() -> None:
    for (method, path), operation in OPERATIONS.items():
        entry = app_module.app.routes[path][method]
        scope = ROUTE_SCOPES.get(route_name(method, path))
        assert "security" in operation, "a document generator takes its absence for an oversight"
        assert bool(operation["security"]) == (entry.authorizer is not None) == bool(scope)
        assert f"`{scope}`" in operation.get("description", "`None`")
        assert {"401", "403"} <= operation["responses"].keys() or scope is None


def test_parameters_of_the_path_are_those_of_the_view() -> None:
    for (method, path), operation in OPERATIONS.items():
        named = {it["name"] for it in operation.get("parameters", []) if it["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path))
        entry = app_module.app.routes[path][method]
        assert ("requestBody" in operation) == (method == "POST" and path != "/tickets")
        assert entry.content_types in ([], ["application/json"])


def test_every_body_has_an_example_that_is_one() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT["paths"])))
    for name in used - {"Any"}:
        schema = {"components": DOCUMENT["components"], "$ref": f"#/components/schemas/{name}"}
        for example in schemas[name]["examples"]:
            jsonschema.validate(example, schema)


def test_the_headers_of_errors_are_described() -> None:
    for operation in OPERATIONS.values():
        for response in operation["responses"].values():
            codes = set(re.findall(r"`(\w+)`", response["description"]))
            headers = response.get("headers", {}).keys()
            assert ("Retry-After" in headers) == bool(codes & RETRY_SECONDS.keys())
            assert ("WWW-Authenticate" in headers) == ("unauthorized" in codes)


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)


def test_every_code_is_under_its_status_somewhere() -> None:
    described = set()
    for operation in OPERATIONS.values():
        for status, response in operation["responses"].items():
            for code in re.findall(r"`(\w+)`", response["description"]):
                assert STATUSES[code] == int(status)
                described.add(code)
    # Of one message among several, which is no status of its own.
    assert set(STATUSES) - described == {"out_of_time"}


@pytest.mark.parametrize(
    "value",
    [
        {"error": {"code": "no_such_code", "message": ""}},
        {"error": {"code": "not_found"}},
        {"error": {"code": "not_found", "message": "", "trace": ""}},
        {"message": "Forbidden"},
    ],
)
def test_the_shape_of_errors_is_strict(value: object) -> None:
    schema = DOCUMENT["components"]["schemas"]["Error"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, schema)
