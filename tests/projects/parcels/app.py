"""Parcels over HTTP: a header, a query parameter and a stage variable say who may see them.

Of Portcullis it has chalicelib/whole_requests.py, and the deployment extension beside it.
"""

import os
import sys

from chalice import AuthResponse, AuthRoute, Chalice

from chalicelib.whole_requests import see_whole_requests

app = Chalice(app_name="parcels")
app.log.setLevel("INFO")


def websocket_api_definition():
    return {"stage_variables": {"StageVar1": os.environ["STAGE_VAR_1"]}}


@app.authorizer(ttl_seconds=60)
def courier(request):
    app.log.info("courier is asked about %s", request.method_arn)
    headers = {name.lower(): value for name, value in request.event["headers"].items()}
    query = request.event.get("queryStringParameters") or {}
    variables = request.event.get("stageVariables") or {}
    if headers["headerauth1"] != "headerValue1":
        raise Exception("Unauthorized")
    depot = query.get("QueryString1"), variables.get("StageVar1")
    if depot != ("queryValue1", "stageValue1"):
        return nothing_for("me", request)
    seen = [AuthRoute("/parcels", ["GET"]), AuthRoute("/parcels/*", ["GET"])]
    return AuthResponse(routes=seen, principal_id="me", context={"depot": 7})


see_whole_requests(
    courier,
    [
        "method.request.header.HeaderAuth1",
        "method.request.querystring.QueryString1",
        "stageVariables.StageVar1",
    ],
)


def nothing_for(principal_id, request):
    # An AuthResponse without routes is a policy that API Gateway cannot read.
    deny = {"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": request.method_arn}
    policy = {"Version": "2012-10-17", "Statement": [deny]}
    return {"principalId": principal_id, "policyDocument": policy}


@app.route("/parcels", authorizer=courier)
def parcels():
    return {"parcels": ["P1", "P2"], "for": app.current_request.context["authorizer"]}


@app.route("/parcels/{number}", authorizer=courier)
def parcel(number):
    return {"parcel": number, "stage": app.current_request.stage_vars}


@app.route("/parcels/{number}", methods=["DELETE"], authorizer=courier)
def lose(number):
    return {"lost": number}


@app.route("/opening-hours")
def opening_hours():
    return {"open": "always"}


if "chalice.deploy.deployer" in sys.modules:
    import deployment

    deployment.install(app, websocket_api_definition)
