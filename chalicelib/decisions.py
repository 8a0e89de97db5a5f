"""One line of the log for each decision: who, from where, and why. Pure.

A line holds codes and names that were vouched for, or that an operator asked about, never what else
a client sent; and whatever is in a name, one line stays one line and shows what it says, except a
credential that somebody put there.
"""

import json
from collections.abc import Mapping

from chalicelib.principals import without_credentials

MAX_CHARACTERS = 256


def decision_line(
    decision: str,
    reason: str,
    principal_id: str | None = None,
    connection_id: str | None = None,
    source_ip: str | None = None,
    **more: str | None,
) -> str:
    """Return a decision as JSON on one line, all of it printable ASCII."""
    line = {
        "decision": decision,
        "reason": reason,
        "principalId": principal_id,
        "connectionId": connection_id,
        "sourceIp": source_ip,
        **more,
    }
    # This escapes control characters, and all that is not ASCII.
    return json.dumps({name: value and _shown(value) for name, value in line.items()})


def counts_line(decision: str, counts: Mapping[str, int]) -> str:
    """Return what came of something that concerns many as JSON on one line."""
    return json.dumps({"decision": decision, **counts})


def _shown(text: str) -> str:
    return without_credentials(text)[:MAX_CHARACTERS]


def source_ip(request_context: Mapping[str, object]) -> str | None:
    """Return the address API Gateway saw a request come from; our mapping template has it flat."""
    identity = request_context.get("identity")
    address = (identity if isinstance(identity, Mapping) else request_context).get("sourceIp")
    return address if isinstance(address, str) else None
