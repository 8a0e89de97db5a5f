"""What clients may ask for: the fields of a frame become a command, or the sender's fault. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from chalicelib.connections import Audience
from chalicelib.errors import ClientError
from chalicelib.frames import Fields

MAX_ID_CHARACTERS = 128
# Beyond these JavaScript would see another number than was sent.
MAX_ID_NUMBER = 2**53 - 1

FrameId = str | int | None


@dataclass(frozen=True, slots=True)
class SendMessage:
    """``sendmessage``: send a text to an audience."""

    message: str
    to: Audience


@dataclass(frozen=True, slots=True)
class Join:
    """``join``: become a member of a channel."""

    channel: Audience


@dataclass(frozen=True, slots=True)
class Leave:
    """``leave``: be a member of a channel no longer."""

    channel: Audience


@dataclass(frozen=True, slots=True)
class Authenticate:
    """``authenticate``: go on with a new credential of the same principal."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """``whoami``: say what this connection is, for whom it speaks, and where it belongs."""


@dataclass(frozen=True, slots=True)
class Ping:
    """``ping``: answer at all, which also keeps an idle connection open."""


Command = SendMessage | Join | Leave | Authenticate | WhoAmI | Ping


def parse_id(fields: Fields) -> FrameId:
    """Return what the answer must echo: a short text, a whole number, or nothing."""
    frame_id = fields.get("id")
    match frame_id:
        case bool():
            pass
        case None if "id" not in fields:
            return None
        case int() if abs(frame_id) <= MAX_ID_NUMBER:
            return frame_id
        case str() if len(frame_id) <= MAX_ID_CHARACTERS:
            return _text("id", frame_id)
    raise ClientError("invalid_field", "id must be a short text or a whole number.")


def parse_command(fields: Fields, route_key: str) -> Command:
    """Read a command; a route of its own accepts only the action it is named after."""
    action = required_text(fields, "action")
    parse = _ACTIONS.get(action)
    if parse is None:
        raise ClientError("unknown_action", f"The actions are: {', '.join(_ACTIONS)}.")
    if route_key not in {"$default", action}:
        raise ClientError("route_mismatch", "The action is not that of the route.")
    return parse(fields)


def _send_message(fields: Fields) -> Command:
    _only(fields, {"message", "to"})
    message = required_text(fields, "message")
    to = _text("to", fields.get("to", "everyone"))
    try:
        return SendMessage(message, Audience.parse(to))
    except ValueError:
        raise ClientError("invalid_audience", "to is not an audience.") from None


def _join(fields: Fields) -> Command:
    return Join(_channel(fields))


def _leave(fields: Fields) -> Command:
    return Leave(_channel(fields))


def _channel(fields: Fields) -> Audience:
    _only(fields, {"channel"})
    name = required_text(fields, "channel")
    try:
        return Audience.parse(f"channel:{name}")
    except ValueError:
        raise ClientError("invalid_channel", "channel is not the name of a channel.") from None


def _authenticate(fields: Fields) -> Command:
    _only(fields, {"token"})
    return Authenticate(required_text(fields, "token"))


def _who_am_i(fields: Fields) -> Command:
    _only(fields, ())
    return WhoAmI()


def _ping(fields: Fields) -> Command:
    _only(fields, ())
    return Ping()


_ACTIONS: Mapping[str, Callable[[Fields], Command]] = {
    "sendmessage": _send_message,
    "join": _join,
    "leave": _leave,
    "authenticate": _authenticate,
    "whoami": _who_am_i,
    "ping": _ping,
}


def _only(fields: Fields, names: Iterable[str]) -> None:
    only_fields(fields, ("action", "id", *names))


def only_fields(fields: Fields, names: Collection[str]) -> None:
    """Refuse fields of other names."""
    if fields.keys() - set(names):
        raise ClientError("unknown_field", f"The fields are: {', '.join(sorted(names))}.")


def required_text(fields: Fields, name: str) -> str:
    """Return a field that must be there and be a text."""
    if name not in fields:
        raise ClientError("missing_field", f"{name} is missing.")
    return _text(name, fields[name])


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ClientError("invalid_field", f"{name} must be a text.")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can escape but UTF-8 not hold
        raise ClientError("invalid_text", f"{name} is not Unicode text.") from None
    return value
