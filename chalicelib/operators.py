"""What operators ask for over HTTP. Pure."""

from chalicelib.authorizers import is_principal_id
from chalicelib.errors import ClientError
from chalicelib.frames import parse_object


def named_principal(body: bytes) -> str:
    """Read ``{"principal": "<id>"}``; raises ClientError for anything else."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise ClientError("malformed_json", "The body is not UTF-8.") from None
    fields = parse_object(text)
    if fields.keys() != {"principal"}:
        raise ClientError("invalid_field", "The body has one field: principal.")
    principal_id = fields["principal"]
    if not is_principal_id(principal_id):
        raise ClientError("invalid_field", "principal is not the id of a principal.")
    return str(principal_id)
