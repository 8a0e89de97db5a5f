"""Names of what is created beside Chalice's own resources, and how two stages are told apart."""

from __future__ import annotations

from collections.abc import Mapping

OWNER_TAG = "aws-chalice"


def log_group(function_name: str) -> str:
    """Return the log group Lambda writes to unless told otherwise."""
    return f"/aws/lambda/{function_name}"


def owner(tags: Mapping[str, str]) -> str | None:
    """Return app and stage out of the tag Chalice puts on all it makes; not its version."""
    parts = tags.get(OWNER_TAG, "").split(":")
    return ":".join(part for part in parts if part.startswith(("stage=", "app="))) or None
