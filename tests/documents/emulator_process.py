"""MiniStack, with the one call that the second ``chalice deploy`` of an HTTP API makes: PutRestApi.

MiniStack keeps the name and nothing else of what is imported as a REST API, so there is nothing to
replace: the API that is there is the answer. Functions that were changed are ready at once, where
MiniStack has each deployment wait half a second for each. The account is AWS's own, where MiniStack
gives it as many executions at once as the machine has memory for. Runs as a script.
"""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from typing import Any

from ministack.services import apigateway_v1, lambda_svc

_handle_request = apigateway_v1.handle_request


async def handle_request(
    method: str, path: str, headers: Mapping[str, str], body: bytes, query_params: Mapping[str, Any]
) -> Any:
    """Answer PUT /restapis/ID, which MiniStack does not know, as GET."""
    parts = path.strip("/").split("/")
    if method == "PUT" and len(parts) == 2 and parts[0] == "restapis":
        method = "GET"
    return await _handle_request(method, path, headers, body, query_params)


if __name__ == "__main__":
    apigateway_v1.handle_request = handle_request
    lambda_svc._LAMBDA_STATE_TRANSITION_DELAY = 0.0
    lambda_svc._ACCOUNT_CONCURRENCY_CAP = 1000
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)
