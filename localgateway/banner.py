"""What the gateway says when it is ready: where it is, and commands to paste. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from urllib.parse import urlencode

from localgateway.definition import ApiDefinition, Example
from localgateway.events import Stage


def banner(
    definition: ApiDefinition,
    stage: Stage,
    database_url: str | None,
    *,
    has_http: bool,
    queues_url: str | None = None,
    worked: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the text: URLs, what lets a newcomer in, and commands.

    ``worked`` are names of queues, each with the function that works it.
    """
    address, api_stage = stage.domain_name, stage.name
    lines = [""]
    if definition.routes or definition.authorizer:
        lines.append(f"  WebSocket       ws://{address}/{api_stage}")
        lines.append(f"  Management API  http://{address}/{api_stage}/@connections")
    if has_http:
        lines.append(f"  HTTP            http://{address}")
    if database_url is not None:
        lines.append(f"  Database        {database_url}")
    if queues_url is not None:
        lines.append(f"  Queues          {queues_url}")
        lines += [f"                  {name}: {function}" for name, function in worked]
    example = definition.example
    credentials = [*example.headers.items(), *example.query.items()]
    if credentials:
        shown = ", ".join(f"{name}: {value}" for name, value in credentials)
        lines.append(f"  Demonstration   {shown}")
    if example.page and has_http:
        lines += ["", "  Open in a browser:", f"    http://{address}{example.page}"]
    if definition.routes or definition.authorizer:
        lines += ["", "  Connect:", f"    {_wscat(definition, address, api_stage)}"]
    if example.message:
        lines += ["  then type:", f"    {json.dumps(example.message, separators=(',', ':'))}"]
    return "\n".join([*lines, "", "  Ctrl-C stops everything.", ""])


def _wscat(definition: ApiDefinition, address: str, api_stage: str) -> str:
    example = definition.example
    if not example.headers and not example.query:
        example = _placeholders(definition)
    query = f"?{urlencode(example.query)}" if example.query else ""
    headers = "".join(f" -H {shlex.quote(f'{k}:{v}')}" for k, v in example.headers.items())
    return f"npx wscat -c {shlex.quote(f'ws://{address}/{api_stage}{query}')}{headers}"


def _placeholders(definition: ApiDefinition) -> Example:
    """Return what a client must send for an authorizer nothing else is known of."""
    sources = definition.authorizer.identity_sources if definition.authorizer else ()
    return Example(
        headers={s.name: "VALUE" for s in sources if s.kind.endswith("header")},
        query={s.name: "VALUE" for s in sources if s.kind.endswith("querystring")},
    )
