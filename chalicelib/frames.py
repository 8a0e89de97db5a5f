"""One text frame is one JSON object: read strictly, written compactly.

Stricter than JSON asks: what two readers could understand differently is refused.
"""

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn

from chalicelib.errors import ClientError

MAX_FRAME_CHARACTERS = 131_072
MAX_DEPTH = 16

Fields = dict[str, Any]


def parse_object(body: str, most: int = MAX_FRAME_CHARACTERS, what: str = "frame") -> Fields:
    """Read a text of so many characters as one JSON object, strictly; raises ClientError.

    ``what`` is the word for it in codes and messages.
    """
    if len(body) > most:
        raise ClientError(f"{what}_too_long", f"The {what} is over {most // 1024} KiB.")
    try:
        value = _DECODER.decode(body)
    except RecursionError:
        raise _too_deep(what) from None
    except ValueError:
        raise ClientError("malformed_json", f"The {what} is not JSON.") from None
    if _is_deeper_than(MAX_DEPTH, value):
        raise _too_deep(what)
    if not isinstance(value, dict):
        raise ClientError("not_an_object", f"The {what} must be a JSON object.")
    return value


def encode(frame: Fields) -> bytes:
    """Write a frame as it goes over the wire: JSON in UTF-8 without blanks."""
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode()


def _is_deeper_than(limit: int, value: object) -> bool:
    level = [value]
    for _ in range(limit):
        level = [child for parent in level for child in _children(parent)]
    return any(isinstance(value, dict | list) for value in level)


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep(what: str) -> ClientError:
    return ClientError("too_deep", f"The {what} is nested more than {MAX_DEPTH} deep.")


def _object(pairs: list[tuple[str, Any]]) -> Fields:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        # Route selection and we might each take another one of the two.
        raise ClientError("duplicate_key", "A key occurs twice in one object.")
    return fields


def _integer(digits: str) -> int:
    if len(digits) > 20:
        _not_a_number(digits)
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        _not_a_number(digits)
    return value


def _not_a_number(_: str) -> NoReturn:
    raise ClientError("invalid_number", "A number is none that JSON knows, or too large.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=_not_a_number,
)
