"""What a principal may do, as short texts that travel in tokens, keys and contexts. Pure.

* ``connect``               open a connection, or ask for a ticket to open one
* ``sendmessage``           send to everyone and to oneself
* ``sendmessage:AUDIENCE``  send to these audiences too
* ``join:AUDIENCE``         join these channels
* ``publish``               send over HTTP
* ``admin``                 what operators do over HTTP

AUDIENCE is an audience, or the beginning of some and ``*``: ``channel:news``, ``channel:*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# What scopes are made of, https://www.rfc-editor.org/rfc/rfc6749#section-3.3 ; no ``*`` but last.
_NAME = r"(?:[!#-)+-\[\]-~]{1,128}\*?|\*)"
_SCOPE = re.compile(
    rf"connect|publish|admin|join:(?:channel:{_NAME}|\*)"
    rf"|sendmessage(?::(?:everyone|\*|(?:principal|channel|connection):{_NAME}))?"
)


@dataclass(frozen=True, slots=True)
class Scopes:
    """A set of scopes; what is not in it may not be done."""

    texts: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Scopes:
        """Read scopes between spaces; ValueError where one of them is none of ours."""
        scopes = text.split()
        for scope in scopes:
            if not is_scope(scope):
                raise ValueError(f"not a scope: {scope}")
        return cls(frozenset(scopes))

    @classmethod
    def granted(cls, texts: Iterable[str], prefix: str = "") -> Scopes:
        """Pick ours, written with this prefix, among the scopes an issuer grants for anything."""
        ours = (text.removeprefix(prefix) for text in texts if text.startswith(prefix))
        return cls(frozenset(filter(is_scope, ours)))

    def allow(self, action: str, audience: str = "") -> bool:
        """Tell whether an action is granted, upon this audience where one is named.

        A scope without an audience grants the action by itself only.
        """
        if not audience:
            return action in self.texts
        return any(_covers(text, action, audience) for text in self.texts)

    def __str__(self) -> str:
        return " ".join(sorted(self.texts))


def is_scope(text: str) -> bool:
    """Tell whether a text is one of our scopes."""
    return _SCOPE.fullmatch(text) is not None


def _covers(scope: str, action: str, audience: str) -> bool:
    name, _, pattern = scope.partition(":")
    if name != action or not pattern:
        return False
    if pattern.endswith("*"):
        return audience.startswith(pattern[:-1])
    return audience == pattern
