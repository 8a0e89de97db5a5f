"""Frames of the message protocol (docs/protocol.md), and API Gateway's own. Pure."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

Frame = dict[str, Any]


def encode(frame: Frame) -> str:
    """Return a frame's text."""
    text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
    # Half of a surrogate pair, from an argument that was no text, has no UTF-8; the server says so.
    return text if _is_utf8(text) else json.dumps(frame, separators=(",", ":"))


def decode(text: str) -> Frame:
    """Return what a frame holds; one that is no JSON object becomes of type ``unreadable``."""
    try:
        frame = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        frame = None
    return frame if isinstance(frame, dict) else {"type": "unreadable", "text": text}


def is_error(frame: Frame) -> bool:
    """Return whether a frame says that something failed: the application's, or API Gateway's."""
    return frame.get("type") == "error" or is_gateway_error(frame)


def is_gateway_error(frame: Frame) -> bool:
    """Return whether API Gateway itself has answered: it names no request of ours."""
    return "type" not in frame and "message" in frame and "connectionId" in frame


def answers(frame: Frame, request_id: str) -> bool:
    """Return whether a frame answers the one request that waits."""
    if frame.get("type") in {"reply", "error"} and frame.get("id") == request_id:
        return True
    # What could not be read, or never reached the application, is answered without an id.
    unnamed = frame.get("type") == "error" and frame.get("id") is None
    return unnamed or is_gateway_error(frame)


def error_of(frame: Frame) -> tuple[str, str]:
    """Return an error's stable code, empty for API Gateway's own, and its text."""
    error = frame.get("error")
    if isinstance(error, dict):
        return str(error.get("code", "")), str(error.get("message", ""))
    return "", str(frame.get("message", ""))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number
