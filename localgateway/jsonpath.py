"""The part of JSONPath that selection expressions and mapping templates use: ``$.a['b'][0]``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"\.?(?P<name>[^.\[\]'\"*]+)|\[(?P<index>\d+)\]|\[(['\"])(?P<quoted>.*?)\3\]", re.DOTALL
)

MISSING = object()
"""What ``find`` returns where the document has nothing at the path."""


@lru_cache(maxsize=256)
def parse(path: str) -> tuple[str | int, ...]:
    """Split a path into keys and indexes; raises ``ValueError`` for what this part cannot say."""
    rest = path.removeprefix("$")
    steps: list[str | int] = []
    position = 0
    while position < len(rest):
        match = _STEP.match(rest, position)
        if match is None:
            raise ValueError(f"not a path of keys and indexes: {path!r}")
        index = match["index"]
        steps.append(int(index) if index is not None else match["name"] or match["quoted"])
        position = match.end()
    return tuple(steps)


def find(document: Any, path: str) -> Any:
    """Return what stands at ``path``, or ``MISSING``."""
    for step in parse(path):
        if isinstance(step, int):
            if not isinstance(document, list) or step >= len(document):
                return MISSING
            document = document[step]
        elif isinstance(document, dict) and step in document:
            document = document[step]
        else:
            return MISSING
    return document
