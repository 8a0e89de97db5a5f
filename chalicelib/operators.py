"""Revoking over HTTP."""

from chalicelib.broadcast import MIN_STALE_AGE_SECONDS
from chalicelib.errors import ClientError
from chalicelib.http_answers import Answer
from chalicelib.http_requests import Call
from chalicelib.principals import PRINCIPAL_RULE, is_principal_id
from chalicelib.revocation import RevocationStore, Revoker

MAX_BODY_BYTES = 8192
# Of the time there is: connections are silent before they are closed.
CLOSING_SHARE = 0.5
# By then every handshake that was under way is over, or the connection is known to be gone.
CLOSING_SECONDS = MIN_STALE_AGE_SECONDS + 2.0


def revoke(revoker: Revoker, call: Call) -> Answer:
    """Keep a principal out, and close the connections it has; raises as ``named_principal``."""
    principal_id = named_principal(call)
    revoked = revoker.revoke(principal_id, min(CLOSING_SECONDS, CLOSING_SHARE * call.seconds))
    return Answer(200, revoked.to_dict(), about={"of": principal_id})


def allow(revocations: RevocationStore, call: Call) -> Answer:
    """Let a principal in again; raises as ``named_principal``."""
    principal_id = named_principal(call)
    revocations.allow(principal_id)
    return Answer(200, {"principal": principal_id}, about={"of": principal_id})


def named_principal(call: Call) -> str:
    """Read ``{"principal": "<id>"}``; raises ClientError for anything else.

    In the body, for not every name can stand in a path.
    """
    call.only_parameters(())
    fields = call.json_object(MAX_BODY_BYTES)
    if "principal" not in fields:
        raise ClientError("missing_field", "principal is missing.")
    if fields.keys() != {"principal"}:
        raise ClientError("unknown_field", "The fields are: principal.")
    principal_id = fields["principal"]
    if not is_principal_id(principal_id):
        raise ClientError(
            "invalid_field", f"principal is not the id of a principal: {PRINCIPAL_RULE}."
        )
    return str(principal_id)
