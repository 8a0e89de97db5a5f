"""Cedar policies, the language of Amazon Verified Permissions, as one more checker beside scopes.

Both must allow. A policy sees ``Principal::"<id>"``; ``Action::"sendmessage"``,
``Action::"join"`` or, over HTTP, ``Action::"publish"``; ``Audience::"<audience>"``; and a context
with ``kind`` and ``name`` of the audience and the ``scopes`` of the principal. Nothing is allowed
that no policy permits.

https://docs.cedarpolicy.com/policies/syntax-policy.html
"""

import logging
from typing import Any

# 16 MB, which ship only where requirements.txt asks for them: bootstrap imports this module late.
import cedarpy

from chalicelib.connections import Audience
from chalicelib.errors import ConfigurationError
from chalicelib.scopes import Scopes

_logger = logging.getLogger(__name__)


class CedarPolicies:
    """A set of policies, read once."""

    def __init__(self, text: str) -> None:
        """ConfigurationError where the text is not Cedar, for then nobody may do anything."""
        try:
            self._policies = cedarpy.PolicySet.from_str(text)
        except ValueError as error:
            raise ConfigurationError("CEDAR_POLICIES cannot be read as Cedar") from error

    def allow(self, principal_id: str, action: str, audience: Audience, scopes: Scopes) -> bool:
        """Tell whether a policy permits this and none forbids it; what cannot be told is denied."""
        request = {
            "principal": _entity("Principal", principal_id),
            "action": _entity("Action", action),
            "resource": _entity("Audience", str(audience)),
            "context": {
                "kind": audience.kind,
                "name": audience.name,
                "scopes": sorted(scopes.texts),
            },
        }
        result: Any = cedarpy.is_authorized(request, self._policies, [])
        if result.diagnostics.errors:
            # Of which policy, not of what: an error may repeat what a client has sent.
            _logger.error("%d Cedar policies failed for %s", len(result.diagnostics.errors), action)
            return False
        return bool(result.allowed)


def _entity(kind: str, name: str) -> dict[str, str]:
    # Not as text: Cedar reads no name there that holds an apostrophe or a line break, say.
    return {"type": kind, "id": name}
