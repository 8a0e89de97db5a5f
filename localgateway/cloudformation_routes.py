"""What a template says of a WebSocket API's routes and of who may open a connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from localgateway.authorization import IdentitySource
from localgateway.cloudformation_api import ServedApi
from localgateway.cloudformation_resources import HANDLERS, Resource
from localgateway.definition import Authorizer, IntegrationResponse, Route, checked

_DEFAULT = "$default"
_CONNECT = "$connect"


def read_routes(api: ServedApi) -> dict[str, Route]:
    """Return the app's routes and over them the template's; raises ``StartError``."""
    routes = dict(api.definition.routes)
    integrations = {each.logical_id: each for each in api.of("Integration")}
    for resource, key in _declared_routes(api):
        integration = _integration(resource, integrations)
        if _is_served(integration, key):
            route = _integrated(api, integration, key)
            routes[key] = replace(route, two_way=_is_two_way(api, resource))
    return routes


def read_authorizer(api: ServedApi) -> Authorizer | None:
    """Return what ``$connect`` asks; the app's own where the template does not say."""
    authorizer = api.definition.authorizer
    attached = None
    for resource, key in _declared_routes(api):
        kind = resource.text("AuthorizationType")
        if kind is None:
            continue
        if key != _CONNECT:
            if kind != "NONE":
                resource.say("AuthorizationType", f"API Gateway refuses it but for {_CONNECT}")
        elif kind == "CUSTOM":
            attached = resource.text("AuthorizerId")
            authorizer = _attached(api, resource, attached)
        else:
            _say_everybody_is_let_in(
                resource, kind, app_has_authorizer=api.definition.authorizer is not None
            )
            authorizer, attached = None, None
    for resource in api.of("Authorizer"):
        if resource.logical_id != attached:
            outcome = "everybody is let in" if authorizer is None else "it is never asked"
            resource.say("", f"it is not attached to {_CONNECT}: {outcome}")
    return authorizer


def _declared_routes(api: ServedApi) -> Iterator[tuple[Resource, str]]:
    for resource in api.of("Route"):
        key = resource.text("RouteKey")
        if not key or (key.startswith("$") and key not in HANDLERS):
            resource.fail("RouteKey", f"{key!r} is no route key of a WebSocket API")
        # What Chalice makes of a handler it makes only where the app has one.
        if resource.is_declared or key in api.definition.routes:
            yield resource, key


def _integration(route: Resource, integrations: Mapping[str, Resource]) -> Resource:
    target = route.text("Target") or route.fail("Target", "the route has no integration")
    integration = integrations.get(target.removeprefix("integrations/"))
    return integration or route.fail("Target", f"there is no integration {target!r}")


def _is_served(integration: Resource, route_key: str) -> bool:
    """Tell whether the gateway can do what the integration does; say so where it cannot."""
    kind = integration.text("IntegrationType") or integration.fail(
        "IntegrationType", "it is missing"
    )
    uri = integration.get("IntegrationUri") or "it"
    if kind.startswith("HTTP") or integration.text("ConnectionType") == "VPC_LINK":
        name, reason = "IntegrationType", f"{kind} integrations reach no other server from here"
    elif kind == "AWS" and ":lambda:" not in str(uri):
        name, reason = "IntegrationUri", f"{uri} is no Lambda function"
    else:
        return True
    integration.say(name, f"{reason}: route {route_key} is left as the app has it")
    return False


def _integrated(api: ServedApi, integration: Resource, route_key: str) -> Route:
    kind = integration.text("IntegrationType") or ""
    route = Route(
        function=None if kind == "MOCK" else api.function(integration, "IntegrationUri"),
        integration_type=kind,
        request_templates=integration.texts("RequestTemplates"),
        template_selection_expression=integration.text("TemplateSelectionExpression"),
        passthrough_behavior=integration.text("PassthroughBehavior") or "WHEN_NO_MATCH",
        integration_responses=dict(_integration_responses(api, integration)),
    )
    with integration.locating("IntegrationType"):
        return checked(route_key, route)


def _integration_responses(
    api: ServedApi, integration: Resource
) -> Iterator[tuple[str, IntegrationResponse]]:
    for response in api.of("IntegrationResponse"):
        if response.text("IntegrationId") != integration.logical_id:
            continue
        key = response.text("IntegrationResponseKey") or ""
        if key != _DEFAULT and not (len(key) > 1 and key.startswith("/") and key.endswith("/")):
            response.fail("IntegrationResponseKey", f"{key!r} is neither $default nor /REGEX/")
        if response.text("TemplateSelectionExpression") not in {None, _DEFAULT, f"\\{_DEFAULT}"}:
            response.say("TemplateSelectionExpression", "the $default template is always taken")
        yield key, IntegrationResponse(response.texts("ResponseTemplates"))


def _is_two_way(api: ServedApi, route: Resource) -> bool:
    """Tell whether what is answered is sent: both the route and a route response must say so."""
    expression = route.text("RouteResponseSelectionExpression")
    for response in api.of("RouteResponse"):
        if response.text("RouteId") == route.logical_id:
            if expression == response.text("RouteResponseKey") == _DEFAULT:
                return True
            response.say(
                "RouteResponseKey",
                "nothing is sent: it and its route's RouteResponseSelectionExpression must both "
                f"be {_DEFAULT}",
            )
    return False


def _attached(api: ServedApi, route: Resource, logical_id: str | None) -> Authorizer | None:
    resource = next((each for each in api.of("Authorizer") if each.logical_id == logical_id), None)
    if resource is None:
        route.fail("AuthorizerId", f"there is no authorizer {logical_id!r}")
    kind = resource.text("AuthorizerType")
    if kind != "REQUEST":
        resource.say("AuthorizerType", f"{kind} is not checked: everybody is let in")
        return None
    given = resource.get("IdentitySource") or []
    expressions = given.split(",") if isinstance(given, str) else given
    with resource.locating("IdentitySource"):
        sources = tuple(IdentitySource.parse(str(each).strip()) for each in expressions)
    return Authorizer(api.function(resource, "AuthorizerUri"), sources)


def _say_everybody_is_let_in(route: Resource, kind: str, *, app_has_authorizer: bool) -> None:
    if kind not in {"NONE", "AWS_IAM", "JWT"}:
        route.fail("AuthorizationType", f"{kind!r} is none of NONE, AWS_IAM, CUSTOM")
    if kind != "NONE":
        route.say("AuthorizationType", f"{kind} is not checked: everybody is let in")
    elif app_has_authorizer:
        route.say("AuthorizationType", "the app's own authorizer is not asked: everybody is let in")
