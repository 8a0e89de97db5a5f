"""``chalice delete``: what was created beside Chalice's own resources goes too.

And a deletion that stopped half way can be repeated: what is gone already is no error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError
from chalice.awsclient import ResourceDoesNotExistError, TypedAWSClient
from chalice.deploy import models

from deployment import observability_plan
from deployment.chalice_internals import DELETING_CALLS, ResourceSweeper, wrap

_GONE = frozenset({"NoSuchEntity", "NotFoundException", "ResourceNotFoundException"})


def install() -> None:
    """Teach Chalice's sweeper the kinds it does not know, and to pass over what is gone."""
    for kind in ("table", "queue", *observability_plan.KINDS):
        setattr(ResourceSweeper, f"_delete_{kind}", _deletion(kind))
    for name in DELETING_CALLS:
        wrap(TypedAWSClient, name, _unless_gone)


def delete_log_group(
    original: Callable[..., Any], sweeper: Any, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Delete a log group where Chalice only forgets its retention."""
    name = values["log_group_name"]
    call = models.APICall(method_name="delete_log_group", params={"log_group_name": name})
    return {"instructions": (call,), "message": f"Deleting log group: {name}\n"}


def _unless_gone(original: Callable[..., Any], aws: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(aws, *args, **kwargs)
    except ResourceDoesNotExistError:
        return None
    except ClientError as error:
        if error.response["Error"]["Code"] not in _GONE:
            raise
        return None


def _deletion(kind: str) -> Callable[[Any, Mapping[str, Any]], dict[str, Any]]:
    def delete(sweeper: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        name = values[f"{kind}_name"]
        call = models.APICall(method_name=f"delete_{kind}", params={"name": name})
        label = kind.replace("_", " ")
        return {"instructions": (call,), "message": f"Deleting {label}: {name}\n"}

    return delete
