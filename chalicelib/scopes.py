"""What a principal may do, as short texts that travel in tokens, keys and contexts. Pure.

* ``connect``               open a connection, or ask for a ticket to open one
* ``sendmessage``           send to everyone and to oneself
* ``sendmessage:AUDIENCE``  send to these audiences too
* ``join:AUDIENCE``         join these channels
* ``publish``               send over HTTP
* ``admin``                 what operators do over HTTP, but for keys
* ``admin:keys``            make, list and revoke API keys over HTTP, for whomever they speak

AUDIENCE is an audience, or the beginning of some and ``*``: ``channel:news``, ``channel:*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# What scopes are made of, https://www.rfc-editor.org/rfc/rfc6749#section-3.3 ; no ``*`` but last.
_NAME = r"(?:[!#-)+-\[\]-~]{1,128}\*?|\*)"
PATTERN = (
    rf"connect|publish|admin(?::keys)?|join:(?:channel:{_NAME}|\*)"
    rf"|sendmessage(?::(?:everyone|\*|(?:principal|channel|connection):{_NAME}))?"
)
"""A regular expression of every scope, in what Python's and JavaScript's have in common."""
_SCOPE = re.compile(PATTERN)

MAX_CHARACTERS = 2048
"""Of all scopes of one credential: an authorizer's answer may have 8 KB."""


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

    def cover(self, others: Scopes) -> bool:
        """Tell whether each of other scopes is one of these, or of some audiences of one of these.

        What covers them allows all that they allow.
        """
        return all(any(_contains(own, other) for own in self.texts) for other in others.texts)

    def __str__(self) -> str:
        return " ".join(sorted(self.texts))


def is_scope(text: str) -> bool:
    """Tell whether a text is one of our scopes."""
    return _SCOPE.fullmatch(text) is not None


def _contains(own: str, other: str) -> bool:
    if own == other:
        return True
    name, _, audiences = other.partition(":")
    # A star at the end of the other's is no more than a letter here: it must be beyond our own.
    return bool(audiences) and _covers(own, name, audiences)


def _covers(scope: str, action: str, audience: str) -> bool:
    name, _, pattern = scope.partition(":")
    if name != action or not pattern:
        return False
    if pattern.endswith("*"):
        return audience.startswith(pattern[:-1])
    return audience == pattern
